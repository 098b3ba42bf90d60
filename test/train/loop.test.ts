/** The stream of events, interruption, and resuming with the same bits. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ReferenceTensor, referenceF32 } from '../../backends/reference/backend.ts';
import { memoryStore, type Store } from '../../src/io/store.ts';
import { nodeStore } from '../../src/io/store-node.ts';
import { mlp } from '../../src/models/mlp.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { cosine } from '../../src/optim/schedule.ts';
import { sgd } from '../../src/optim/sgd.ts';
import { fail, orThrow } from '../../src/spec/errors.ts';
import { type Loop, resume, type TrainEvent, train } from '../../src/train/loop.ts';
import { initialState, type Problem } from '../../src/train/step.ts';
import { temporaryFolder } from '../io/temporary.ts';
import { fc } from '../support/fast-check.ts';
import { batchAt, batchOf, clock, full, paca, problemOf, snapshot, tinyMlp } from './tiny.ts';

type Event = TrainEvent<ReferenceTensor>;

const STEPS = 9;
const RUN = 'a run';

const problem = (): Problem<ReferenceTensor, unknown> => {
  const k = referenceF32().kernels;
  return problemOf(k, tinyMlp, paca, adamw(k, { learningRate: cosine(0.05, 0, STEPS), decay: 0.01 }));
};

const loopOf = (p: Problem<ReferenceTensor, unknown>, more: Partial<Loop<ReferenceTensor, unknown>> = {}) => ({
  problem: p,
  state: more.state ?? initialState(p),
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

/** What of each step does not depend on the clock. */
const stepsOf = (events: readonly Event[]): readonly unknown[] =>
  events.flatMap((e) => {
    if (e.kind !== 'step') return [];
    const { ms: _, ...rest } = e;
    return [rest];
  });

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

  it('resumed is uninterrupted, bit for bit, wherever it was stopped, in memory and on a disk', async () => {
    const p = problem();
    const whole = await collect(train(loopOf(p)));
    const expected = await finalState(whole, p);
    const folder = await temporaryFolder();
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: STEPS - 1 }), fc.boolean(), async (stopAfter, onDisk) => {
        const store = onDisk ? nodeStore(join(folder, crypto.randomUUID())) : memoryStore();
        const { before, after, second } = await interruptedRun(store, stopAfter);
        expect(kinds(before).slice(-2)).toEqual([`checkpoint ${stopAfter}`, `interrupted ${stopAfter}`]);
        // Losses, norms, and the bytes of each step: nothing of the first session is still alive.
        expect([...stepsOf(before), ...stepsOf(after)]).toEqual(stepsOf(whole));
        expect(await finalState(after, second)).toEqual(expected);
      }),
      { numRuns: 20 },
    );
  });

  it('can be stopped and gone on with at every single step', async () => {
    const p = problem();
    const whole = await collect(train(loopOf(p)));
    const store = memoryStore();
    const checkpointing = { store, every: 100, run: RUN };
    let last: Event | undefined;
    for (let session = 0; last?.kind !== 'done'; session++) {
      const q = problem();
      const state = orThrow(await resume(q, { store, run: RUN }));
      expect(state.step).toBe(session);
      const controller = new AbortController();
      for await (const event of train(loopOf(q, { state, checkpointing, signal: controller.signal }))) {
        if (event.kind === 'step') controller.abort();
        last = event;
      }
      if (last?.kind === 'done') expect(await finalState([last], q)).toEqual(await finalState(whole, p));
    }
  });

  it('that is stopped before it began saves its beginning', async () => {
    const store = memoryStore();
    const loop = loopOf(problem(), { checkpointing: { store, every: 3, run: RUN }, signal: AbortSignal.abort() });
    expect(kinds(await collect(train(loop)))).toEqual(['checkpoint 0', 'interrupted 0']);
    expect(orThrow(await resume(problem(), { store, run: RUN })).step).toBe(0);
  });

  it('can be stopped by what else runs on the thread, though its backend never waits', async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 1);
    const long = { steps: 20_000, clock: () => performance.now(), signal: controller.signal };
    let last: Event | undefined;
    for await (const event of train(loopOf(problem(), long))) last = event;
    expect(last?.kind).toBe('interrupted');
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

  it('stops when the weights overflow, and the message says what of', async () => {
    const k = referenceF32().kernels;
    const relu = mlp({ widths: [7, 5, 3], activation: 'relu' });
    const p = problemOf(k, relu, full, sgd(k, { learningRate: 1e30 }));
    const events = await collect(train(loopOf(p)));
    const last = events.at(-1)!;
    expect(last).toMatchObject({ kind: 'failed', error: { tag: 'NonFiniteError', where: `step ${last.step}` } });
    expect(last.kind === 'failed' && last.error.came).toMatch(
      /(NaN|Infinity).*the gradient of layers\.1\.\w+ is not finite/,
    );
    expect(events.at(-2)!.kind).toBe('step');
  });

  /** A store whose disk is full after some checkpoints. */
  const fullAfter = (writes: number): { readonly full: Store; readonly good: Store } => {
    const good = memoryStore();
    let left = writes;
    const writeGroup: Store['writeGroup'] = (name, files) =>
      left-- > 0
        ? good.writeGroup(name, files)
        : Promise.resolve(fail('FileError', 'room on the disk', 'ENOSPC', name));
    return { good, full: { ...good, writeGroup } };
  };

  it.each([1, 2, 3])(
    'stops with the reason when checkpoint %d cannot be written; the one before it stays',
    async (n) => {
      const { full, good } = fullAfter(n - 1);
      const events = await collect(train(loopOf(problem(), { checkpointing: { store: full, every: 3, run: RUN } })));
      expect(events.at(-1)).toMatchObject({ kind: 'failed', step: 3 * n, error: { tag: 'FileError', came: 'ENOSPC' } });
      expect(orThrow(await resume(problem(), { store: good, run: RUN })).step).toBe(3 * (n - 1));
    },
  );

  it('is not called interrupted when its state could not be saved', async () => {
    const { full } = fullAfter(0);
    const loop = loopOf(problem(), { checkpointing: { store: full, every: 3, run: RUN }, signal: AbortSignal.abort() });
    expect(kinds(await collect(train(loop)))).toEqual(['failed 0']);
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
