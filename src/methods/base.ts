/** The frozen weight and bias of a place: checked against its operation, and put on a backend. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { widen } from '../core/derived/widen.ts';
import type { Kernels } from '../core/fused.ts';
import type { Affine } from '../layers/linear.ts';
import { fail, type Result } from '../spec/errors.ts';
import { isNf4 } from '../spec/nf4.ts';
import { type HostTensor, type Shape, type Spec, sameShape, showSpec } from '../spec/tensor.ts';
import { type Site, weightShape } from './operation.ts';

/** A base weight and bias in host memory, by the names `weight` and `bias`. */
export type HostAffine = Affine<HostTensor>;

export const checkShape = (t: HostTensor, shape: Shape, where: string): Result<HostTensor> =>
  sameShape(t.shape, shape) ? E.right(t) : fail('ShapeError', `shape [${shape.join(', ')}]`, showSpec(t), where);

const checkShapes = (base: HostAffine, { path, operation }: Site): Result<HostAffine> =>
  pipe(
    checkShape(base.weight, weightShape(operation), `${path}.weight`),
    E.chain(() =>
      base.bias === undefined ? E.right(base.weight) : checkShape(base.bias, [operation.config.out], `${path}.bias`),
    ),
    E.map(() => base),
  );

/** Storage types are for frozen weights, and for biases, which are widened: what trains is computed with as it is. */
const checkTypes = (base: HostAffine, trains: boolean, { path, operation }: Site): Result<HostAffine> => {
  const isFloat = ({ dtype }: HostTensor): boolean => dtype === 'f32' || dtype === 'f64';
  const isStored = (t: HostTensor): boolean => isFloat(t) || t.dtype === 'f16' || t.dtype === 'bf16';
  const isLinear = operation.kind === 'linear';
  if (!isStored(base.weight) && !(isLinear && isNf4(base.weight.dtype))) {
    const types = isLinear ? 'f32, f16, bf16 or nf4' : 'f32, f16 or bf16';
    return fail('ShapeError', `a weight of ${types}`, showSpec(base.weight), `${path}.weight`);
  }
  if (trains && !isFloat(base.weight)) {
    return fail('ShapeError', 'an f32 weight to train in full', showSpec(base.weight), `${path}.weight`);
  }
  return base.bias === undefined || isStored(base.bias)
    ? E.right(base)
    : fail('ShapeError', 'a bias of f32, f16 or bf16', showSpec(base.bias), `${path}.bias`);
};

/** `trains`: whether the weight itself does. Errors: another shape, a type in which weights are not stored or do not train. */
export const checkBase = (base: HostAffine, site: Site, trains: boolean): Result<HostAffine> =>
  pipe(
    checkShapes(base, site),
    E.chain(() => checkTypes(base, trains, site)),
  );

/** The weight in its storage type, the bias in the float type. */
export const toDevice = <T extends Spec>(k: Kernels<T>, { weight, bias }: HostAffine): Affine<T> => ({
  weight: k.fromHost(weight),
  ...(bias && { bias: k.scope(() => widen(k, k.fromHost(bias))) }),
});
