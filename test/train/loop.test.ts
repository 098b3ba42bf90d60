/** The stream of events, interruption, and resuming with the same bits. */
import fc from 'fast-check';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { type ReferenceTensor, referenceF32 } from '../../backends/reference/backend.ts';
import { memoryStore, type Store } from '../../src/io/store.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { cosine } from '../../src/optim/schedule.ts';
import { fail, orThrow } from '../../src/spec/errors.ts';
import { CHECKPOINT, type Loop, resume, type TrainEvent, train } from '../../src/train/loop.ts';
import { initialState, type Problem } from '../../src/train/step.ts';
import { batchAt, batchOf, clock, paca, problemOf, snapshot, tinyMlp } from './tiny.ts';

type Event = TrainEvent<ReferenceTensor>;

const STEPS = 9;
const RUN = 'a run';

const problem = (): Problem<ReferenceTensor, unknown> => {
  const k = referenceF32().kernels;
  return problemOf(k, tinyMlp, paca, adamw(k, { learningRate: cosine(0.05, 0, STEPS), decay: 0.01 }));
};

const loopOf = (p: Problem<ReferenceTensor, unknown>, more: Partial<Loop<ReferenceTensor, unknown>> = {}) => ({
  problem: p,
  state: initialState(p),
  steps: STEPS,
  batchAt,
  clock,
  ...more,
});

const collect = async (events: AsyncIterable<Event>): Promise<readonly Event[]> => {
  const all: Event[] = [];
  for await (const event of events) all.push(event);
  return all;
};

const lossesOf = (events: readonly Event[]): readonly number[] =>
  events.flatMap((e) => (e.kind === 'step' ? [e.loss] : []));

const kinds = (events: readonly Event[]): readonly string[] => events.map(({ kind, step }) => `${kind} ${step}`);

const finalState = async (events: readonly Event[], p: Problem<ReferenceTensor, unknown>): Promise<unknown> => {
  const last = events.at(-1)!;
  return last.kind === 'done' ? snapshot(p.kernels, last.state) : last;
};

/** Runs to `stopAfter` steps, is interrupted, and is gone on with from its checkpoint by a fresh engine. */
const interruptedRun = async (store: Store, stopAfter: number) => {
  const first = problem();
  const controller = new AbortController();
  const before: Event[] = [];
  const checkpointing = { store, every: 100, run: RUN };
  for await (const event of train(loopOf(first, { checkpointing, signal: controller.signal }))) {
    before.push(event);
    if (event.kind === 'step' && event.step === stopAfter) controller.abort();
  }
  const second = problem();
  const state = orThrow(await resume(second, { store, run: RUN }));
  const after = await collect(train(loopOf(second, { state, checkpointing })));
  return { before, after, second };
};

describe('train', () => {
  it('tells its steps, evaluations and checkpoints in order, and ends with done', async () => {
    const p = problem();
    const evaluation = { every: 4, run: async () => ({ loss: 1 }) };
    const checkpointing = { store: memoryStore(), every: 3, run: RUN };
    const events = await collect(train(loopOf(p, { evaluation, checkpointing })));
    expect(kinds(events)).toEqual(
      ['step 1', 'step 2', 'step 3', 'checkpoint 3', 'step 4', 'eval 4', 'step 5', 'step 6', 'checkpoint 6'].concat([
        'step 7',
        'step 8',
        'eval 8',
        'step 9',
        'eval 9',
        'checkpoint 9',
        'done 9',
      ]),
    );
    for (const e of events) {
      if (e.kind !== 'step') continue;
      expect(e.loss).toBeGreaterThan(0);
      expect(e.gradientNorm).toBeGreaterThan(0);
      expect(e.peakBytes).toBeGreaterThan(0);
      expect(e.ms).toBeGreaterThanOrEqual(0);
    }
  });

  it('lowers the loss', async () => {
    const p = problemOf(referenceF32().kernels);
    const same = () => [batchOf('always', 6)];
    const losses = lossesOf(await collect(train(loopOf(p, { steps: 150, batchAt: same }))));
    expect(losses.at(-1)!).toBeLessThan(losses[0]! / 2);
  });

  it('resumed is uninterrupted, bit for bit, wherever it was stopped', async () => {
    const p = problem();
    const whole = await collect(train(loopOf(p)));
    const expected = await finalState(whole, p);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: STEPS - 1 }), async (stopAfter) => {
        const { before, after, second } = await interruptedRun(memoryStore(), stopAfter);
        expect(kinds(before).slice(-2)).toEqual([`checkpoint ${stopAfter}`, `interrupted ${stopAfter}`]);
        expect([...lossesOf(before), ...lossesOf(after)]).toEqual(lossesOf(whole));
        expect(await finalState(after, second)).toEqual(expected);
      }),
      { numRuns: 6, seed: 3 },
    );
  });

  it('begins at the beginning where there is no checkpoint', async () => {
    const p = problem();
    expect(orThrow(await resume(p, { store: memoryStore(), run: RUN })).step).toBe(0);
  });

  it('stops with a reason when the loss is not finite, and keeps the last checkpoint', async () => {
    const store = memoryStore();
    const bad = batchOf('bad', 3);
    (bad.inputs.data as Float32Array)[1] = Number.NaN;
    const poisoned = (step: number) => (step < 4 ? batchAt(step) : [bad]);
    const p = problem();
    const events = await collect(train(loopOf(p, { batchAt: poisoned, checkpointing: { store, every: 2, run: RUN } })));
    const last = events.at(-1)!;
    expect(last).toMatchObject({ kind: 'failed', step: 5, error: { tag: 'NonFiniteError', where: 'step 5' } });
    expect(orThrow(await resume(problem(), { store, run: RUN })).step).toBe(4);
  });

  it('stops with the reason when a checkpoint cannot be written; the one before it stays', async () => {
    const good = memoryStore();
    let writes = 0;
    const full: Store = {
      ...good,
      writeGroup: (name, files) =>
        ++writes > 1
          ? Promise.resolve(fail('FileError', 'room on the disk', 'ENOSPC', name))
          : good.writeGroup(name, files),
    };
    const events = await collect(train(loopOf(problem(), { checkpointing: { store: full, every: 3, run: RUN } })));
    expect(events.at(-1)).toMatchObject({ kind: 'failed', step: 6, error: { tag: 'FileError', came: 'ENOSPC' } });
    expect(orThrow(await resume(problem(), { store: good, run: RUN })).step).toBe(3);
  });
});

