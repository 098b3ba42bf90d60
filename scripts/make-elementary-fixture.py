#!/usr/bin/env python3
"""Writes test/spec/elementary-fixture.json: exact values of the elementary functions, for the tests of the f64 ones.

Run: python3 scripts/make-elementary-fixture.py > test/spec/elementary-fixture.json   (needs mpmath; 10 seconds)

A row is [x, y, d] (for pow [x, e, y, d]): y is the true value rounded to f64, to nearest even, and d how far the true
value lies above y, in units in the last place. The arguments are random over ranges that reach every branch; for each
range those are kept whose value lies nearest to the middle between two f64, besides others. Then come chosen ones:
borders, subnormal results, and angles that are hard to reduce.
"""
import random
import re
from math import ldexp
from mpmath import mp, mpf, cos, erf, exp, floor, log, nint, pi, sin, tanh

mp.prec = 1400  # the largest f64 has 1024 bits before the point; sin needs its angle modulo 2 pi
ROW_PRECISION = 240
rng = random.Random(20241)
LARGEST = ldexp(2**53 - 1, 971)


def row(arguments, true):
    """The arguments, the rounded value and the distance; None where the value is 0 or overflows."""
    if true == 0:
        return None
    exponent = max(int(floor(log(abs(true), 2))) - 52, -1074)
    units = true / mpf(2) ** exponent
    nearest = int(nint(units))
    if abs(nearest) * mpf(2) ** exponent > LARGEST or nearest == 0:
        return None
    return [*arguments, ldexp(nearest, exponent), round(float(units - nearest), 4)]


def rows(function, arguments):
    made = []
    for args in arguments:
        mp.prec = 1400 if abs(args[0]) > 1e30 and function in (sin, cos) else ROW_PRECISION
        made.append(row(args, function(*map(mpf, args))))
    return [r for r in made if r is not None]


def table(function, ranges, chosen, hard=12, plain=12, tries=4000):
    kept = []
    for sample in ranges:
        found = rows(function, sorted({sample() for _ in range(tries)}))
        kept += sorted(found, key=lambda r: 0.5 - abs(r[-1]))[:hard] + rng.sample(found, min(plain, len(found)))
    return kept + rows(function, chosen)


def uniform(lo, hi):
    return lambda: (rng.uniform(lo, hi),)


def across(lo, hi):
    """Random exponents: from 2^lo to 2^hi, either sign."""
    return lambda: (rng.choice((-1, 1)) * ldexp(rng.uniform(1, 2), rng.randint(lo, hi - 1)),)


def near(x, lo, hi):
    """Around x, at distances from 2^lo to 2^hi."""
    return lambda: (x + across(lo, hi)()[0],)


def positive(sample):
    return lambda: (abs(sample()[0]),)


def rope_angle():
    """position · theta^(-2i/d), as a rotary embedding asks for."""
    return (rng.randrange(100000) * float(mpf(10000) ** (-mpf(rng.randrange(64)) / 64)),)


def near_quarter_turn():
    return (float(rng.randrange(1, 600000) * mp.pi / 2),)


def power(base, exponent):
    def sample():
        x = base()[0]
        return (x, exponent(x))
    return sample


def edges(*xs):
    return [(s * x,) for x in xs for s in (1, -1)]


angles = [uniform(-0.8, 0.8), uniform(-10, 10), across(-60, 0), rope_angle, near_quarter_turn,
          across(20, 60), across(60, 1024)]
hard_angles = edges(5e-324, 1e22, 1048575.9999999999, 1048576.0, 2.0**1023, LARGEST, ldexp(6381956970095103, 797),
                    1.5707963267948966, 3.141592653589793, 710.0, 355.0, 1e5, 0.7853981633974483, 0.7853981633974484)

tables = {
    'exp': table(exp, [uniform(-0.4, 0.4), uniform(-20, 20), uniform(-745, 709), across(-60, 0), uniform(-745.1, -708)],
                 edges(5e-324, 1.0, 0.34657359027997264, 0.3465735902799727, 708.3964185322641)
                 + [(709.782712893384,), (-745.1332191019411,), (-745.0,)]),
    'log': table(log, [uniform(0.7, 1.45), uniform(0.2, 5), near(1.0, -52, -2), positive(across(-1074, 1024))],
                 [(5e-324,), (2.2250738585072014e-308,), (LARGEST,), (0.5,), (2.0,), (1.4142135623730951,),
                  (0.7071067811865475,), (0.7071067811865476,), (0.9999999999999999,), (1.0000000000000002,)]),
    'pow': table(lambda x, y: mpf(x) ** y,
                 [power(positive(across(-10, 10)), lambda x: rng.uniform(-60, 60)),
                  power(positive(across(-1074, 1024)), lambda x: rng.uniform(-1, 1)),
                  power(near(1.0, -50, -2), lambda x: rng.uniform(-1, 1) * 740 / abs(float(log(mpf(x))))),
                  power(uniform(0.8, 0.9999), lambda x: rng.randrange(1, 20000)),
                  power(across(-10, 10), lambda x: rng.randrange(-40, 40)),
                  power(uniform(1.01, 9), lambda x: -rng.uniform(708.4, 745.1) / float(log(mpf(x))))],
                 [(0.9, 1000), (0.999, 100000), (10.0, 308), (10.0, -323), (2.0, -1074), (2.0, 0.5), (5e-324, 0.5),
                  (3.0, 33), (-3.0, 33), (1.0000000000000002, 3e18), (0.9999999999999999, -6e18),
                  (10000.0, -0.015625)]),
    'tanh': table(tanh, [uniform(-0.75, 0.75), uniform(0.5, 1.5), uniform(-20, 20), across(-60, 0)],
                  edges(5e-324, 0.75, 0.7499999999999999, 19.0, 22.0, 400.0)),
    'erf': table(erf, [uniform(-1, 1), uniform(0.8, 1.5), uniform(-6, 6), across(-60, 0)],
                 edges(5e-324, 1e-310, 1.0, 0.9999999999999999, 5.9, 6.0, 5.999999999999999, 27.0)),
    'sin': table(sin, angles, hard_angles),
    'cos': table(cos, angles, hard_angles),
}


def number(x):
    """As JSON formatters write it: 1e-7, not 1e-07, and 1e22, not 1e+22."""
    return re.sub(r'e([-+])0*', lambda m: 'e' + m[1].strip('+'), repr(x))


parts = [f'  "{name}": [\n' + ',\n'.join('    [' + ', '.join(map(number, r)) + ']' for r in rs) + '\n  ]'
         for name, rs in tables.items()]
print('{\n' + ',\n'.join(parts) + '\n}')
