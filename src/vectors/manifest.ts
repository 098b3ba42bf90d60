/**
 * The manifest of a suite: what each case is, which file holds its tensors, and the digest of all exact results. The
 * format is described on one page, `vectors/README.md`; this schema is what is checked.
 */
import * as E from 'fp-ts/lib/Either.js';
import * as v from 'valibot';
import { fail, type Result } from '../spec/errors.ts';
import type { Json } from './case.ts';

export const SUITE_VERSION = 1 as const;

const json: v.GenericSchema<Json> = v.lazy(() =>
  v.union([v.string(), v.number(), v.boolean(), v.null(), v.array(json), v.record(v.string(), json)]),
);

interface TensorEntry {
  readonly dtype: 'f32' | 'i32';
  readonly shape: readonly number[];
}

export interface ManifestCase {
  readonly id: string;
  readonly note: string;
  readonly settings: Readonly<Record<string, Json>>;
  /** The safetensors file, relative to the manifest. */
  readonly file: string;
  readonly inputs: Readonly<Record<string, TensorEntry>>;
  readonly outputs: Readonly<Record<string, TensorEntry>>;
  /** Bytes that the layer keeps between forward and backward, in f32. */
  readonly residualBytes?: number | undefined;
}

export interface Manifest {
  readonly format: 'paca-vectors';
  readonly version: typeof SUITE_VERSION;
  /** Seeds from which the inputs were drawn. */
  readonly seeds: { readonly inputs: number };
  /** SHA-256 over the bits of all exact results, in this order, each little-endian. */
  readonly digest: string;
  readonly cases: readonly ManifestCase[];
  readonly rejections: readonly {
    readonly id: string;
    readonly note: string;
    readonly settings: Readonly<Record<string, Json>>;
    /** The kind of error. */
    readonly expected: string;
  }[];
}

const natural = v.pipe(v.number(), v.integer(), v.minValue(0));

const tensor = v.strictObject({ dtype: v.picklist(['f32', 'i32']), shape: v.array(natural) });

const described = { id: v.string(), note: v.string(), settings: v.record(v.string(), json) };

const vectorCase = v.strictObject({
  ...described,
  file: v.string(),
  inputs: v.record(v.string(), tensor),
  outputs: v.record(v.string(), tensor),
  residualBytes: v.optional(natural),
});

export const manifestSchema: v.GenericSchema<unknown, Manifest> = v.strictObject({
  format: v.literal('paca-vectors'),
  version: v.literal(SUITE_VERSION),
  seeds: v.strictObject({ inputs: v.pipe(v.number(), v.integer()) }),
  digest: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  cases: v.array(vectorCase),
  rejections: v.array(v.strictObject({ ...described, expected: v.string() })),
});

/** The manifest of a JSON text, or the first thing in it that does not fit the schema. */
export const parseManifest = (text: string, where: string): Result<Manifest> => {
  const parsed = E.tryCatch(
    (): unknown => JSON.parse(text),
    (e) => String(e),
  );
  if (E.isLeft(parsed)) return fail('FileError', 'JSON', parsed.left, where);
  const checked = v.safeParse(manifestSchema, parsed.right, { abortEarly: true });
  if (checked.success) return E.right(checked.output);
  const [issue] = checked.issues;
  return fail(
    'FileError',
    issue.expected ?? 'another value',
    issue.received,
    `${where} at ${v.getDotPath(issue) ?? 'the root'}`,
  );
};
