/** A checkpoint as files: one, or several with their index. */
import { encodeSafetensors } from '../../src/io/safetensors.ts';
import type { Files } from '../../src/io/store.ts';
import type { HostTensor } from '../../src/spec/tensor.ts';
import { utf8 } from './temporary.ts';

export const INDEX = 'model.safetensors.index.json';

/** Any text of an index, with any files beside it. */
export const withIndex = (index: string, files: Readonly<Record<string, Uint8Array>> = {}): Files =>
  new Map([[INDEX, utf8(index)], ...Object.entries(files)]);

/** The tensors dealt out to so many shards; 0: one file without an index. */
export const sharded = (tensors: Readonly<Record<string, HostTensor>>, shards: number): Files => {
  if (shards === 0) return new Map([['model.safetensors', encodeSafetensors(tensors, { format: 'pt' })]]);
  const nameOf = (i: number): string => `model-0000${(i % shards) + 1}-of-0000${shards}.safetensors`;
  const entries = Object.entries(tensors);
  const map = entries.map(([name], i) => `${JSON.stringify(name)}:${JSON.stringify(nameOf(i))}`);
  const files = Array.from({ length: shards }, (_, shard) => {
    const held = entries.filter((__, i) => i % shards === shard);
    return [nameOf(shard), encodeSafetensors(Object.fromEntries(held), { format: 'pt' })] as const;
  });
  return withIndex(`{"metadata":{"total_size":1},"weight_map":{${map.join(',')}}}`, Object.fromEntries(files));
};
