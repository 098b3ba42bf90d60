#!/usr/bin/env python3
"""Prints every numeric constant of src/spec/elementary that is not a plain fraction.

Run: python3 scripts/derive-coefficients.py      (needs mpmath; about 15 seconds; the output is always the same)

Polynomials are minimax fits: the largest weighted error is as small as it can be, found by exchanging the points of
alternation on a Chebyshev grid. Where coefficients are stored as f32, they are rounded one at a time from the lowest
power up, and the rest are fitted anew after each rounding, so that later coefficients absorb the rounding of earlier
ones. The error printed beside a table is that of the rounded table, as a power of two.
"""
import struct
from mpmath import mp, mpf, cos, erf, erfc, exp, floor, log, lu_solve, matrix, nstr, pi, sqrt, tanh

mp.prec = 200


def f32(x):
    """x rounded to f32, to nearest even."""
    return mpf(struct.unpack('<f', struct.pack('<f', float(x)))[0])


def f64(x):
    """x rounded to f64, to nearest even."""
    return mpf(float(x))


def leading_bits(x, bits):
    """x > 0 cut after `bits` significant bits."""
    unit = mpf(2) ** (int(floor(log(x, 2))) + 1 - bits)
    return floor(x / unit) * unit


def value(coefficients, z):
    total = mpf(0)
    for c in reversed(coefficients):
        total = total * z + c
    return total


def grid(lo, hi, size):
    """Chebyshev points: dense near the ends, where the error of a fit is largest."""
    return [(lo + hi) / 2 - (hi - lo) / 2 * cos(pi * (2 * i + 1) / (2 * size)) for i in range(size)]


def extremes(errors, count):
    """Indices of `count` neighbouring extremes of alternating sign."""
    runs, sign = [], 0
    for i, e in enumerate(errors):
        if e == 0:
            continue
        if (e > 0) - (e < 0) != sign:
            sign = (e > 0) - (e < 0)
            runs.append(i)
        elif abs(e) > abs(errors[runs[-1]]):
            runs[-1] = i
    while len(runs) > count:
        runs.pop(0 if abs(errors[runs[0]]) < abs(errors[runs[-1]]) else -1)
    return runs


def minimax(target, weight, points, fixed, count):
    """Coefficients c of z^0 … z^(count-1), the first ones given as `fixed`, that minimise
    max |weight(z) · (target(z) − Σ c z^i)| over `points`. Points are pairs (x, z = z(x))."""
    free = count - len(fixed)
    if free == 0:
        return fixed
    ts = [(target(x) - value(fixed, z)) for x, z in points]
    ws = [weight(x) for x, _ in points]
    powers = range(len(fixed), count)
    reference = [round(i * (len(points) - 1) / free) for i in range(free + 1)]
    for _ in range(60):
        a, b = matrix(free + 1, free + 1), matrix(free + 1, 1)
        for row, i in enumerate(reference):
            for col, p in enumerate(powers):
                a[row, col] = points[i][1] ** p
            a[row, free] = (-1) ** row / ws[i]
            b[row] = ts[i]
        solved = lu_solve(a, b)
        tail = [solved[i] for i in range(free)]
        level = abs(solved[free])
        errors = [w * (t - value([mpf(0)] * len(fixed) + tail, z)) for (_, z), t, w in zip(points, ts, ws)]
        chosen = extremes(errors, free + 1)
        if len(chosen) < free + 1 or max(map(abs, errors)) <= level * (1 + mpf(10) ** -6):
            break
        reference = chosen
    return fixed + tail


def fit(name, target, weight, lo, hi, count, rounding, variable=lambda x: x, size=600):
    """Fits, rounds each coefficient in turn, prints the table and its largest weighted error."""
    points = [(x, variable(x)) for x in grid(mpf(lo), mpf(hi), size)]
    table = []
    while len(table) < count:
        full = minimax(target, weight, points, table, count)
        table = table + [rounding(full[len(table)])]
    worst = max(abs(weight(x) * (target(x) - value(table, z))) for x, z in points)
    print(f'\n{name}: error 2^{nstr(log(worst, 2), 4)}')
    for i, c in enumerate(table):
        print(f'  z^{i}: {float(c)!r}')
    return table


