/**
 * A method applied to one place of a model: base weights in, a layer with its parameters out. Models call this for
 * every linear map and convolution that they hold, and do not know which method they got.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { widen } from '../core/derived/widen.ts';
import type { Kernels } from '../core/fused.ts';
import { type AnyLayer, anyLayer } from '../core/layer.ts';
import type { Tree } from '../core/tree.ts';
import { conv2d, frozenConv2d } from '../layers/conv2d.ts';
import { type Affine, frozenLinear, type LinearConfig, linear } from '../layers/linear.ts';
import { checkIndices } from '../select/indices.ts';
import { fail, type Result } from '../spec/errors.ts';
import { type HostTensor, type Shape, type Spec, sameShape, showSpec } from '../spec/tensor.ts';
import { loraLinear } from './lora.ts';
import { columnView, deltaShape, type Module, type Operation, type Site, weightShape } from './operation.ts';
import { type PacaAdapterConfig, pacaConv2d, pacaLinear } from './paca.ts';

/** A base weight and bias in host memory, by the names `weight` and `bias`. */
export type HostAffine = Affine<HostTensor>;

/** What happens to one place. */
export type Treatment =
  | { readonly method: 'frozen' }
  | { readonly method: 'full' }
  | { readonly method: 'paca'; readonly adapters: readonly PacaPlan[] }
  | { readonly method: 'lora'; readonly adapters: readonly LoraPlan[] };

/** One PaCA adapter before it is on a backend. */
export interface PacaPlan {
  readonly indices: Int32Array;
  /** α; s = α/r. */
  readonly alpha: number;
  /** Where δ starts; 0 if not given. */
  readonly delta?: HostTensor;
  /** Default true. */
  readonly active?: boolean;
  readonly trains?: boolean;
}

/** One LoRA adapter before it is on a backend; `freshLora` makes A and B. */
export interface LoraPlan {
  /** `[r, in]` */
  readonly a: HostTensor;
  /** `[out, r]` */
  readonly b: HostTensor;
  /** s, α/r as a rule. */
  readonly scale: number;
  /** Default true. */
  readonly active?: boolean;
  readonly trains?: boolean;
}

/** Names that a config may give as method. */
export const methodNames: readonly string[] = ['full', 'paca', 'lora', 'frozen'];

export const checkMethod = (name: string): Result<Treatment['method']> =>
  methodNames.includes(name)
    ? E.right(name as Treatment['method'])
    : fail('ConfigError', `one of ${methodNames.join(', ')}`, `'${name}'`, 'method');

export const adapterConfig = ({ indices, alpha, active = true, trains = true }: PacaPlan): PacaAdapterConfig => ({
  rank: indices.length,
  scale: alpha / indices.length,
  active,
  trains,
});

const checkShape = (t: HostTensor, shape: Shape, where: string): Result<HostTensor> =>
  sameShape(t.shape, shape) ? E.right(t) : fail('ShapeError', `shape [${shape.join(', ')}]`, showSpec(t), where);

const checkBase = (base: HostAffine, { path, operation }: Site): Result<HostAffine> =>
  pipe(
    checkShape(base.weight, weightShape(operation), `${path}.weight`),
    E.chain(() =>
      base.bias === undefined ? E.right(base.weight) : checkShape(base.bias, [operation.config.out], `${path}.bias`),
    ),
    E.map(() => base),
  );

/** Storage types are for frozen weights, and for biases, which are widened: what trains is computed with as it is. */
const checkTypes = (base: HostAffine, treatment: Treatment, { path }: Site): Result<HostAffine> => {
  const isFloat = ({ dtype }: HostTensor): boolean => dtype === 'f32' || dtype === 'f64';
  const isStored = (t: HostTensor): boolean => isFloat(t) || t.dtype === 'f16' || t.dtype === 'bf16';
  if (!isStored(base.weight))
    return fail('ShapeError', 'a weight of f32, f16 or bf16', showSpec(base.weight), `${path}.weight`);
  if (treatment.method === 'full' && !isFloat(base.weight)) {
    return fail('ShapeError', 'an f32 weight to train in full', showSpec(base.weight), `${path}.weight`);
  }
  return base.bias === undefined || isStored(base.bias)
    ? E.right(base)
    : fail('ShapeError', 'a bias of f32, f16 or bf16', showSpec(base.bias), `${path}.bias`);
};

