/**
 * NF4 weights as bitsandbytes and transformers store them in safetensors. A weight `NAME` of n numbers in ⌈n/64⌉ blocks is
 *
 *   NAME                                   u8 [⌈n/2⌉, 1]   the codes, two to a byte (or the same bytes in another type)
 *   NAME.absmax                            u8 [blocks], or f32 without double quantisation
 *   NAME.quant_map                         f32 [16]        the levels
 *   NAME.nested_absmax, .nested_quant_map  f32             with double quantisation
 *   NAME.quant_state.bitsandbytes__nf4     u8              JSON: block sizes, shape, offset
 *
 * Law: a weight that was written is read as the same bytes.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { defect, fail, type Result } from '../spec/errors.ts';
import { absmaxMap, isNf4, NF4_BLOCK, NF4_GROUP, type Nf4Type, nf4Layout, nf4Levels } from '../spec/nf4.ts';
import { excerpt, type JsonObject, readJsonObject } from '../spec/strict-json.ts';
import { bytesOf, type HostTensor, type HostTensorOf, type Spec, sameShape, showSpec, sizeOf } from '../spec/tensor.ts';
import type { Checkpoint } from './checkpoint.ts';
import { tensorBytes } from './little-endian.ts';

const STATE = '.quant_state.bitsandbytes__nf4';
const OTHER = '.quant_state.bitsandbytes__';
const SUFFIXES: readonly string[] = ['.absmax', '.quant_map', '.nested_absmax', '.nested_quant_map', STATE];

/** A state is a few hundred bytes. */
const MOST_STATE = 65536;

// Reading

