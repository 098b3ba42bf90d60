/** Every law of a layer on every layer of the table: at its minimal shape and at random ones. */
import { describe, expect, it } from 'vitest';
import {
  backwardNeedsTheResidualAlone,
  gradientIsOfBackward,
  keepsTheResidualAlone,
  outputIsAsDescribed,
  type Point,
  residualIsAsDescribed,
  vjpExcess,
} from '../../src/core/laws.ts';
import { fc } from '../support/fast-check.ts';
import { pointOf } from '../support/layer-instances.ts';
import { layerTable } from '../support/layer-table.ts';
import { f32, f64, type R } from '../support/tensors.ts';

type Law = (point: Point<R>) => boolean | Promise<boolean>;

/** Laws of bits, on the f32 specification. */
const laws: Readonly<Record<string, Law>> = {
  'forward keeps what residual describes': residualIsAsDescribed,
  'forward gives what output describes': outputIsAsDescribed,
  'forward leaves nothing alive but its residual': keepsTheResidualAlone,
  'backward needs nothing but the residual': backwardNeedsTheResidualAlone,
  'gradient has the bits of backward': gradientIsOfBackward,
};

describe.each(Object.entries(layerTable))('%s', (_, { minimal, any, detached }) => {
  it.each(Object.entries(laws))('%s', async (_, law) => {
    expect(await law(pointOf(f32, minimal))).toBe(true);
    await fc.assert(
      fc.asyncProperty(any, async (instance) => law(pointOf(f32, instance))),
      { numRuns: 12 },
    );
  });

  // DoRA's backward pass holds its norms, as PEFT does: test/methods/low-rank.test.ts has its derivative with them held.
  it.skipIf(detached)('backward is the transposed derivative of forward', async () => {
    expect(await vjpExcess(pointOf(f64, minimal))).toBeLessThanOrEqual(1);
    await fc.assert(
      fc.asyncProperty(any, async (instance) => {
        expect(await vjpExcess(pointOf(f64, instance))).toBeLessThanOrEqual(1);
      }),
      { numRuns: 5 },
    );
  });
});
