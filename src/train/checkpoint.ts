/**
 * A training state as files, and back. A checkpoint holds what trains and the optimizer's state, to the bit, with the
 * step; frozen weights are not in it: they are the base that the run began from.
 *
 * Law: `decodeCheckpoint(like, encodeCheckpoint(k, s))` is s.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as v from 'valibot';
import type { Kernels } from '../core/fused.ts';
import { leafPaths, mapTree, overlay, type Tree } from '../core/tree.ts';
import { decodeSafetensors, encodeSafetensors } from '../io/safetensors.ts';
import type { Files } from '../io/store.ts';
import type { Numbers } from '../optim/transform.ts';
import { fail, type Result } from '../spec/errors.ts';
import { type HostTensor, type Spec, sameShape, showSpec } from '../spec/tensor.ts';
import { type Problem, type TrainState, trainableOf } from './step.ts';

const TENSORS = 'state.safetensors';
const RECORD = 'state.json';
const VERSION = 1;

const numbersSchema: v.GenericSchema<Numbers> = v.lazy(() => v.union([v.number(), v.array(numbersSchema)]));

const recordSchema = v.strictObject({
  version: v.literal(VERSION),
  step: v.pipe(v.number(), v.integer(), v.minValue(0)),
  /** The optimizer's numbers; JSON writes f64 so that it reads back the same. */
  numbers: numbersSchema,
  /** What the run is: a checkpoint of another run is refused. */
  run: v.string(),
});

type CheckpointRecord = v.InferOutput<typeof recordSchema>;

const prefixed = <T extends Spec>(prefix: string, tree: Tree<T>): readonly (readonly [string, T])[] =>
  leafPaths(tree).map(([path, leaf]) => [`${prefix}:${path}`, leaf]);

/** `run` identifies the run, for example by the digest of its config. */
export const encodeCheckpoint = async <T extends Spec, R>(
  problem: Problem<T, R>,
  state: TrainState<T>,
  run: string,
): Promise<Files> => {
  const { kernels: k } = problem;
  const leaves = [
    ...prefixed('trained', trainableOf(problem, state.params)),
    ...prefixed('optimizer', state.optimizer.tensors),
  ];
  const tensors: Record<string, HostTensor> = {};
  for (const [name, leaf] of leaves) tensors[name] = await k.toHost(leaf);
  const record: CheckpointRecord = { version: VERSION, step: state.step, numbers: state.optimizer.numbers, run };
  return new Map([
    [TENSORS, encodeSafetensors(tensors)],
    [RECORD, new TextEncoder().encode(`${JSON.stringify(record, null, 2)}\n`)],
  ]);
};

const file = (files: Files, name: string, where: string): Result<Uint8Array> => {
  const bytes = files.get(name);
  return bytes === undefined ? fail('FileError', `a file ${name}`, 'none', where) : E.right(bytes);
};

const parseRecord = (bytes: Uint8Array, where: string): Result<CheckpointRecord> =>
  pipe(
    E.tryCatch(
      (): unknown => JSON.parse(new TextDecoder().decode(bytes)),
      (e) => ({ tag: 'FileError' as const, expected: 'JSON', came: String(e), where: `${where}/${RECORD}` }),
    ),
    E.chain((json) => {
      const parsed = v.safeParse(recordSchema, json);
      return parsed.success
        ? E.right(parsed.output)
        : fail('FileError', 'a checkpoint record', parsed.issues[0].message, `${where}/${RECORD}`);
    }),
  );

/** The stored tensors in the tree of `like`; every leaf must be there with its shape. */
const restored = <T extends Spec>(
  k: Kernels<T>,
  tensors: Readonly<Record<string, HostTensor>>,
  prefix: string,
  like: Tree<T>,
  where: string,
): Result<Tree<T>> => {
  const found = new Map<string, HostTensor>();
  for (const [path, leaf] of leafPaths(like)) {
    const name = `${prefix}:${path}`;
    const stored = tensors[name];
    const good = stored !== undefined && sameShape(stored.shape, leaf.shape) && stored.dtype === leaf.dtype;
    if (!good) {
      const came = stored === undefined ? 'nothing of that name' : showSpec(stored);
      return fail('FileError', `${name} ${showSpec(leaf)}`, came, `${where}/${TENSORS}`);
    }
    found.set(path, stored);
  }
  return E.right(mapTree(like, (_, path) => k.fromHost(found.get(path) as HostTensor)));
};

/**
 * The state of the files, over the base weights of `like`, the run's initial state.
 * Errors: files missing, cut or changed; a checkpoint of another run; tensors of other shapes.
 */
export const decodeCheckpoint = <T extends Spec, R>(
  problem: Problem<T, R>,
  like: TrainState<T>,
  files: Files,
  run: string,
  where: string,
): Result<TrainState<T>> =>
  pipe(
    E.Do,
    E.bind('record', () =>
      pipe(
        file(files, RECORD, where),
        E.chain((bytes) => parseRecord(bytes, where)),
      ),
    ),
    E.chainFirst(({ record }) =>
      record.run === run
        ? E.right(record)
        : fail('FileError', `a checkpoint of this run (${run})`, `one of another (${record.run})`, where),
    ),
    E.bind('tensors', () =>
      pipe(
        file(files, TENSORS, where),
        E.chain((bytes) => decodeSafetensors(bytes, `${where}/${TENSORS}`)),
        E.map(({ tensors }) => tensors),
      ),
    ),
    E.bind('trained', ({ tensors }) =>
      restored(problem.kernels, tensors, 'trained', trainableOf(problem, like.params), where),
    ),
    E.bind('optimizer', ({ tensors }) =>
      restored(problem.kernels, tensors, 'optimizer', like.optimizer.tensors, where),
    ),
    E.map(({ record, trained, optimizer }) => ({
      params: overlay(like.params, trained),
      optimizer: { tensors: optimizer, numbers: record.numbers },
      step: record.step,
    })),
  );