interface State {
  readonly dtype: Nf4Type;
  readonly shape: readonly [number, number];
  readonly offset: number;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 1;

const stateOf = (json: JsonObject, where: string): Result<State> => {
  const wrong = (expected: string, key: string): Result<never> =>
    fail('FileError', expected, excerpt(json[key]), `${where}, ${key}`);
  const { shape, nested_offset: offset = null } = json;
  const isDouble = offset !== null;
  if (json.quant_type !== 'nf4') return wrong('nf4', 'quant_type');
  if (json.blocksize !== NF4_BLOCK) return wrong(`blocks of ${NF4_BLOCK}`, 'blocksize');
  if (!Array.isArray(shape) || shape.length !== 2 || !shape.every(isCount)) return wrong('a shape [out, in]', 'shape');
  if (isDouble && json.nested_blocksize !== NF4_GROUP) return wrong(`groups of ${NF4_GROUP}`, 'nested_blocksize');
  if (isDouble && json.nested_dtype !== 'float32') return wrong('float32', 'nested_dtype');
  if (isDouble && !Number.isFinite(offset)) return wrong('a number', 'nested_offset');
  return E.right({
    dtype: isDouble ? 'nf4' : 'nf4-single',
    shape: shape as unknown as State['shape'],
    offset: isDouble ? (offset as number) : 0,
  });
};

/** The parts are there, and as long as the state says. */
const checkParts = (checkpoint: Checkpoint, name: string, { dtype, shape }: State): Result<void> => {
  const count = sizeOf(shape);
  const { blocks, groups } = nf4Layout(dtype, count);
  const isDouble = dtype === 'nf4';
  const wanted: readonly (readonly [string, Spec])[] = [
    [`${name}.absmax`, { dtype: isDouble ? 'u8' : 'f32', shape: [blocks] }],
    [`${name}.quant_map`, { dtype: 'f32', shape: [nf4Levels.length] }],
    ...(isDouble
      ? ([
          [`${name}.nested_absmax`, { dtype: 'f32', shape: [groups] }],
          [`${name}.nested_quant_map`, { dtype: 'f32', shape: [absmaxMap.length] }],
        ] as const)
      : []),
  ];
  const packed = checkpoint.spec(name);
  if (packed === undefined || bytesOf(packed) !== Math.ceil(count / 2)) {
    const came = packed === undefined ? 'none' : showSpec(packed);
    return fail('FileError', `${Math.ceil(count / 2)} bytes of codes`, came, `${checkpoint.where}, ${name}`);
  }
  const wrong = wanted.find(([part, spec]) => {
    const found = checkpoint.spec(part);
    return found === undefined || found.dtype !== spec.dtype || !sameShape(found.shape, spec.shape);
  });
  if (wrong === undefined) return E.right(undefined);
  const found = checkpoint.spec(wrong[0]);
  return fail('FileError', showSpec(wrong[1]), found ? showSpec(found) : 'none', `${checkpoint.where}, ${wrong[0]}`);
};

const readState = async (checkpoint: Checkpoint, name: string): Promise<Result<State>> => {
  const where = `${checkpoint.where}, ${name}${STATE}`;
  const spec = checkpoint.spec(name + STATE)!;
  if (spec.dtype !== 'u8' || bytesOf(spec) > MOST_STATE) return fail('FileError', 'JSON', showSpec(spec), where);
  return pipe(
    await checkpoint.read(name + STATE),
    E.chain((tensor) => readJsonObject(tensor.data as Uint8Array, where)),
    E.chain((json) => stateOf(json, where)),
    E.chainFirst((state) => checkParts(checkpoint, name, state)),
  );
};

/** The tables are these; a last place may differ, in which processors round `linspace` differently. */
const checkTable = (tensor: HostTensor, table: Float32Array, where: string): Result<void> => {
  const wrong = table.findIndex((x, i) => !(Math.abs(Number(tensor.data[i]) - x) <= 1e-6 * Math.abs(x)));
  return wrong < 0
    ? E.right(undefined)
    : fail('FileError', `the table of NF4, ${table[wrong]}`, String(tensor.data[wrong]), `${where}, element ${wrong}`);
};

const readParts = async (checkpoint: Checkpoint, name: string, state: State): Promise<Result<HostTensor>> => {
  const layout = nf4Layout(state.dtype, sizeOf(state.shape));
  const data = new Uint8Array(layout.bytes);
  const places: readonly (readonly [part: string, at: number])[] = [
    [name, 0],
    [`${name}.absmax`, layout.absmaxAt],
    ...(state.dtype === 'nf4' ? [[`${name}.nested_absmax`, layout.nestedAt] as const] : []),
  ];
  for (const [part, at] of places) {
    const tensor = await checkpoint.read(part);
    if (E.isLeft(tensor)) return tensor;
    data.set(tensorBytes(tensor.right), at);
  }
  const tables: readonly (readonly [part: string, table: Float32Array])[] = [
    [`${name}.quant_map`, nf4Levels],
    ...(state.dtype === 'nf4' ? [[`${name}.nested_quant_map`, absmaxMap] as const] : []),
  ];
  for (const [part, table] of tables) {
    const checked = pipe(
      await checkpoint.read(part),
      E.chain((tensor) => checkTable(tensor, table, `${checkpoint.where}, ${part}`)),
    );
    if (E.isLeft(checked)) return checked;
  }
  if (state.dtype === 'nf4') new DataView(data.buffer).setFloat32(layout.offsetAt, state.offset, true);
  return E.right({ dtype: state.dtype, shape: state.shape, data });
};

/**
 * The checkpoint with each NF4 weight as one tensor of type `nf4` or `nf4-single`. Reads the states alone.
 * FileErrors: another 4-bit type, other block sizes, parts that are missing or do not fit, other tables (when it is read).
 */
export const joinNf4 = async (checkpoint: Checkpoint): Promise<Result<Checkpoint>> => {
  const states = new Map<string, State>();
  for (const name of checkpoint.names.filter((each) => each.includes(OTHER))) {
    if (!name.endsWith(STATE)) return fail('FileError', 'NF4', excerpt(name), checkpoint.where);
    const weight = name.slice(0, -STATE.length);
    const state = await readState(checkpoint, weight);
    if (E.isLeft(state)) return state;
    states.set(weight, state.right);
  }
  if (states.size === 0) return E.right(checkpoint);
  const isPart = (name: string): boolean =>
    SUFFIXES.some((suffix) => name.endsWith(suffix) && states.has(name.slice(0, -suffix.length)));
  return E.right({
    ...checkpoint,
    names: checkpoint.names.filter((name) => !isPart(name)),
    spec: (name) => {
      const state = states.get(name);
      return state === undefined ? checkpoint.spec(name) : { dtype: state.dtype, shape: state.shape };
    },
    read: (name) => {
      const state = states.get(name);
      return state === undefined ? checkpoint.read(name) : readParts(checkpoint, name, state);
    },
  });
};

// Writing

type Part = readonly [name: string, tensor: HostTensor];

/** The type that bitsandbytes dequantises to, which its state names. */
export type ComputeType = 'float32' | 'bfloat16' | 'float16';

/** The state's JSON, filled up with blanks so that its length is known beforehand and all parts take a multiple of 8 bytes. */
const stateBytes = (state: JsonObject, otherBytes: number): Uint8Array => {
  const text = JSON.stringify(state, null, 1).replace(/\n */g, ' ');
  const length = 320 + ((8 - (otherBytes % 8)) % 8);
  if (text.length > length) defect(`a state of ${text.length} characters`);
  return new TextEncoder().encode(text.padEnd(length));
};

const u8 = (data: Uint8Array, ...shape: readonly number[]): HostTensor => ({ dtype: 'u8', shape, data });
const f32 = (data: Float32Array): HostTensor => ({ dtype: 'f32', shape: [data.length], data });

/** The parts in the order in which they follow each other in a file: f32 before bytes, so that all are aligned. */
export const nf4Parts = (name: string, weight: HostTensorOf<Nf4Type>, computed: ComputeType): readonly Part[] => {
  const { dtype, shape, data } = weight;
  const count = sizeOf(shape);
  const { absmaxAt, blocks, groups, nestedAt, offsetAt } = nf4Layout(dtype, count);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const floatsAt = (at: number, length: number): Float32Array =>
    Float32Array.from({ length }, (_, i) => view.getFloat32(at + 4 * i, true));
  const codes = data.slice(0, Math.ceil(count / 2));
  const isDouble = dtype === 'nf4';
  const parts: readonly Part[] = [
    ...(isDouble
      ? ([
          [`${name}.nested_absmax`, f32(floatsAt(nestedAt, groups))],
          [`${name}.nested_quant_map`, f32(absmaxMap)],
        ] as const)
      : []),
    [`${name}.quant_map`, f32(nf4Levels)],
    ...(isDouble ? [] : [[`${name}.absmax`, f32(floatsAt(absmaxAt, blocks))] as const]),
    [name, u8(codes, codes.length, 1)],
    ...(isDouble ? [[`${name}.absmax`, u8(data.slice(absmaxAt, absmaxAt + blocks), blocks)] as const] : []),
  ];
  const common = { quant_type: 'nf4', blocksize: NF4_BLOCK, dtype: computed, shape };
  const nested = isDouble && {
    nested_blocksize: NF4_GROUP,
    nested_dtype: 'float32',
    nested_offset: view.getFloat32(offsetAt, true),
  };
  const bytes = parts.reduce((sum, [, tensor]) => sum + bytesOf(tensor), 0);
  const state = stateBytes({ ...common, ...nested }, bytes);
  return [...parts, [name + STATE, u8(state, state.length)]];
};

/** The specs of what a tensor is in a file: itself, or the parts of an NF4 weight. */
export const fileSpecs = (name: string, spec: Spec): readonly (readonly [string, Spec])[] => {
  if (!isNf4(spec.dtype)) return [[name, spec]];
  const { dtype, shape } = spec;
  const data = new Uint8Array(bytesOf(spec));
  return nf4Parts(name, { dtype, shape, data }, 'float32').map(([part, tensor]) => [
    part,
    { dtype: tensor.dtype, shape: tensor.shape },
  ]);
};
