/**
 * `adapter_model.safetensors` as Hugging Face PEFT writes it: `base_model.model.<module path>.<part>`.
 *
 * Law: `partsOf(nameParts(modules))` is `modules`, whatever their paths are called.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { fail, type Result } from '../spec/errors.ts';
import { excerpt } from '../spec/strict-json.ts';
import { type HostTensor, type HostTensorOf, type Shape, sameShape, showSpec } from '../spec/tensor.ts';
import { bareRecord } from './safetensors-header.ts';
import { widenHost } from './widen-host.ts';

export const TENSORS = 'adapter_model.safetensors';

/** Before the path of each module, in the names of tensors. */
export const PREFIX = 'base_model.model.';

type Tensors = Readonly<Record<string, HostTensor>>;

/** A module's tensors, by the last words of their names. */
export type Parts<P extends string> = Readonly<Record<P, HostTensor>>;

const split = <P extends string>(name: string, parts: readonly P[]): readonly [path: string, part: P] | undefined => {
  const part = parts.find((each) => name.startsWith(PREFIX) && name.endsWith(`.${each}`));
  const path = part && name.slice(PREFIX.length, -part.length - 1);
  return part && path ? [path, part] : undefined;
};

/** Whether a name is that of one of these parts of a module. */
export const isPartOf =
  (parts: readonly string[]) =>
  (name: string): boolean =>
    split(name, parts) !== undefined;

/** The modules by their paths, sorted; each has every part. FileErrors: a part that is missing, a tensor that is none. */
export const partsOf = <P extends string>(
  tensors: Tensors,
  parts: readonly P[],
  where: string,
): Result<Readonly<Record<string, Parts<P>>>> => {
  const modules = new Map<string, Partial<Record<P, HostTensor>>>();
  for (const [name, tensor] of Object.entries(tensors)) {
    const found = split(name, parts);
    if (found === undefined) {
      const expected = `tensors ${parts.map((part) => `${PREFIX}MODULE.${part}`).join(' and ')} alone`;
      return fail('FileError', expected, excerpt(name), where);
    }
    const [path, part] = found;
    modules.set(path, { ...modules.get(path), [part]: tensor });
  }
  for (const [path, module] of modules)
    for (const part of parts)
      if (module[part] === undefined)
        return fail('FileError', `a tensor ${excerpt(`${PREFIX}${path}.${part}`, 200)}`, 'none', where);
  if (modules.size === 0) return fail('FileError', 'tensors of at least one module', 'none', where);
  const sorted = [...modules].sort(([a], [b]) => (a < b ? -1 : 1));
  return E.right(bareRecord(sorted as readonly (readonly [string, Parts<P>])[]));
};

/** Each module in turn, by its path. */
export const traverseModules = <A, B>(
  modules: Readonly<Record<string, A>>,
  f: (path: string, module: A) => Result<B>,
): Result<Readonly<Record<string, B>>> =>
  pipe(
    Object.entries(modules),
    E.traverseArray(([path, module]) =>
      pipe(
        f(path, module),
        E.map((b) => [path, b] as const),
      ),
    ),
    E.map(bareRecord),
  );

/** The tensors of all modules under their names in the file. */
export const nameParts = <P extends string>(modules: Readonly<Record<string, Parts<P>>>): Tensors =>
  bareRecord(
    Object.entries(modules).flatMap(([path, parts]) =>
      Object.entries<HostTensor>(parts).map(([part, tensor]) => [`${PREFIX}${path}.${part}`, tensor] as const),
    ),
  );

/** The tensor in f32, if `fits` finds its shape right. */
export const floatsOf = (
  tensor: HostTensor,
  fits: (shape: Shape) => boolean,
  expected: string,
  where: string,
): Result<HostTensorOf<'f32'>> =>
  fits(tensor.shape) ? widenHost(tensor, where) : fail('ShapeError', `shape ${expected}`, showSpec(tensor), where);

/** Column indices as plain integers. */
export const indicesOf = (tensor: HostTensor, rank: number, where: string): Result<Int32Array> => {
  if ((tensor.dtype !== 'i64' && tensor.dtype !== 'i32') || !sameShape(tensor.shape, [rank]))
    return fail('ShapeError', `i64[${rank}] or i32[${rank}]`, showSpec(tensor), where);
  const wrong = Array.from<bigint | number>(tensor.data).find((index) => index < 0 || index >= 2 ** 31);
  return wrong === undefined
    ? E.right(Int32Array.from(tensor.data as Int32Array, Number))
    : fail('IndexError', 'indices from 0 to 2^31 - 1', String(wrong), where);
};
