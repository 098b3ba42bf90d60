/** Optimizers over several steps, from given gradients; decay in both directions; clipping; schedules. */
import type { Kernels } from '../../core/fused.ts';
import type { Tree } from '../../core/tree.ts';
import { adamw } from '../../optim/adamw.ts';
import { clipByGlobalNorm } from '../../optim/clip.ts';
import { constant, cosine, linear, type Schedule, warmUp } from '../../optim/schedule.ts';
import { momentum, sgd } from '../../optim/sgd.ts';
import { applyDeltas, chain, type Transform } from '../../optim/transform.ts';
import type { HostTensor, Spec } from '../../spec/tensor.ts';
import { drawn, input, integers, type Json, type Tensors, type VectorCase } from '../case.ts';

const STEPS = 3;

interface OptimizerCase {
  readonly name: string;
  readonly note: string;
  readonly settings: Readonly<Record<string, Json>>;
  readonly make: <T extends Spec>(k: Kernels<T>, inputs: Tensors<T>) => Transform<T>;
  readonly extra?: Tensors<HostTensor>;
}

/** Parameters a `[3, 2]` and b `[5]`; outputs the parameters after each step. */
const optimizerCase = ({ name, note, settings, make, extra = {} }: OptimizerCase): VectorCase => ({
  id: `optimizers/${name}`,
  note,
  settings,
  inputs: {
    'parameter.a': drawn(`${name}.a`, 3, 2),
    'parameter.b': drawn(`${name}.b`, 5),
    ...Object.fromEntries(
      Array.from({ length: STEPS }, (_, t) => [
        [`gradient.${t}.a`, drawn(`${name}.gradient.${t}.a`, 3, 2)],
        [`gradient.${t}.b`, drawn(`${name}.gradient.${t}.b`, 5)],
      ]).flat(),
    ),
    ...extra,
  },
  run: <T extends Spec>(k: Kernels<T>, inputs: Tensors<T>) => {
    const at = (prefix: string): Tree<T> => ({ a: input(inputs, `${prefix}.a`), b: input(inputs, `${prefix}.b`) });
    const optimizer = make(k, inputs);
    const outputs: Record<string, T> = {};
    let params = at('parameter');
    let state = optimizer.init(params);
    for (let t = 0; t < STEPS; t++) {
      const [deltas, next] = optimizer.update(at(`gradient.${t}`), state, params);
      params = applyDeltas(k, params, deltas);
      state = next;
      Object.assign(outputs, renamed(params, t));
    }
    return outputs;
  },
});

const renamed = <T>(params: Tree<T>, t: number): Record<string, T> => {
  const { a, b } = params as { readonly a: T; readonly b: T };
  return { [`step.${t}.a`]: a, [`step.${t}.b`]: b };
};

const stepCases: readonly VectorCase[] = [
  optimizerCase({
    name: 'sgd',
    note: 'θ ← θ − η·(g + λθ)',
    settings: { learningRate: 0.1, decay: 0.01 },
    make: (k) => sgd(k, { learningRate: 0.1, decay: 0.01 }),
  }),
  optimizerCase({
    name: 'momentum',
    note: 'u ← μu + g; θ ← θ − η·u',
    settings: { learningRate: 0.1, momentum: 0.9 },
    make: (k) => momentum(k, { learningRate: 0.1, momentum: 0.9 }),
  }),
  optimizerCase({
    name: 'nesterov',
    note: 'u ← μu + g; θ ← θ − η·(g + μu)',
    settings: { learningRate: 0.1, momentum: 0.9, nesterov: true },
    make: (k) => momentum(k, { learningRate: 0.1, momentum: 0.9, nesterov: true }),
  }),
  optimizerCase({
    name: 'adam',
    note: 'Adam: AdamW without decay',
    settings: { learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0 },
    make: (k) => adamw(k, { learningRate: 0.01 }),
  }),
  optimizerCase({
    name: 'adamw',
    note: 'Decoupled decay towards 0, which for δ is towards the pretrained weight.',
    settings: { learningRate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1, decayTowards: 'pretrained' },
    make: (k) => adamw(k, { learningRate: 0.01, beta2: 0.95, decay: 0.1 }),
  }),
  optimizerCase({
    name: 'adamw-towards-zero',
    note: 'Decay of δ towards −W[:, I] (here `column`), as the value form decays the columns towards 0: λ·(θ + column).',
    settings: { learningRate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1, decayTowards: 'zero' },
    extra: {
      'column.a': drawn('adamw-towards-zero.column.a', 3, 2),
      'column.b': drawn('adamw-towards-zero.column.b', 5),
    },
    make: (k, inputs) =>
      adamw(k, {
        learningRate: 0.01,
        beta2: 0.95,
        decay: 0.1,
        decayTarget: { a: k.neg(input(inputs, 'column.a')), b: k.neg(input(inputs, 'column.b')) },
      }),
  }),
  optimizerCase({
    name: 'clipped-sgd',
    note: 'Gradients scaled by max/‖g‖ where ‖g‖ over both tensors exceeds max; then a cosine schedule.',
    settings: { max: 1, schedule: 'cosine', from: 0.1, to: 0.01, steps: 4 },
    make: (k) => chain(clipByGlobalNorm(k, 1), sgd(k, { learningRate: cosine(0.1, 0.01, 4) })),
  }),
];

const scheduleCase = (name: string, note: string, settings: Record<string, Json>, schedule: Schedule): VectorCase => ({
  id: `schedules/${name}`,
  note,
  settings,
  inputs: { steps: integers(...Array.from({ length: 12 }, (_, i) => i)) },
  run: (k) => {
    const rates = Float64Array.from({ length: 12 }, (_, i) => schedule(i));
    return { rates: k.fromHost({ dtype: 'f64', shape: [12], data: rates }) };
  },
});

const scheduleCases: readonly VectorCase[] = [
  scheduleCase('constant', 'η', { rate: 0.001 }, constant(0.001)),
  scheduleCase('linear', 'From 0.1 to 0 over 10 steps.', { from: 0.1, to: 0, steps: 10 }, linear(0.1, 0, 10)),
  scheduleCase('cosine', 'From 0.1 to 0.01 over 10 steps.', { from: 0.1, to: 0.01, steps: 10 }, cosine(0.1, 0.01, 10)),
  scheduleCase(
    'warm-up',
    'Linear over 4 steps to 0.1, then a cosine to 0 over 6.',
    { warmUp: 4, from: 0.1, to: 0, steps: 6 },
    warmUp(4, cosine(0.1, 0, 6)),
  ),
];

export const optimizerCases: readonly VectorCase[] = [...stepCases, ...scheduleCases];
