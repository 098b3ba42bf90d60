/** An adapter held against the linear maps of the model that it is to serve. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { LinearConfig } from '../layers/linear.ts';
import type { Site } from '../methods/operation.ts';
import { checkIndices } from '../select/indices.ts';
import { fail, type Result } from '../spec/errors.ts';
import { type HostTensor, type Shape, sameShape, showSpec } from '../spec/tensor.ts';
import type { AdapterFile } from './adapter.ts';
import type { DoraModule, LoraModule, MosloraModule } from './adapter-lora.ts';
import type { AdapterModule } from './adapter-paca.ts';

/** The linear maps of a model, by their paths. */
export type LinearMaps = ReadonlyMap<string, LinearConfig>;

export const linearMaps = (sites: readonly Site[]): LinearMaps =>
  new Map(
    sites.flatMap(({ path, operation: { kind, config } }) => (kind === 'linear' ? [[path, config] as const] : [])),
  );

/** The linear map that a module adapts. */
const mapOf = (maps: LinearMaps, path: string): Result<LinearConfig> => {
  const found = maps.get(path);
  return found === undefined
    ? fail('ConfigError', `a module that is a linear map of the base, as ${[...maps.keys()].at(0)} is`, 'none', path)
    : E.right(found);
};

const checkShape = ({ shape }: HostTensor, wanted: Shape, where: string): Result<void> =>
  sameShape(shape, wanted)
    ? E.right(undefined)
    : fail('ShapeError', `shape [${wanted.join(', ')}]`, showSpec({ dtype: 'f32', shape }), where);

/** δ `[out, r]`, and r columns that the map has. */
const checkPacaModule = (
  { indices, delta }: AdapterModule,
  { in: columns, out }: LinearConfig,
  path: string,
): Result<void> =>
  pipe(
    checkShape(delta, [out, indices.length], `${path}.paca_delta`),
    E.chain(() => checkIndices(indices, columns, `${path}.paca_indices`)),
    E.map(() => undefined),
  );

type LowRankModule = LoraModule & Partial<DoraModule> & Partial<MosloraModule>;

/** A `[r, in]` and B `[out, r]`, DoRA's m `[out]`, MosLoRA's M `[r, r]`. */
const checkLowRankModule = (
  { a, b, magnitude, mixer }: LowRankModule,
  map: LinearConfig,
  path: string,
): Result<void> => {
  const rank = a.shape[0]!;
  return pipe(
    checkShape(a, [rank, map.in], `${path}.lora_A.weight`),
    E.chain(() => checkShape(b, [map.out, rank], `${path}.lora_B.weight`)),
    E.chain(() => (magnitude ? checkShape(magnitude, [map.out], `${path}.lora_magnitude_vector`) : E.right(undefined))),
    E.chain(() => (mixer ? checkShape(mixer, [rank, rank], `${path}.lora_mixer.weight`) : E.right(undefined))),
  );
};

/** Every module of the adapter is a linear map of the model, and its tensors fit. */
export const checkAdapter = (adapter: AdapterFile, maps: LinearMaps): Result<AdapterFile> => {
  type Module = AdapterModule | LowRankModule;
  const check = ([path, module]: readonly [string, Module]): Result<void> =>
    pipe(
      mapOf(maps, path),
      E.chain((map) =>
        'indices' in module ? checkPacaModule(module, map, path) : checkLowRankModule(module, map, path),
      ),
    );
  return pipe(
    Object.entries<Module>(adapter.modules),
    E.traverseArray(check),
    E.map(() => adapter),
  );
};
