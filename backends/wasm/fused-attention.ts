/**
 * Attention in linear memory, and what goes before it: what is derived in `src/core/derived/attention.ts` and `rope.ts`.
 * Threads share out sequences and heads, and in the forward pass blocks of queries, never a sum.
 */

import type { AttentionConfig } from '../../src/core/derived/attention.ts';
import type { Fused } from '../../src/core/fused.ts';
import { type AttentionSizes, attentionSizes, ropeSizes } from '../../src/core/shape-rules.ts';
import { checkStarts } from '../../src/spec/documents.ts';
import { defect } from '../../src/spec/errors.ts';
import { type HostTensorOf, sameShape, showSpec } from '../../src/spec/tensor.ts';
import type { AttentionGeometry, Exports } from './exports.ts';
import { floatsOf, intsOf, type Memory, type WasmTensor } from './memory.ts';
import type { Pool } from './pool.ts';

type Tensor = WasmTensor;

/** Multiplications that take as long as a simple kernel on one element. */
const PER_ELEMENT = 8;

export type FusedAttention = Pick<Fused<Tensor>, 'attention' | 'rope'>;

/** `exports`: kernels that are cut into parts already. */
export const fusedAttention = (exports: Exports, memory: Memory, pool: Pool): FusedAttention => {
  /** Where a copy of the numbers lies; 0 for none. */
  const addressOf = (numbers: HostTensorOf<'i32'> | undefined): number => {
    if (numbers === undefined) return 0;
    const address = intsOf(memory.create('i32', numbers.shape));
    new Int32Array(memory.bytes().buffer, address, numbers.data.length).set(numbers.data);
    return address;
  };

  /** Runs a kernel over all pieces of work, on as many threads as pay, each with room of its own for rows of scores. */
  const run = (
    kernel: 'attention' | 'attentionBackward',
    { batch, queries, keys, heads, groups, width }: AttentionSizes,
    { scale, causal, window, starts }: AttentionConfig,
    addresses: readonly number[],
  ): void =>
    memory.scope(() => {
      const parts = pool.parts((batch * heads * queries * keys * width) / PER_ELEMENT);
      const bytes = exports.roomBytes(keys, kernel === 'attentionBackward' ? 1 : 0);
      const room = floatsOf(memory.create('f32', [parts, bytes / Float32Array.BYTES_PER_ELEMENT]));
      if (starts !== undefined) checkStarts(starts, batch, queries, keys);
      const firstSeen = causal ? addressOf(starts) : 0;
      const calls = Array.from({ length: parts }, (_, part) => {
        const pieces: AttentionGeometry = [
          ...([part, parts, batch, queries, keys, heads, groups, width] as const),
          ...([scale, causal ? 1 : 0, window ?? keys, firstSeen] as const),
        ];
        return [...pieces, ...addresses, room + part * bytes];
      });
      pool.run(kernel, calls, parts);
    });

  const turn = (x: Tensor, cos: Tensor, sin: Tensor, direction: 1 | -1, places?: HostTensorOf<'i32'>): Tensor =>
    memory.scope(() => {
      const { batch, tokens, heads, half } = ropeSizes(x, cos, sin, places);
      const [from, c, s, p] = [floatsOf(x), floatsOf(cos), floatsOf(sin), addressOf(places)];
      const y = memory.create('f32', x.shape);
      exports.rope(0, batch * tokens * heads, tokens, heads, half, direction, from, c, s, p, floatsOf(y));
      return y;
    });

  return {
    attention: {
      forward: (q, k, v, config) => {
        const sizes = attentionSizes(q, k, v);
        const inputs = [q, k, v].map(floatsOf);
        const y = memory.create('f32', q.shape);
        run('attention', sizes, config, [...inputs, floatsOf(y)]);
        return y;
      },
      backward: (q, k, v, dy, config) => {
        const sizes = attentionSizes(q, k, v);
        if (!sameShape(dy.shape, q.shape)) defect(`attention: ${showSpec(q)} and its gradient ${showSpec(dy)} differ`);
        const inputs = [q, k, v, dy].map(floatsOf);
        const gradients = [q, k, v].map(({ shape }) => memory.create('f32', shape));
        run('attentionBackward', sizes, config, [...inputs, ...gradients.map(floatsOf)]);
        const [dq, dk, dv] = gradients;
        return [dq!, dk!, dv!];
      },
    },
    rope: {
      forward: (x, cos, sin, places) => turn(x, cos, sin, 1, places),
      backward: (dy, cos, sin, places) => turn(dy, cos, sin, -1, places),
    },
  };
};
