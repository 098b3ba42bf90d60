/** A stored weight in the backend's float type. Widening f16 or bf16 is exact. */
import type { Spec } from '../../spec/tensor.ts';
import type { Ops } from '../ops.ts';

export const widen = <T extends Spec>(o: Ops<T>, weight: T): T =>
  weight.dtype === o.float ? weight : o.cast(weight, o.float);
