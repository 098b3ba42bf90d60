/**
 * Which bytes of a linear memory are taken. A list of free blocks in ascending order, first fit, neighbours joined when
 * a block comes back; every address is a multiple of a cache line.
 *
 * Laws: blocks that are taken at once never overlap; when everything came back, there is one free block again.
 */

/** Every block starts at a multiple of this and is as long as one, so that two threads never write one cache line. */
export const LINE = 64;

interface Block {
  readonly start: number;
  readonly bytes: number;
}

export interface Allocator {
  /** The address of `bytes` free bytes; null if they do not fit below the end. */
  readonly take: (bytes: number) => number | null;
  /** Gives the block back that `take(bytes)` gave. */
  readonly giveBack: (start: number, bytes: number) => void;
  /** Moves the end: what lies between the old and the new one is free. */
  readonly extend: (end: number) => void;
}

/** The length of the block that holds `bytes`; no block is empty. */
export const blockLength = (bytes: number): number => Math.max(1, Math.ceil(bytes / LINE)) * LINE;

export const createAllocator = (start: number, end: number): Allocator => {
  const free: Block[] = [];
  let top = start;

  /** The place of an address among the free blocks, which are in ascending order. */
  const placeOf = (address: number): number => {
    let [low, high] = [0, free.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (free[middle]!.start < address) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  const insert = (block: Block): void => {
    const place = placeOf(block.start);
    const [before, after] = [free[place - 1], free[place]];
    const joinsBefore = before !== undefined && before.start + before.bytes === block.start;
    const joinsAfter = after !== undefined && block.start + block.bytes === after.start;
    const first = joinsBefore ? before.start : block.start;
    const last = joinsAfter ? after.start + after.bytes : block.start + block.bytes;
    const from = joinsBefore ? place - 1 : place;
    free.splice(from, Number(joinsBefore) + Number(joinsAfter), { start: first, bytes: last - first });
  };

  const extend = (newEnd: number): void => {
    if (newEnd > top) insert({ start: top, bytes: newEnd - top });
    top = newEnd;
  };
  extend(end);

  return {
    take: (bytes) => {
      const length = blockLength(bytes);
      const place = free.findIndex((block) => block.bytes >= length);
      const block = free[place];
      if (block === undefined) return null;
      if (block.bytes === length) free.splice(place, 1);
      else free[place] = { start: block.start + length, bytes: block.bytes - length };
      return block.start;
    },
    giveBack: (address, bytes) => insert({ start: address, bytes: blockLength(bytes) }),
    extend,
  };
};
