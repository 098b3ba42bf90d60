/** Micro-batches in host memory, as data loaders make them, and on a backend. */
import * as E from 'fp-ts/lib/Either.js';
import type { Kernels } from '../core/fused.ts';
import type { DocumentStarts } from '../spec/documents.ts';
import { fail, type Result } from '../spec/errors.ts';
import type { HostTensor, Spec } from '../spec/tensor.ts';
import type { MicroBatch } from './step.ts';

export interface HostBatch {
  readonly inputs: HostTensor;
  readonly targets: HostTensor;
  /** Targets that count. */
  readonly count: number;
  /** Where documents start, if a row of tokens holds several, of which none is to see another. */
  readonly starts?: DocumentStarts | undefined;
}

/** The target that is no example: PyTorch's ignore_index. */
const IGNORED = -100;

/**
 * Class numbers that the model knows, or {@link IGNORED}; and as many that count as the batch says. A kernel cannot tell
 * a wrong label from an ignored one, so it is asked here, on the host.
 */
export const checkTargets = ({ targets, count }: HostBatch, classes: number, where: string): Result<null> => {
  if (targets.dtype !== 'i32') return E.right(null);
  const wrong = targets.data.findIndex((t) => t !== IGNORED && (t < 0 || t >= classes));
  if (wrong >= 0) {
    const expected = `class numbers of 0 … ${classes - 1}, or ${IGNORED}`;
    return fail('DataError', expected, `${targets.data[wrong]} at position ${wrong}`, where);
  }
  const counted = targets.data.filter((t) => t !== IGNORED).length;
  return counted === count ? E.right(null) : fail('DataError', `a count of ${counted}`, String(count), where);
};

export const toDevice = <T extends Spec>(k: Kernels<T>, { inputs, targets, ...rest }: HostBatch): MicroBatch<T> => ({
  inputs: k.fromHost(inputs),
  targets: k.fromHost(targets),
  ...rest,
});