describe('a checkpoint', () => {
  const saved = async (): Promise<ReadonlyMap<string, Uint8Array>> => {
    const store = memoryStore();
    await interruptedRun(store, 2);
    return orThrow(await store.readGroup(CHECKPOINT));
  };

  const resumeFrom = async (files: ReadonlyMap<string, Uint8Array>, run = RUN, p = problem()) => {
    const store = memoryStore();
    orThrow(await store.writeGroup(CHECKPOINT, files));
    return resume(p, { store, run });
  };

  it('is refused wherever it is cut, and nothing is thrown', async () => {
    const files = await saved();
    for (const [name, bytes] of files) {
      for (let length = 0; length < bytes.length - 1; length += Math.max(1, Math.floor(bytes.length / 40))) {
        const result = await resumeFrom(new Map([...files, [name, bytes.subarray(0, length)]]));
        expect(E.isLeft(result) && result.left, `${name} cut to ${length}`).toMatchObject({ tag: 'FileError' });
        expect(E.isLeft(result) && result.left.where).toContain(name);
      }
    }
  });

  it('is refused where a file is missing, and names it', async () => {
    const files = await saved();
    for (const name of files.keys()) {
      const result = await resumeFrom(new Map([...files].filter(([other]) => other !== name)));
      expect(E.isLeft(result) && result.left.expected).toContain(name);
    }
  });

  it('is refused by another run, and by another model', async () => {
    const files = await saved();
    const other = await resumeFrom(files, 'another run');
    expect(E.isLeft(other) && other.left.came).toContain(RUN);
    const wider = problemOf(referenceF32().kernels, tinyMlp, () => ({
      method: 'paca',
      adapters: [{ indices: Int32Array.of(0, 1, 2), alpha: 1 }],
    }));
    const misshapen = await resumeFrom(files, RUN, wider);
    expect(E.isLeft(misshapen) && misshapen.left.expected).toContain('delta f32[5, 3]');
  });
});

describe('a batch that the model cannot take', () => {
  const failing = async (change: (b: ReturnType<typeof batchOf>) => ReturnType<typeof batchOf>) => {
    const events = await collect(train(loopOf(problem(), { batchAt: () => [change(batchOf('labels', 3))] })));
    return events.at(-1)!;
  };

  it('with a label that is no class is refused, and named', async () => {
    const event = await failing((b) => ({ ...b, targets: { ...b.targets, data: Int32Array.of(0, 7, 1) } as never }));
    expect(event).toMatchObject({ kind: 'failed', error: { tag: 'DataError', came: '7 at position 1' } });
  });

  it('with a count that is not that of its targets is refused', async () => {
    const event = await failing((b) => ({ ...b, targets: { ...b.targets, data: Int32Array.of(0, -100, 1) } as never }));
    expect(event).toMatchObject({ kind: 'failed', error: { tag: 'DataError', expected: 'a count of 2', came: '3' } });
  });

  it('of another width is refused', async () => {
    const event = await failing((b) => ({ ...b, inputs: { ...b.inputs, shape: [7, 3] } as never }));
    expect(event).toMatchObject({ kind: 'failed', error: { tag: 'ShapeError', came: 'f32[7, 3]' } });
  });
});

it('a problem can be trained twice: its own parameters are not given away', async () => {
  const p = problem();
  const first = lossesOf(await collect(train(loopOf(p))));
  expect(lossesOf(await collect(train(loopOf(p))))).toEqual(first);
});
