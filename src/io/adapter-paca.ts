/**
 * A PaCA adapter as Hugging Face PEFT's tuner stores it: of each module `paca_delta` `[out, r]` and `paca_indices`
 * `[r]`. (PEFT adapts linear maps alone; a convolution's δ has its kernel's axes behind, a depthwise one's its channels
 * along the first axis, as `deltaShape` gives them.)
 *
 * Law: what is read is sorted by columns, so two files that hold the same columns in another order read alike.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { fail, type Result } from '../spec/errors.ts';
import type { JsonObject } from '../spec/strict-json.ts';
import { type HostTensor, type HostTensorOf, type Shape, sizeOf } from '../spec/tensor.ts';
import { type AdapterSettings, CONFIG, encodeConfig, type Keys, optional, readSettings } from './adapter-config.ts';
import { encodeTensors, hasSaved, splitSaved } from './adapter-saved.ts';
import { floatsOf, indicesOf, isPartOf, type Parts, partsOf, TENSORS, traverseModules } from './adapter-tensors.ts';
import type { Files } from './store.ts';

/** One adapted module. */
export interface AdapterModule {
  /** Sorted and distinct. */
  readonly indices: Int32Array;
  /** δ, f32. */
  readonly delta: HostTensor;
}

export interface PacaAdapterFile extends AdapterSettings {
  readonly method: 'paca';
  /** What the columns were drawn with. */
  readonly seed: number | null;
  /** By their paths. */
  readonly modules: Readonly<Record<string, AdapterModule>>;
}

type Part = 'paca_delta' | 'paca_indices';
const parts: readonly Part[] = ['paca_delta', 'paca_indices'];

export const pacaKeys: Keys = {
  alpha: 'paca_alpha',
  own: ['random_seed'],
  idle: ['init_weights'],
  off: [
    'bias',
    'fan_in_fan_out',
    'layer_replication',
    'target_parameters',
    'trainable_token_indices',
    'rank_pattern',
    'alpha_pattern',
  ],
};

// Reading

const isDepthwise = (shape: Shape, rank: number): boolean =>
  shape.length === 4 && shape[1] === 1 && rank > 1 && shape[0]! % rank === 0;

const isDelta =
  (rank: number) =>
  (shape: Shape): boolean =>
    ((shape.length === 2 || shape.length === 4) && shape[1] === rank) || isDepthwise(shape, rank);

/** The columns of δ, seen as `[before, r, after]`, in another order: column j of the result is column `order[j]`. */
const permuted = (delta: HostTensorOf<'f32'>, order: readonly number[]): HostTensorOf<'f32'> => {
  const { shape, data } = delta;
  const rank = order.length;
  const before = isDepthwise(shape, rank) ? 1 : shape[0]!;
  const after = sizeOf(shape) / (before * rank) || 0;
  const sorted = new Float32Array(data.length);
  for (let row = 0; row < before; row++)
    order.forEach((from, to) => {
      const block = (column: number): number => (row * rank + column) * after;
      sorted.set(data.subarray(block(from), block(from) + after), block(to));
    });
  return { dtype: 'f32', shape, data: sorted };
};

const sortedModule = (indices: Int32Array, delta: HostTensorOf<'f32'>, where: string): Result<AdapterModule> => {
  const order = Array.from(indices.keys()).sort((i, j) => indices[i]! - indices[j]!);
  const sorted = Int32Array.from(order, (i) => indices[i]!);
  const twice = sorted.find((index, i) => index === sorted[i - 1]);
  if (twice !== undefined) return fail('IndexError', 'distinct column indices', `${twice} twice`, where);
  return E.right({ indices: sorted, delta: permuted(delta, order) });
};

const readModule =
  (rank: number, where: string) =>
  (path: string, module: Parts<Part>): Result<AdapterModule> => {
    const at = (part: Part): string => `${where}, ${path}.${part}`;
    return pipe(
      indicesOf(module.paca_indices, rank, at('paca_indices')),
      E.bindTo('indices'),
      E.bind('delta', () => floatsOf(module.paca_delta, isDelta(rank), `[out, ${rank}]`, at('paca_delta'))),
      E.chain(({ indices, delta }) => sortedModule(indices, delta, at('paca_indices'))),
    );
  };

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value);

export const readPaca = (
  config: JsonObject,
  tensors: Readonly<Record<string, HostTensor>>,
  where: string,
): Result<PacaAdapterFile> =>
  pipe(
    readSettings(config, pacaKeys, `${where}/${CONFIG}`),
    E.chain((settings) =>
      settings.alpha > 0
        ? E.right(settings)
        : fail('ConfigError', 'a number above 0', String(settings.alpha), `${where}/${CONFIG}, ${pacaKeys.alpha}`),
    ),
    E.bindTo('settings'),
    E.bind('seed', () => optional(config, 'random_seed', isWhole, 'a whole number', `${where}/${CONFIG}`)),
    E.bind('split', ({ settings }) => splitSaved(tensors, settings, isPartOf(parts), `${where}/${TENSORS}`)),
    E.bind('found', ({ split }) => partsOf(split.others, parts, `${where}/${TENSORS}`)),
    E.bind('modules', ({ settings, found }) =>
      traverseModules(found, readModule(settings.rank, `${where}/${TENSORS}`)),
    ),
    E.map(({ settings, seed, modules, split: { saved } }) => ({
      ...{ method: 'paca', ...settings, seed, modules },
      ...(hasSaved(saved) && { saved }),
    })),
  );

// Writing

/** The two files of an adapter. */
export const encodePacaAdapter = (adapter: PacaAdapterFile): Files => {
  const modules = Object.entries(adapter.modules).map(([path, { indices, delta }]): [string, Parts<Part>] => [
    path,
    {
      paca_delta: delta,
      paca_indices: { dtype: 'i64', shape: [indices.length], data: BigInt64Array.from(indices, BigInt) },
    },
  ]);
  const config = encodeConfig(adapter, pacaKeys, {
    peft_type: 'PACA',
    random_seed: adapter.seed,
    init_weights: true,
    peft_version: '0.22.0',
  });
  return new Map([
    [TENSORS, encodeTensors(Object.fromEntries(modules), adapter.saved)],
    [CONFIG, config],
  ]);
};