def show(name, x):
    print(f'  {name} = {float(x)!r}')


ln2 = log(mpf(2))
half = ln2 / 2

ln2 = log(mpf(2))

print('exp, log and pow, f64')
ln2_head = leading_bits(ln2, 42)
show('LOG2E = 1/ln2', 1 / ln2)
show('LN2_HI = the first 42 bits of ln2', ln2_head)
show('LN2_LO = ln2 - LN2_HI', ln2 - ln2_head)

print('\nsin and cos, f64')
show('TWO_OVER_PI', 2 / pi)
rest = pi / 2
for part in range(3):
    head = leading_bits(rest, 33)
    show(f'PART{part + 1}: the next 33 bits of pi/2', head)
    rest -= head
show('PART4: the rest of pi/2', rest)
show('HALF_PI, hi', pi / 2)
show('HALF_PI, lo', pi / 2 - f64(pi / 2))

print('\nerf, f64')
show('TWO_OVER_ROOT_PI', 2 / sqrt(pi))
show('TWO_OVER_ROOT_PI_LESS_1', 2 / sqrt(pi) - 1)
fit('FAR64: exp(a^2) erfc(a) in powers of u = (a - 2)/(a + 3), 1 <= a <= 6; absolute error of erf',
    lambda a: exp(a * a) * erfc(a), lambda a: exp(-a * a), 1, 6, 14, f64, lambda a: (a - 2) / (a + 3))

print('\nexp and log, f32')
ln2_head = leading_bits(ln2, 16)
show('log2e = 1/ln2', f32(1 / ln2))
show('ln2Hi = the first 16 bits of ln2', ln2_head)
show('ln2Lo = ln2 - ln2Hi', f32(ln2 - ln2_head))

# exp(r) = 1 + r + r^2 Q(r). The interval is a little wider than ln2/2, because x/ln2 is rounded before k is taken.
edge = ln2 / 2 * (1 + mpf(2) ** -12)
fit('EXP32.q: Q(r), |r| <= ln2/2; relative error of exp',
    lambda r: (exp(r) - 1 - r) / r ** 2, lambda r: r ** 2 / exp(r), -edge, edge, 5, f32)

# log((1+s)/(1-s)) = 2s + s z Q(z), z = s^2, s <= (sqrt2 - 1)/(sqrt2 + 1).
top = (sqrt(mpf(2)) - 1) / (sqrt(mpf(2)) + 1)
fit('LOG32.q: Q(z), z = s^2; relative error of log',
    lambda s: (log((1 + s) / (1 - s)) - 2 * s) / s ** 3, lambda s: s ** 3 / log((1 + s) / (1 - s)),
    mpf(2) ** -12, top, 3, f32, lambda s: s * s)

# tanh(a) = a + a z Q(z), z = a^2.
fit('TANH32.q: Q(z), z = a^2, a <= 0.625; relative error of tanh',
    lambda a: (tanh(a) - a) / a ** 3, lambda a: a ** 3 / tanh(a), mpf(2) ** -12, mpf(5) / 8, 5, f32, lambda a: a * a)

# erf(a) = a + a P(z), z = a^2, and erf(a) = 1 - exp(log(erfc(a))).
border = mpf(7) / 8
fit('ERF32.near: P(z), z = a^2, a <= 0.875; relative error of erf',
    lambda a: erf(a) / a - 1, lambda a: a / erf(a), mpf(2) ** -12, border, 6, f32, lambda a: a * a)
fit('ERF32.logErfc: powers of a, 0.875 <= a <= 4; absolute error of erf',
    lambda a: log(erfc(a)), erfc, border, 4, 7, f32)

# The cut of Lambert's continued fraction in tanh64.
def lambert(a, last):
    z, c = a * a, mpf(last)
    for odd in range(last - 2, 1, -2):
        c = odd + z / c
    return a - a * z / (c + z)


a = mpf(3) / 4
print(f'\ntanh, f64: relative error of the fraction cut after 17, at 3/4: {nstr(lambert(a, 17) / tanh(a) - 1, 3)}')
