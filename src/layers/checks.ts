/** What layers check of their input when a model is built. */
import * as E from 'fp-ts/lib/Either.js';
import { isLeaf, leaves, type SlotTree } from '../core/tree.ts';
import { fail, type Result } from '../spec/errors.ts';
import { freshSlot, type Slot, type Spec, showSpec } from '../spec/tensor.ts';

export const isFloat = ({ dtype }: Spec): boolean => dtype === 'f32' || dtype === 'f64';

/** The input if it is one tensor for which `holds`, else an error that says what was expected. */
export const checkInput = (x: SlotTree, expected: string, layer: string, holds: (x: Slot) => boolean): Result<Slot> => {
  if (!isLeaf(x)) return fail('ShapeError', expected, 'a tuple of tensors', layer);
  return holds(x) ? E.right(x) : fail('ShapeError', expected, showSpec(x), layer);
};

/** A floating-point tensor whose last axis has `width` elements. */
export const checkWidth = (x: SlotTree, width: number, layer: string): Result<Slot> =>
  checkInput(x, `a float tensor [..., ${width}]`, layer, (s) => isFloat(s) && s.shape.at(-1) === width);

/** A floating-point tensor of any shape. */
export const checkFloat = (x: SlotTree, layer: string): Result<Slot> => checkInput(x, 'a float tensor', layer, isFloat);

/** A batch of images `[n, channels, h, w]`; any number of channels if none is given. */
export const checkImages = (x: SlotTree, channels: number | null, layer: string): Result<Slot> =>
  checkInput(
    x,
    `a float tensor [n, ${channels ?? 'c'}, h, w]`,
    layer,
    (s) => isFloat(s) && s.shape.length === 4 && (channels === null || s.shape[1] === channels),
  );

/** A new buffer of x's float type. */
export const fresh = (x: Slot, name: string, shape: readonly number[]): Slot =>
  freshSlot(x, name, { shape, dtype: x.dtype });

/** x's shape with another last axis. */
export const withWidth = (x: Slot, width: number): readonly number[] => [...x.shape.slice(0, -1), width];

/** The tensors of a tuple, nested or not, if `holds` of them all. */
export const checkTuple = (
  x: SlotTree,
  expected: string,
  layer: string,
  holds: (slots: readonly Slot[]) => boolean,
): Result<readonly Slot[]> => {
  const slots = leaves(x);
  return !isLeaf(x) && slots.every(isFloat) && holds(slots)
    ? E.right(slots)
    : fail('ShapeError', expected, slots.map(showSpec).join(', '), layer);
};
