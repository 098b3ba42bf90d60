/** What benchmarks compute on: numbers from a fixed sequence, which take neither time nor memory to draw. */
import { type HostTensor, type HostTensorOf, type Shape, sizeOf } from '../../spec/tensor.ts';

/** Numbers of (−bound, bound) that look irregular. */
export const numbers = (shape: Shape, bound = 1): HostTensorOf<'f32'> => {
  const data = new Float32Array(sizeOf(shape));
  for (let i = 0; i < data.length; i++) data[i] = (((i * 7919) % 2003) / 1001.5 - 1) * bound;
  return { dtype: 'f32', shape, data };
};

/** Numbers below `count` of the same sequence, from its element `start` on. */
export const tokenIds = (shape: Shape, count: number, start: number): HostTensor => ({
  dtype: 'i32',
  shape,
  data: Int32Array.from({ length: sizeOf(shape) }, (_, i) => (((i + start) * 7919) % 2003) % count),
});
