/**
 * A training state as files, and back. A checkpoint holds what trains and the optimizer's state, to the bit, with the
 * step, under a digest; frozen weights are not in it: they are the base that the run began from.
 *
 * Law: `decodeCheckpoint(like, encodeCheckpoint(k, s))` is s; files that a fault changed into saying something else
 * are a `left`.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import * as v from 'valibot';
import type { Kernels } from '../core/fused.ts';
import { leafPaths, mapTree, overlay, type Tree } from '../core/tree.ts';
import { sha256Hex } from '../io/digest.ts';
import { decodeSafetensors, encodeSafetensors } from '../io/safetensors.ts';
import type { Files } from '../io/store.ts';
import type { Numbers } from '../optim/transform.ts';
import { fail, type PacaError, type Result } from '../spec/errors.ts';
import { parseStrictJson } from '../spec/strict-json.ts';
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
  /** SHA-256 over the tensors' file and the rest of this record. */
  digest: v.string(),
});

type CheckpointRecord = v.InferOutput<typeof recordSchema>;

const encodeJson = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);

const digestOf = (tensors: Uint8Array, { version, step, numbers, run }: Omit<CheckpointRecord, 'digest'>) =>
  sha256Hex([tensors, encodeJson({ version, step, numbers, run })]);

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
  const file = encodeSafetensors(tensors);
  const content = { version: VERSION, step: state.step, numbers: state.optimizer.numbers, run } as const;
  const record: CheckpointRecord = { ...content, digest: await digestOf(file, content) };
  return new Map([
    [TENSORS, file],
    [RECORD, encodeJson(record)],
  ]);
};

const file = (files: Files, name: string, where: string): Result<Uint8Array> => {
  const bytes = files.get(name);
  return bytes === undefined ? fail('FileError', `a file ${name}`, 'none', where) : E.right(bytes);
};

const parseRecord = (bytes: Uint8Array, where: string): Result<CheckpointRecord> =>
  pipe(
    parseStrictJson(new TextDecoder().decode(bytes), `${where}/${RECORD}`),
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

/** Whether an optimizer that keeps numbers like `a` can go on from `b`. */
const alike = (a: Numbers, b: Numbers): boolean =>
  typeof a === 'number' || typeof b === 'number'
    ? typeof a === typeof b
    : a.length === b.length && a.every((x, i) => alike(x, b[i] ?? []));

/** The record and the tensors, if they are whole, unchanged and of this run. */
const readFiles = (
  files: Files,
  run: string,
  where: string,
): TE.TaskEither<
  PacaError,
  { readonly record: CheckpointRecord; readonly tensors: Readonly<Record<string, HostTensor>> }
> =>
  pipe(
    TE.Do,
    TE.bind('record', () =>
      pipe(
        TE.fromEither(file(files, RECORD, where)),
        TE.chainEitherK((bytes) => parseRecord(bytes, where)),
      ),
    ),
    TE.chainFirstEitherK(({ record }) =>
      record.run === run
        ? E.right(record)
        : fail('FileError', `a checkpoint of this run (${run})`, `one of another (${record.run})`, where),
    ),
    TE.bind('bytes', () => TE.fromEither(file(files, TENSORS, where))),
    TE.bind('tensors', ({ bytes }) =>
      pipe(
        TE.fromEither(decodeSafetensors(bytes, `${where}/${TENSORS}`)),
        TE.map(({ tensors }) => tensors),
      ),
    ),
    TE.bind('digest', ({ record, bytes }) => TE.fromTask(() => digestOf(bytes, record))),
    TE.chainFirstEitherK(({ record, digest }) =>
      record.digest === digest
        ? E.right(digest)
        : fail('FileError', `content of digest ${record.digest}`, `changed content of ${digest}`, where),
    ),
  );

/** The state that the files describe, where `like` has a place for all of it. */
const stateOf = <T extends Spec, R>(
  problem: Problem<T, R>,
  like: TrainState<T>,
  record: CheckpointRecord,
  tensors: Readonly<Record<string, HostTensor>>,
  where: string,
): Result<TrainState<T>> =>
  pipe(
    E.Do,
    E.chainFirst(() =>
      alike(like.optimizer.numbers, record.numbers)
        ? E.right(null)
        : fail(
            'FileError',
            `optimizer numbers like ${JSON.stringify(like.optimizer.numbers)}`,
            JSON.stringify(record.numbers),
            `${where}/${RECORD}`,
          ),
    ),
    E.bind('trained', () => restored(problem.kernels, tensors, 'trained', trainableOf(problem, like.params), where)),
    E.bind('optimizer', () => restored(problem.kernels, tensors, 'optimizer', like.optimizer.tensors, where)),
    E.map(({ trained, optimizer }) => ({
      params: overlay(like.params, trained),
      optimizer: { tensors: optimizer, numbers: record.numbers },
      step: record.step,
    })),
  );

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
): Promise<Result<TrainState<T>>> =>
  pipe(
    readFiles(files, run, where),
    TE.chainEitherK(({ record, tensors }) => stateOf(problem, like, record, tensors, where)),
  )();
