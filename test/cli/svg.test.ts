/**
 * Charts: well-formed, escaped, the same every time, and undisturbed by odd data.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type LineChart, lineChart, type Series } from '../../src/cli/show/svg.ts';
import { linearAxis, logAxis } from '../../src/cli/show/ticks.ts';

const chart = (series: readonly Series[], more: Partial<LineChart> = {}): string =>
  lineChart({ title: 'Loss', xLabel: 'step', yLabel: 'loss (nats)', series, ...more });

const count = (svg: string, what: string): number => svg.split(what).length - 1;
const labelsOf = (svg: string): string[] => Array.from(svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g), ([, t]) => t ?? '');
/** The numbers of the paths, as pairs. */
const pathPoints = (svg: string): number[][][] =>
  Array.from(svg.matchAll(/<path[^>]* d="M([^"]*)"/g), ([, d = '']) =>
    d.split(/[ML]/).map((pair) => pair.split(' ').map(Number)),
  );

/** Whether tags nest and close; enough for a writer that makes no comments and no CDATA. */
const wellFormed = (xml: string): boolean => {
  const open: string[] = [];
  const tag = /<(\/?)([a-z]+)((?:\s[a-zA-Z-]+[a-zA-Z0-9-]*="[^"<]*")*)\s*(\/?)>|(<)/g;
  for (const [, close, name = '', , empty, stray] of xml.matchAll(tag)) {
    if (stray !== undefined) return false;
    if (close === '/') {
      if (open.pop() !== name) return false;
    } else if (empty === '') open.push(name);
  }
  return open.length === 0 && !/&(?!(amp|lt|gt|quot|#39);)/.test(xml);
};

const anyNumber = fc.oneof(fc.double(), fc.integer({ min: -10, max: 10 }), fc.constantFrom(0, Number.NaN, 5e-324));
const anySeries: fc.Arbitrary<Series> = fc.record({
  name: fc.string({ unit: 'binary' }),
  points: fc.array(fc.tuple(anyNumber, anyNumber), { maxLength: 12 }),
  dashed: fc.boolean(),
});

describe('lineChart', () => {
  it('is well-formed, finite and deterministic for any data and text', () => {
    fc.assert(
      fc.property(
        fc.array(anySeries, { maxLength: 9 }),
        fc.string({ unit: 'binary' }),
        fc.boolean(),
        (series, title, logY) => {
          const svg = chart(series, { title, logY, xLabel: title, yLabel: title });
          expect(wellFormed(svg)).toBe(true);
          expect(svg.replace(/>[^<]*</g, '><').replace(/aria-label="[^"]*"/, '')).not.toMatch(/NaN|Infinity|undefined/);
          expect(chart(series, { title, logY, xLabel: title, yLabel: title })).toBe(svg);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('escapes every text', () => {
    const evil = `</text><script>alert("1")</script>&'`;
    const svg = chart([{ name: evil, points: [[0, 1]] }], { title: evil, xLabel: evil, yLabel: evil, width: 2000 });
    expect(svg).not.toContain('<script');
    expect(count(svg, '&lt;/text&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;')).toBe(6);
  });

  it('draws a line through the corners of its frame', () => {
    const [line] = pathPoints(
      chart([
        {
          name: 'a',
          points: [
            [0, 0],
            [5, 1],
            [10, 2],
          ],
        },
      ]),
    );
    const [[x0, y0], [x1, y1], [x2, y2]] = line as [[number, number], [number, number], [number, number]];
    expect([x1 * 2, y1 * 2]).toEqual([x0 + x2, y0 + y2].map((v) => expect.closeTo(v, 0)));
    expect(y0).toBe(348);
    expect(y2).toBe(74);
  });

  it('breaks a line at what cannot be drawn and dots a lone point', () => {
    const points = [
      [0, 1],
      [1, 2],
      [2, Number.NaN],
      [3, 2],
      [4, Number.POSITIVE_INFINITY],
      [5, 3],
      [6, 4],
    ] as const;
    const svg = chart([{ name: 'a', points }]);
    expect(pathPoints(svg).map((l) => l.length)).toEqual([4]);
    expect(count(svg, '<path class="line s0" d="M')).toBe(1);
    expect(/ d="([^"]*)"/.exec(svg)?.[1]?.match(/M/g)?.length).toBe(2);
    expect(count(svg, '<circle')).toBe(2);
  });

  it('leaves out of a log axis what is not above zero', () => {
    const svg = chart(
      [
        {
          name: 'a',
          points: [
            [0, 10],
            [1, 1],
            [2, 0],
            [3, -1],
            [4, 100],
            [5, 1000],
          ],
        },
      ],
      { logY: true },
    );
    expect(/ d="([^"]*)"/.exec(svg)?.[1]?.match(/M/g)?.length).toBe(2);
    expect(labelsOf(svg)).toEqual(expect.arrayContaining(['1', '10', '100', '1,000']));
  });

  it('says that there are no data, and not otherwise', () => {
    expect(labelsOf(chart([]))).toContain('no data');
    expect(labelsOf(chart([{ name: 'a', points: [[Number.NaN, 1]] }]))).toContain('no data');
    expect(labelsOf(chart([{ name: 'a', points: [[1, 1]] }]))).not.toContain('no data');
  });

  it('names each series once, in a colour and dash of its own', () => {
    const series = Array.from(
      { length: 12 },
      (_, i): Series => ({
        name: `run ${i}`,
        points: [
          [0, i],
          [1, i],
        ],
      }),
    );
    const svg = chart(series);
    for (const { name } of series) expect(labelsOf(svg).filter((t) => t === name)).toHaveLength(1);
    const strokes = Array.from(
      svg.matchAll(/<path class="(line s\d+)" d="[^"]*"([^/]*)\/>/g),
      ([, c, dash]) => `${c}${dash}`,
    );
    expect(new Set(strokes).size).toBe(12);
    expect(
      chart([
        {
          name: 'a',
          points: [
            [0, 1],
            [1, 1],
          ],
          dashed: true,
        },
      ]),
    ).toContain('stroke-dasharray="7 4"');
  });

  it('keeps names apart and inside', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 2, maxLength: 14 }), (ends) => {
        const svg = chart(
          ends.map((y, i) => ({
            name: `n${i}`,
            points: [
              [0, 0],
              [1, y],
            ],
          })),
        );
        const heights = Array.from(svg.matchAll(/y="([\d.]+)" class="name"/g), ([, y]) => Number(y)).sort(
          (a, b) => a - b,
        );
        expect(heights).toHaveLength(ends.length);
        expect(heights.every((y, i) => i === 0 || y - (heights[i - 1] as number) >= 16.8)).toBe(true);
        expect(heights[0]).toBeGreaterThanOrEqual(74);
        expect(heights.at(-1)).toBeLessThanOrEqual(352);
      }),
    );
  });

  it('thins a long curve and keeps its extremes', () => {
    const points = Array.from({ length: 100_000 }, (_, i): [number, number] => [i, i === 54_321 ? 9 : (i % 7) / 7]);
    const svg = chart([{ name: 'a', points }]);
    const [line] = pathPoints(svg) as [number[][]];
    expect(line.length).toBeLessThan(4 * 720);
    expect(Math.min(...line.map(([, y]) => y as number))).toBeCloseTo(74 + 274 / 10, 1);
    expect(svg.length).toBeLessThan(50_000);
  });
});

describe('axes', () => {
  const labels = (low: number, high: number, log = false): string[] =>
    (log ? logAxis([low, high], 5) : linearAxis([low, high], 5, true)).ticks.map((t) => t.label);

  it('choose round ticks and one style of label', () => {
    expect(labels(0, 1)).toEqual(['0.0', '0.2', '0.4', '0.6', '0.8', '1.0']);
    expect(labels(0.1, 0.32)).toEqual(['0.10', '0.15', '0.20', '0.25', '0.30', '0.35']);
    expect(labels(0, 4300)).toEqual(['0', '1,000', '2,000', '3,000', '4,000', '5,000']);
    expect(labels(-3, 2)).toEqual(['−3', '−2', '−1', '0', '1', '2']);
    expect(labels(0, 5e9)).toEqual(['0', '10⁹', '2×10⁹', '3×10⁹', '4×10⁹', '5×10⁹']);
    expect(labels(0, 3e-7)).toEqual(['0', '10⁻⁷', '2×10⁻⁷', '3×10⁻⁷']);
  });

  it('take decades on a log axis, and even steps within one', () => {
    expect(labels(0.003, 40, true)).toEqual(['0.001', '0.01', '0.1', '1', '10', '100']);
    expect(labels(1e-9, 1e11, true)).toEqual(['10⁻⁹', '10⁻⁵', '10⁻¹', '10³', '10⁷', '10¹¹']);
    expect(labels(0.3, 4, true)).toEqual(['0.2', '0.5', '1', '2', '5']);
    expect(labels(0.31, 0.62, true)).toEqual(['0.3', '0.4', '0.5', '0.6', '0.7']);
  });

  const range = fc.tuple(
    fc.double({ min: -1e300, max: 1e300, noNaN: true }),
    fc.double({ min: -1e300, max: 1e300, noNaN: true }),
  );
  const near = fc.tuple(fc.double({ min: -1e6, max: 1e6, noNaN: true }), fc.double({ min: 0, max: 1e-3, noNaN: true }));
  const ranges = fc
    .oneof(
      range,
      near.map(([v, d]): [number, number] => [v, v + d]),
    )
    .map(([a, b]): [number, number] => [Math.min(a, b), Math.max(a, b)]);

  it('place data and ticks within 0 … 1, in order, with few ticks', () => {
    fc.assert(
      fc.property(ranges, fc.boolean(), ([low, high], outward) => {
        const { ticks, place } = linearAxis([low, high], 5, outward);
        const places = [low, high, ...ticks.map((t) => t.value)].map(place);
        expect(places.every((p) => p >= 0 && p <= 1)).toBe(true);
        expect(ticks.length).toBeLessThanOrEqual(outward ? 7 : 6);
        expect(new Set(ticks.map((t) => t.label)).size).toBe(ticks.length);
        expect(ticks.length).toBeGreaterThan(outward ? 1 : 0);
      }),
      { numRuns: 1000 },
    );
  });

  it('do so on a log axis, for any positive range', () => {
    const exponent = fc.double({ min: -300, max: 300, noNaN: true });
    fc.assert(
      fc.property(exponent, fc.oneof(exponent, fc.double({ min: 0, max: 1, noNaN: true })), (a, b) => {
        const [low, high] = [10 ** Math.min(a, b), 10 ** Math.max(a, b)] as [number, number];
        fc.pre(low >= 1e-300 && high <= 1e300);
        const { ticks, place } = logAxis([low, high], 5);
        const places = [low, high, ...ticks.map((t) => t.value)].map(place);
        expect(places.every((p) => p >= -1e-12 && p <= 1 + 1e-12)).toBe(true);
        expect(ticks.length).toBeGreaterThan(1);
        expect(ticks.length).toBeLessThanOrEqual(9);
        expect(new Set(ticks.map((t) => t.label)).size).toBe(ticks.length);
      }),
      { numRuns: 1000 },
    );
  });
});
