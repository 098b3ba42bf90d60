/** The elementary functions as the ops compute them, at ordinary and at hard points. */
import type { Ops } from '../../core/ops.ts';
import type { Spec } from '../../spec/tensor.ts';
import { floats, input, type VectorCase } from '../case.ts';

const functionCase = (
  name: 'exp' | 'log' | 'tanh' | 'erf' | 'sqrt',
  note: string,
  points: readonly number[],
): VectorCase => ({
  id: `elementary/${name}`,
  note,
  settings: {},
  inputs: { x: floats([points.length], points) },
  run: <T extends Spec>(k: Ops<T>, inputs: Readonly<Record<string, T>>) => ({ y: k[name](input(inputs, 'x')) }),
});

const signed = (...points: readonly number[]): readonly number[] => points.flatMap((p) => [p, -p]);

export const elementaryCases: readonly VectorCase[] = [
  functionCase('exp', 'eˣ, to the underflow', [
    ...signed(0, 1e-8, 2 ** -13, 0.1, 0.34657, 0.34658, 0.5, 1, 2, 5, 10, 20, 50, 80, 87),
    -95,
    -103,
    88.5,
  ]),
  functionCase(
    'log',
    'The natural logarithm, close to 1 and far from it',
    [1, 0.999999, 1.000001, 0.5, 2, 0.70710677, 0.7071068, 1.4142135, 1.4142137, 3, 10, 1e-3, 1e-20, 1e-38, 1e20, 3e38],
  ),
  functionCase(
    'tanh',
    'tanh, near 0 and where it saturates',
    signed(1e-6, 0.01, 0.1, 0.25, 0.55, 0.7, 1, 2, 4, 8, 9, 20),
  ),
  functionCase(
    'erf',
    'The error function, near 0 and where it saturates',
    signed(1e-6, 0.01, 0.1, 0.5, 0.9, 1, 1.5, 2, 3, 3.9, 4.2),
  ),
  functionCase('sqrt', 'The square root, correctly rounded', [0, 1, 2, 3, 0.1, 1e-30, 1e30, 1e-38]),
];
