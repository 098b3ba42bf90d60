/** Wrong and hostile safetensors files, and the pieces that they are made of. */
import { fileOf } from './tensors.ts';

export const entry = (dtype: unknown, shape: unknown, offsets: unknown): string =>
  JSON.stringify({ dtype, shape, data_offsets: offsets });
export const u8 = (begin: number, end: number): string => entry('U8', [end - begin], [begin, end]);

export const lengthOnly = (length: bigint, size = 16): Uint8Array => {
  const file = new Uint8Array(size);
  new DataView(file.buffer).setBigUint64(0, length, true);
  return file;
};

const counts = 'expected a list of whole numbers from 0 to 2^53 - 1';
/** Files that every reader of the format refuses, with a part of the message. */
export const refused: readonly (readonly [what: string, file: Uint8Array, message: string])[] = [
  ['no bytes', new Uint8Array(0), 'm.safetensors: expected at least 8 bytes, got 0 bytes'],
  ['half a length', new Uint8Array(7), 'at least 8 bytes, got 7 bytes'],
  [
    'a header beyond the file',
    lengthOnly(9n),
    'bytes 0 to 8: expected a header of at most 8 bytes, got the header length 9',
  ],
  ['a header of 2^64 - 1 bytes', lengthOnly(2n ** 64n - 1n), 'got the header length 18446744073709551615'],
  ['an empty header', fileOf(''), 'header: expected a JSON object'],
  ['a header that is no UTF-8', fileOf(new Uint8Array([0x7b, 0xff, 0x7d])), 'header: expected UTF-8'],
  ['a byte order mark', fileOf('\ufeff{}'), 'expected a JSON object, from its "{" on'],
  ['space before the header', fileOf(' {}'), 'expected a JSON object, from its "{" on, got " {}"'],
  ['an array as header', fileOf('[{}]'), 'expected a JSON object, from its "{" on, got "[{}]"'],
  ['a number as header', fileOf('7'), 'expected a JSON object, from its "{" on'],
  ['half a header', fileOf('{"a":'), 'header: expected JSON, got '],
  ['two headers', fileOf('{}{}'), 'header: expected JSON, got '],
  ['a comma too many', fileOf('{"a":1,}'), 'header: expected JSON, got '],
  ['a tensor twice', fileOf(`{"a":${u8(0, 1)},"a":${u8(0, 1)}}`, [1]), 'got the key "a" twice'],
  ['a tensor twice, once escaped', fileOf(`{"a":${u8(0, 1)},"\\u0061":${u8(0, 1)}}`, [1]), 'got the key "a" twice'],
  [
    'a field twice',
    fileOf('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"shape":[1]}}', [1]),
    'got the key "shape" twice',
  ],
  ['metadata twice', fileOf('{"__metadata__":{},"__metadata__":{}}'), 'got the key "__metadata__" twice'],
  ['a metadata key twice', fileOf('{"__metadata__":{"k":"1","k":"2"}}'), 'got the key "k" twice'],
  ['deep nesting', fileOf(`{"a":${'['.repeat(100_000)}`), 'got more than 64 open brackets'],
  [
    'metadata that are no object',
    fileOf('{"__metadata__":["x"]}'),
    '__metadata__: expected an object of texts, got ["x"]',
  ],
  ['metadata null', fileOf('{"__metadata__":null}'), '__metadata__: expected an object of texts, got null'],
  ['a number in the metadata', fileOf('{"__metadata__":{"k":1}}'), '__metadata__ "k": expected text, got 1'],
  ['a lone surrogate in a name', fileOf(`{"\\ud800":${u8(0, 0)}}`), 'expected Unicode text, got "\\ud800"'],
  [
    'a lone surrogate in the metadata',
    fileOf('{"__metadata__":{"k":"\\udc00"}}'),
    'expected Unicode text, got "\\udc00"',
  ],
  [
    'an entry that is no object',
    fileOf('{"a":[1]}'),
    'tensor "a": expected an object with dtype, shape and data_offsets, got [1]',
  ],
  ['an entry null', fileOf('{"__proto__":null}'), 'tensor "__proto__": expected an object'],
  [
    'an unknown dtype',
    fileOf(`{"a":${entry('F8_E4M3', [1], [0, 1])}}`, [1]),
    'tensor "a", dtype: expected one of I64, F64, F32, I32, BF16, F16, U8, got "F8_E4M3"',
  ],
  ['a dtype in small letters', fileOf(`{"a":${entry('u8', [1], [0, 1])}}`, [1]), 'got "u8"'],
  ['an inherited dtype', fileOf(`{"a":${entry('constructor', [1], [0, 1])}}`, [1]), 'got "constructor"'],
  ['no dtype', fileOf('{"a":{"shape":[1],"data_offsets":[0,1]}}', [1]), 'tensor "a", dtype: expected one of'],
  ['no shape', fileOf('{"a":{"dtype":"U8","data_offsets":[0,1]}}', [1]), `tensor "a", shape: ${counts}, got nothing`],
  ['a shape that is no list', fileOf(`{"a":${entry('U8', 1, [0, 1])}}`, [1]), `shape: ${counts}, got 1`],
  ['a negative axis', fileOf(`{"a":${entry('U8', [-1], [0, 1])}}`, [1]), `shape: ${counts}, got [-1]`],
  ['two negative axes', fileOf(`{"a":${entry('U8', [-1, -1], [0, 1])}}`, [1]), `shape: ${counts}, got [-1,-1]`],
  ['a broken axis', fileOf(`{"a":${entry('U8', [0.5, 2], [0, 1])}}`, [1]), `shape: ${counts}, got [0.5,2]`],
  ['an axis as text', fileOf(`{"a":${entry('U8', ['1'], [0, 1])}}`, [1]), `shape: ${counts}, got ["1"]`],
  [
    'an axis of 2^53',
    fileOf(`{"a":${entry('U8', [2 ** 53, 0], [0, 0])}}`),
    `shape: ${counts}, got [9007199254740992,0]`,
  ],
  ['an axis of -0', fileOf('{"a":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}'), `shape: ${counts}`],
  ['an axis of 1e999', fileOf('{"a":{"dtype":"U8","shape":[1e999],"data_offsets":[0,0]}}'), `shape: ${counts}`],
  [
    'a product of 2^64',
    fileOf(`{"a":${entry('U8', [2 ** 32, 2 ** 32], [0, 0])}}`),
    'tensor "a": expected fewer than 2^53 bytes, got shape [4294967296,4294967296]',
  ],
  [
    'a product beyond every float',
    fileOf(`{"a":${entry('U8', Array(30).fill(2 ** 52), [0, 0])}}`),
    'expected fewer than 2^53 bytes',
  ],
  [
    '2^53 bytes',
    fileOf(`{"a":${entry('F64', [2 ** 50], [0, 0])}}`),
    'expected fewer than 2^53 bytes, got shape [1125899906842624]',
  ],
  ['no offsets', fileOf('{"a":{"dtype":"U8","shape":[1]}}', [1]), `data_offsets: ${counts}, got nothing`],
  [
    'one offset',
    fileOf(`{"a":${entry('U8', [1], [1])}}`, [1]),
    'expected data_offsets [begin, end] with begin <= end, got data_offsets [1]',
  ],
  ['three offsets', fileOf(`{"a":${entry('U8', [1], [0, 1, 1])}}`, [1]), 'got data_offsets [0,1,1]'],
  ['backward offsets', fileOf(`{"a":${entry('U8', [1], [1, 0])}}`, [1]), 'with begin <= end, got data_offsets [1,0]'],
  ['a negative offset', fileOf(`{"a":${entry('U8', [1], [-1, 0])}}`, [1]), `data_offsets: ${counts}, got [-1,0]`],
  ['a broken offset', fileOf(`{"a":${entry('U8', [1], [0, 1.5])}}`, [1]), `data_offsets: ${counts}, got [0,1.5]`],
  ['an offset of 2^53', fileOf(`{"a":${entry('U8', [1], [0, 2 ** 53])}}`, [1]), `data_offsets: ${counts}`],
  [
    'fewer bytes than the shape',
    fileOf(`{"a":${entry('F32', [2], [0, 4])}}`, [1, 2, 3, 4]),
    'tensor "a": expected 8 bytes for "f32[2]", got 4 bytes, data_offsets [0,4]',
  ],
  [
    'more bytes than the shape',
    fileOf(`{"a":${entry('U8', [0], [0, 1])}}`, [1]),
    'expected 0 bytes for "u8[0]", got 1 bytes',
  ],
  ['a scalar without bytes', fileOf(`{"a":${entry('U8', [], [0, 0])}}`), 'expected 1 bytes for "u8[]", got 0 bytes'],
  [
    'data beyond the file',
    fileOf(`{"a":${u8(0, 9)}}`, [1]),
    'tensor "a": expected offsets within the 1 bytes of data, got data_offsets [0,9]',
  ],
  [
    'data one byte beyond the file',
    fileOf(`{"a":${u8(0, 2)}}`, [1]),
    'tensor "a": expected offsets within the 1 bytes of data, got data_offsets [0,2]',
  ],
  [
    'a huge tensor in a small file',
    fileOf(`{"a":${entry('F64', [2 ** 49], [0, 2 ** 52])}}`),
    'expected offsets within the 0 bytes of data',
  ],
  [
    'an overlap',
    fileOf(`{"b":${u8(1, 3)},"a":${u8(0, 2)}}`, [1, 2, 3]),
    'tensor "b": expected data from offset 2, the end of tensor "a", got an overlap: data_offsets [1,3]',
  ],
  ['the same data twice', fileOf(`{"a":${u8(0, 2)},"b":${u8(0, 2)}}`, [1, 2]), 'got an overlap: data_offsets [0,2]'],
  [
    'nothing within something',
    fileOf(`{"a":${u8(0, 2)},"b":${u8(1, 1)}}`, [1, 2]),
    'got an overlap: data_offsets [1,1]',
  ],
  [
    'a hole in front',
    fileOf(`{"a":${u8(1, 2)}}`, [1, 2]),
    'tensor "a": expected data from offset 0, got a hole: data_offsets [1,2]',
  ],
  [
    'a hole between',
    fileOf(`{"a":${u8(0, 1)},"b":${u8(2, 3)}}`, [1, 2, 3]),
    'tensor "b": expected data from offset 1, the end of tensor "a", got a hole: data_offsets [2,3]',
  ],
  [
    'surplus bytes',
    fileOf(`{"a":${u8(0, 1)}}`, [1, 2, 3]),
    'data offset 1: expected 1 bytes of data, got 2 surplus bytes',
  ],
  ['bytes without tensors', fileOf('{}', [1]), 'data offset 0: expected 0 bytes of data, got 1 surplus bytes'],
];
