/** AdamW in one pass: what is derived in `src/core/derived/adamw.ts`, in `assembly/adamw.ts`. */
import type { AdamwKernels } from '../../src/core/derived/adamw.ts';
import { defect } from '../../src/spec/errors.ts';
import { type Shape, sameShape, showSpec, sizeOf } from '../../src/spec/tensor.ts';
import type { Exports } from './exports.ts';
import { floatsOf, type Memory, type WasmTensor } from './memory.ts';

/** The address of a tensor of the shape it must have. */
const floatsAs = (x: WasmTensor, shape: Shape): number =>
  sameShape(x.shape, shape) ? floatsOf(x) : defect(`adamw: [${shape}] expected, got ${showSpec(x)}`);

/** Differences to 1 are taken in f64, as the derivation takes them; the kernel's parameters round each number once. */
export const fusedAdamw = (exports: Exports, memory: Memory): AdamwKernels<WasmTensor> => ({
  update: (gradient, moments, parameter, target, c, release) => {
    const { shape } = gradient;
    const address = (x: WasmTensor): number => floatsAs(x, shape);
    const decays = c.decay !== 0;
    const inputs = [floatsOf(gradient), address(moments.m), address(moments.v)] as const;
    const point = decays ? address(parameter) : 0;
    const towards = decays && target !== null ? address(target) : 0;
    const next = (old: WasmTensor): WasmTensor =>
      release ? memory.succeed(old, release) : memory.create('f32', shape);
    const [delta, m, v] = [next(gradient), next(moments.m), next(moments.v)];
    exports.adamw(
      0,
      sizeOf(shape),
      ...inputs,
      point,
      towards,
      ...([c.beta1, 1 - c.beta1, c.beta2, 1 - c.beta2, c.correction1, c.correction2, c.epsilon] as const),
      ...([decays ? 1 : 0, c.decay, -c.learningRate] as const),
      ...([floatsOf(delta), floatsOf(m), floatsOf(v)] as const),
    );
    return [delta, { m, v }];
  },
});
