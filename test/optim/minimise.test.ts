/** Every optimizer goes down a parabola and along Rosenbrock's valley to a stated loss. */
import { describe, expect, it } from 'vitest';
import { adamw } from '../../src/optim/adamw.ts';
import { cosine, warmUp } from '../../src/optim/schedule.ts';
import { momentum, sgd } from '../../src/optim/sgd.ts';
import { applyDeltas, type Transform } from '../../src/optim/transform.ts';
import { host, f64 as k, numbersOf, type R } from '../support/tensors.ts';

type Point = readonly [number, number];

interface Landscape {
  readonly value: (p: Point) => number;
  readonly gradient: (p: Point) => Point;
  readonly start: Point;
}

/** (x − 1)² + 4(y + 2)², least at (1, −2). */
const parabola: Landscape = {
  value: ([x, y]) => (x - 1) ** 2 + 4 * (y + 2) ** 2,
  gradient: ([x, y]) => [2 * (x - 1), 8 * (y + 2)],
  start: [-3, 3],
};

/** (1 − x)² + 100(y − x²)², least at (1, 1), at the end of a bent valley. */
const rosenbrock: Landscape = {
  value: ([x, y]) => (1 - x) ** 2 + 100 * (y - x * x) ** 2,
  gradient: ([x, y]) => [-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)],
  start: [-1, 1],
};

const minimise = async (
  { gradient, value, start }: Landscape,
  optimizer: Transform<R>,
  steps: number,
): Promise<number> => {
  let params: R = k.fromHost(host([2], start));
  let state = optimizer.init(params);
  for (let t = 0; t < steps; t++) {
    const [x, y] = (await numbersOf(k, params)) as [number, number];
    const [delta, next] = optimizer.update(k.fromHost(host([2], gradient([x, y]))), state, params);
    state = next;
    params = applyDeltas(k, params, delta) as R;
  }
  return value((await numbersOf(k, params)) as [number, number]);
};

/** The optimizer, the steps it may take, and the loss it must reach. */
type Trial = readonly [name: string, optimizer: Transform<R>, steps: number, loss: number];

describe('on the parabola', () => {
  const trials: readonly Trial[] = [
    ['sgd', sgd(k, { learningRate: 0.1 }), 200, 1e-12],
    ['momentum', momentum(k, { learningRate: 0.05, momentum: 0.8 }), 300, 1e-12],
    ['nesterov', momentum(k, { learningRate: 0.05, momentum: 0.8, nesterov: true }), 300, 1e-12],
    ['adam', adamw(k, { learningRate: cosine(0.3, 0, 400) }), 400, 1e-8],
    ['adamw, whose decay holds it back', adamw(k, { learningRate: cosine(0.3, 0, 400), decay: 1e-3 }), 400, 1e-2],
  ];
  it.each(trials)('%s', async (_, optimizer, steps, loss) => {
    expect(await minimise(parabola, optimizer, steps)).toBeLessThan(loss);
  });
});

describe("in Rosenbrock's valley", () => {
  const trials: readonly Trial[] = [
    ['sgd', sgd(k, { learningRate: 1e-3 }), 4000, 0.1],
    ['momentum', momentum(k, { learningRate: 5e-4, momentum: 0.9 }), 4000, 1e-3],
    ['nesterov', momentum(k, { learningRate: 5e-4, momentum: 0.9, nesterov: true }), 4000, 1e-3],
    ['adam with warm-up', adamw(k, { learningRate: warmUp(20, cosine(0.05, 0, 2000)) }), 2000, 1e-3],
  ];
  it.each(trials)('%s', async (_, optimizer, steps, loss) => {
    expect(rosenbrock.value(rosenbrock.start)).toBe(4);
    expect(await minimise(rosenbrock, optimizer, steps)).toBeLessThan(loss);
  });
});
