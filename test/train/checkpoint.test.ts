/** A checkpoint is read back to the bit, or refused with a reason: cut, changed, of another run, of another shape. */
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { type ReferenceTensor, referenceF32 } from '../../backends/reference/backend.ts';
import type { Files } from '../../src/io/store.ts';
import type { Treatment } from '../../src/methods/adapt.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { clipByGlobalNorm } from '../../src/optim/clip.ts';
import { momentum, sgd } from '../../src/optim/sgd.ts';
import { chain } from '../../src/optim/transform.ts';
import { orThrow, type Result } from '../../src/spec/errors.ts';
import { decodeCheckpoint, encodeCheckpoint } from '../../src/train/checkpoint.ts';
import { toDevice } from '../../src/train/host-batch.ts';
import { initialState, type Problem, type TrainState, trainStep } from '../../src/train/step.ts';
import { fc } from '../support/fast-check.ts';
import { batchAt, full, paca, problemOf, snapshot, tinyMlp } from './tiny.ts';

const RUN = 'a run';
const k = referenceF32().kernels;

type TinyProblem = Problem<ReferenceTensor, unknown>;

const problems: readonly (readonly [string, TinyProblem])[] = [
  ['paca, adamw', problemOf(k)],
  ['paca, sgd', problemOf(k, tinyMlp, paca, sgd(k, { learningRate: 0.1 }))],
  ['full, momentum', problemOf(k, tinyMlp, full, momentum(k, { learningRate: 0.1, momentum: 0.9 }))],
  ['full, clip and adamw', problemOf(k, tinyMlp, full, chain(clipByGlobalNorm(k, 1), adamw(k, { learningRate: 0.1 })))],
];

const trainedFor = (problem: TinyProblem, steps: number): TrainState<ReferenceTensor> => {
  let state = initialState(problem);
  for (let step = 0; step < steps; step++) {
    const batch = batchAt(step).map((b) => toDevice(k, b));
    [state] = trainStep(problem, state, batch);
  }
  return state;
};

const [, tiny] = problems[0]!;
const saved = encodeCheckpoint(tiny, trainedFor(tiny, 3), RUN);

const read = (files: Files, run = RUN, problem = tiny): Promise<Result<TrainState<ReferenceTensor>>> =>
  decodeCheckpoint(problem, initialState(problem), files, run, 'checkpoint');

const errorOf = async (result: Promise<Result<unknown>>) => {
  const found = await result;
  return E.isLeft(found) ? found.left : null;
};

const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

describe('a checkpoint', () => {
  it.each(problems)('is read back to the bit (%s)', async (_, problem) => {
    const state = trainedFor(problem, 3);
    const files = await encodeCheckpoint(problem, state, RUN);
    const back = orThrow(await read(files, RUN, problem));
    expect(await snapshot(k, back)).toEqual(await snapshot(k, state));
    expect(await encodeCheckpoint(problem, back, RUN)).toEqual(files);
  });

  it('is refused wherever it is cut, by the name of the file', async () => {
    const files = await saved;
    for (const [name, bytes] of files) {
      for (let length = 0; length < bytes.length - 1; length++) {
        const error = await errorOf(read(new Map([...files, [name, bytes.subarray(0, length)]])));
        expect(error?.tag, `${name} cut to ${length}`).toBe('FileError');
        expect(error?.where).toContain(name);
      }
    }
  });

  it('is refused where any bit of it was turned', async () => {
    const files = await saved;
    const [names, lengths] = [[...files.keys()], [...files.values()].map(({ length }) => length)];
    const place = fc
      .nat({ max: names.length - 1 })
      .chain((file) => fc.tuple(fc.constant(file), fc.nat(lengths[file]! - 1)));
    await fc.assert(
      fc.asyncProperty(place, fc.nat(7), async ([file, at], bit) => {
        const bytes = Uint8Array.from(files.get(names[file]!)!);
        bytes[at]! ^= 1 << bit;
        const error = await errorOf(read(new Map([...files, [names[file]!, bytes]])));
        expect(error?.tag, `bit ${bit} of byte ${at} of ${names[file]}`).toBe('FileError');
        expect(error?.where).toContain('checkpoint');
      }),
      { numRuns: 400 },
    );
  });

  it('is refused where its files come from two checkpoints', async () => {
    const later = await encodeCheckpoint(tiny, trainedFor(tiny, 4), RUN);
    for (const name of later.keys()) {
      const mixed = new Map([...(await saved), [name, later.get(name)!]]);
      expect((await errorOf(read(mixed)))?.came).toContain('changed content');
    }
  });

  it('is refused where a file is missing, and names it', async () => {
    const files = await saved;
    for (const name of files.keys()) {
      const error = await errorOf(read(new Map([...files].filter(([other]) => other !== name))));
      expect(error?.expected).toContain(name);
    }
  });

  it.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array()],
    ['no JSON', new TextEncoder().encode('{')],
    ['null', text(null)],
    ['a list', text([])],
    ['another version', text({ version: 2, step: 1, numbers: [], run: RUN, digest: '' })],
    ['a fraction of a step', text({ version: 1, step: 1.5, numbers: [], run: RUN, digest: '' })],
    ['a step before the first', text({ version: 1, step: -1, numbers: [], run: RUN, digest: '' })],
    ['a key too many', text({ version: 1, step: 1, numbers: [], run: RUN, digest: '', more: 1 })],
    ['words among the numbers', text({ version: 1, step: 1, numbers: ['1'], run: RUN, digest: '' })],
    ['absurd depth', new TextEncoder().encode(`{"numbers":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)],
  ])('is refused with a record of %s', async (_, bytes) => {
    const error = await errorOf(read(new Map([...(await saved), ['state.json', bytes]])));
    expect(error).toMatchObject({ tag: 'FileError', where: 'checkpoint/state.json' });
  });

  it('is refused by another run, another model, another method and another optimizer', async () => {
    const files = await saved;
    expect((await errorOf(read(files, 'another run')))?.came).toContain(RUN);
    const wider = (): Treatment => ({
      method: 'paca',
      adapters: [{ indices: Int32Array.of(0, 1, 2), alpha: 1 }],
    });
    const others: readonly (readonly [TinyProblem, string])[] = [
      [problemOf(k, tinyMlp, wider), 'delta f32[5, 3]'],
      [problemOf(k, tinyMlp, full), 'trained:layers.0.weight f32[5, 7]'],
      [problemOf(k, tinyMlp, paca, sgd(k, { learningRate: 1 })), 'optimizer numbers like'],
      [
        problemOf(k, tinyMlp, paca, chain(clipByGlobalNorm(k, 1), adamw(k, { learningRate: 1 }))),
        'optimizer numbers like',
      ],
    ];
    for (const [problem, expected] of others) {
      expect((await errorOf(read(files, RUN, problem)))?.expected).toContain(expected);
    }
  });
});
