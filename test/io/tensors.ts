/** Random tensors and the comparison of their bits. Bytes are laid down directly, on a little-endian host. */
import fc from 'fast-check';
import { bytesPerElement, type DType, hostArray } from '../../src/spec/dtype.ts';
import { type HostTensor, sizeOf } from '../../src/spec/tensor.ts';

const allDTypes: readonly DType[] = ['f64', 'f32', 'f16', 'bf16', 'i64', 'i32', 'u8'];

/** Any element type, rank 0 to 4, axes of 0 to 4 and any bits, so scalars, empty tensors and NaN payloads too. */
const anyTensor: fc.Arbitrary<HostTensor> = fc
  .record({ dtype: fc.constantFrom(...allDTypes), shape: fc.array(fc.nat(4), { maxLength: 4 }) })
  .chain(({ dtype, shape }) => {
    const length = sizeOf(shape) * bytesPerElement(dtype);
    return fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => {
      const data = hostArray(dtype, sizeOf(shape));
      new Uint8Array(data.buffer).set(bytes);
      return { dtype, shape, data } as HostTensor;
    });
  });

const awkwardNames = [
  '__proto__',
  'constructor',
  'toString',
  '',
  '10',
  '9',
  '\ue000',
  '\u{1f600}',
  'a"\\\n\u0001',
  ' ',
];

const anyText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...awkwardNames),
  fc.string({ unit: 'binary', maxLength: 8 }),
);

const anyRecord = <A>(value: fc.Arbitrary<A>): fc.Arbitrary<Readonly<Record<string, A>>> =>
  fc
    .uniqueArray(fc.tuple(anyText, value), { selector: ([name]) => name, maxLength: 6 })
    .map((entries) => Object.fromEntries(entries));

export const anyTensors: fc.Arbitrary<Readonly<Record<string, HostTensor>>> = anyRecord(anyTensor);
export const anyMetadata: fc.Arbitrary<Readonly<Record<string, string>>> = anyRecord(anyText);

const bitsOf = ({ dtype, shape, data }: HostTensor): unknown => ({
  dtype,
  shape,
  kind: data.constructor.name,
  bytes: [...new Uint8Array(data.buffer, data.byteOffset, data.byteLength)],
});

/** Names, specs and bits, in an order that does not depend on the record's. */
export const contentOf = (tensors: Readonly<Record<string, HostTensor>>): unknown =>
  new Map(
    Object.keys(tensors)
      .sort()
      .map((name) => [name, bitsOf(tensors[name] as HostTensor)]),
  );

/** A file with this header and data, whatever they are. */
export const fileOf = (header: string | Uint8Array, data: readonly number[] = []): Uint8Array => {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
};
