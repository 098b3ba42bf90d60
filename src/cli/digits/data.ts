/** The digits that ship with the package, as the task that a run's settings ask for. */
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { type DigitsTask, defaultDigits, digitsFromTensors, digitsTask, type Shift } from '../../data/digits.ts';
import { type Examples, takeExamples } from '../../data/examples.ts';
import { decodeSafetensors } from '../../io/safetensors.ts';
import type { PacaError, Result } from '../../spec/errors.ts';
import type { Shape } from '../../spec/tensor.ts';
import type { HostBatch } from '../../train/host-batch.ts';
import { packageRoot, readBytes } from '../package-root.ts';
import type { Settings } from './settings.ts';

const unzip = (bytes: Uint8Array, where: string): Result<Uint8Array> =>
  E.tryCatch(
    () => new Uint8Array(gunzipSync(bytes)),
    (e): PacaError => ({ tag: 'FileError', expected: 'gzip data', came: String(e), where }),
  );

const shiftOf = ({ shift, degrees }: Settings): Shift =>
  shift === 'rotate' ? { kind: 'rotate', degrees } : { kind: shift };

/** Source and target domain of the run. */
export const loadDigits = (settings: Settings): Promise<Result<DigitsTask>> => {
  const path = join(packageRoot(), 'demo', 'digits', 'digits.bin.gz');
  return pipe(
    () => readBytes(path),
    TE.chainEitherK((bytes) => unzip(bytes, path)),
    TE.chainEitherK((bytes) => decodeSafetensors(bytes, path)),
    TE.chainEitherK(({ tensors }) => digitsFromTensors(tensors)),
    TE.chainEitherK((digits) => digitsTask(digits, { ...defaultDigits, shift: shiftOf(settings) })),
  )();
};

/** Some examples as a micro-batch of images of the model's input shape. */
export const digitsBatch = (examples: Examples, indices: Int32Array, input: Shape): HostBatch => {
  const { count, inputs, labels } = takeExamples(examples, indices);
  return {
    inputs: { dtype: 'f32', shape: [count, ...input], data: inputs },
    targets: { dtype: 'i32', shape: [count], data: labels },
    count,
  };
};