const checkPlan = (plan: PacaPlan, { path, operation }: Site): Result<PacaPlan> =>
  pipe(
    checkIndices(plan.indices, columnView(operation).columns, path),
    E.chain(() =>
      Number.isFinite(plan.alpha) && plan.alpha > 0
        ? E.right(plan.alpha)
        : fail('ConfigError', 'an alpha above 0', String(plan.alpha), path),
    ),
    E.chain(() =>
      plan.delta === undefined
        ? E.right(plan)
        : pipe(
            checkShape(plan.delta, deltaShape(operation, plan.indices.length), `${path}.delta`),
            E.map(() => plan),
          ),
    ),
  );

const toDevice = <T extends Spec>(k: Kernels<T>, { weight, bias }: HostAffine): Affine<T> => ({
  weight: k.fromHost(weight),
  ...(bias && { bias: k.scope(() => widen(k, k.fromHost(bias))) }),
});

/** The layer of an operation whose weight trains in full, or not at all. */
const plainLayer = <T extends Spec>(k: Kernels<T>, { kind, config }: Operation, trains: boolean): AnyLayer<T> => {
  if (kind === 'linear') return trains ? anyLayer(linear(k, config)) : anyLayer(frozenLinear(k, config));
  return trains ? anyLayer(conv2d(k, config)) : anyLayer(frozenConv2d(k, config));
};

const pacaLayer = <T extends Spec>(
  k: Kernels<T>,
  { kind, config }: Operation,
  adapters: readonly PacaAdapterConfig[],
): AnyLayer<T> =>
  kind === 'linear' ? anyLayer(pacaLinear(k, config, adapters)) : anyLayer(pacaConv2d(k, config, adapters));

const pacaParams = <T extends Spec>(
  k: Kernels<T>,
  operation: Operation,
  base: HostAffine,
  plans: readonly PacaPlan[],
): Tree<T> => ({
  ...toDevice(k, base),
  adapters: plans.map(({ indices, delta }) => ({
    indices: k.fromHost({ dtype: 'i32', shape: [indices.length], data: indices }),
    delta: delta === undefined ? k.full(deltaShape(operation, indices.length), 0) : k.fromHost(delta),
  })),
});

const buildPaca = <T extends Spec>(
  k: Kernels<T>,
  site: Site,
  base: HostAffine,
  adapters: readonly PacaPlan[],
): Result<Module<T>> =>
  pipe(
    E.traverseArray((plan: PacaPlan) => checkPlan(plan, site))(adapters),
    E.map((plans) => ({
      layer: pacaLayer(k, site.operation, plans.map(adapterConfig)),
      params: pacaParams(k, site.operation, base, plans),
    })),
  );

const checkLora = ({ in: width, out }: LinearConfig, plan: LoraPlan, path: string): Result<LoraPlan> =>
  pipe(
    checkShape(plan.a, [plan.a.shape[0] ?? 0, width], `${path}.lora_A`),
    E.chain((a) => checkShape(plan.b, [out, a.shape[0] ?? 0], `${path}.lora_B`)),
    E.chain(() =>
      Number.isFinite(plan.scale) ? E.right(plan) : fail('ConfigError', 'a finite scale', String(plan.scale), path),
    ),
  );

const buildLora = <T extends Spec>(
  k: Kernels<T>,
  { path, operation: { kind, config } }: Site,
  base: HostAffine,
  adapters: readonly LoraPlan[],
): Result<Module<T>> => {
  if (kind !== 'linear') return fail('ConfigError', 'a linear map, which LoRA adapts', `a ${kind}`, path);
  return pipe(
    E.traverseArray((plan: LoraPlan) => checkLora(config, plan, path))(adapters),
    E.map((plans) => ({
      layer: anyLayer(
        loraLinear(
          k,
          config,
          plans.map(({ a, scale, active = true, trains = true }) => ({
            ...{ rank: a.shape[0] ?? 0, scale, active, trains },
          })),
        ),
      ),
      params: {
        ...toDevice(k, base),
        adapters: plans.map(({ a, b }) => ({ a: k.fromHost(a), b: k.fromHost(b) })),
      },
    })),
  );
};

/**
 * Errors: a weight, bias, δ, A or B of another shape; indices repeated, unsorted or out of range; r > in; α ≤ 0; LoRA on a
 * convolution.
 */
export const adapt = <T extends Spec>(
  k: Kernels<T>,
  site: Site,
  base: HostAffine,
  treatment: Treatment,
): Result<Module<T>> =>
  pipe(
    checkBase(base, site),
    E.chain((checked) => checkTypes(checked, treatment, site)),
    E.chain((checked): Result<Module<T>> => {
      if (treatment.method === 'paca') return buildPaca(k, site, checked, treatment.adapters);
      if (treatment.method === 'lora') return buildLora(k, site, checked, treatment.adapters);
      const layer = plainLayer(k, site.operation, treatment.method === 'full');
      return E.right({ layer, params: { ...toDevice(k, checked) } });
    }),
  );
