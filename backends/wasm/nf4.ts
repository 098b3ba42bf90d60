/** NF4 weights as the kernels read them. */
import { defect } from '../../src/spec/errors.ts';
import { isNf4, nf4Layout } from '../../src/spec/nf4.ts';
import { showSpec, sizeOf } from '../../src/spec/tensor.ts';
import { intsOf, type Memory, type WasmTensor } from './memory.ts';

const RECORD_WORDS = 4;

/** The address of the record { codes, absmax, nested, offset } of a weight, a tensor of its own. See `assembly/nf4.ts`. */
export const nf4Record = (memory: Memory, weight: WasmTensor): number => {
  if (!isNf4(weight.dtype)) return defect(`NF4 tensor expected, got ${showSpec(weight)}`);
  const codes = memory.pointerOf(weight);
  const { absmaxAt, nestedAt, offsetAt } = nf4Layout(weight.dtype, sizeOf(weight.shape));
  const isDouble = weight.dtype === 'nf4';
  const address = intsOf(memory.create('i32', [RECORD_WORDS]));
  const view = new DataView(memory.bytes().buffer);
  view.setUint32(address, codes, true);
  view.setUint32(address + 4, codes + absmaxAt, true);
  view.setUint32(address + 8, isDouble ? codes + nestedAt : 0, true);
  view.setFloat32(address + 12, isDouble ? view.getFloat32(codes + offsetAt, true) : 0, true);
  return address;
};
