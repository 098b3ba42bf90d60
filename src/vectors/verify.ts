/**
 * Holding a backend to the suite. An exact backend must have the committed bits of every element, by `Object.is`; a
 * bounded one must lie within the committed bound of the committed f64 value.
 */
import * as E from 'fp-ts/lib/Either.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type { Backend, ConformanceClass } from '../core/backend.ts';
import { joinBytes, sha256Hex } from '../io/digest.ts';
import { decodeSafetensors } from '../io/safetensors.ts';
import { fail, type Result, showError } from '../spec/errors.ts';
import { type HostTensor, type Spec, sameShape, showSpec } from '../spec/tensor.ts';
import type { Tensors, VectorCase } from './case.ts';
import { rejections, vectorCases } from './cases/index.ts';
import { type Manifest, type ManifestCase, parseManifest, SUITE_VERSION } from './manifest.ts';
import { exactBytes, runCase } from './run.ts';

/** How a file of the suite is read. */
export type ReadFile = (name: string) => Promise<Result<Uint8Array>>;

export interface Failure {
  readonly case: string;
  readonly reason: string;
}

export interface Report {
  readonly backend: string;
  readonly conformance: ConformanceClass;
  readonly threads: number;
  readonly version: number;
  readonly passed: number;
  readonly failed: number;
  /** Nothing is skipped silently: a case that could not be run has failed. */
  readonly skipped: number;
  /** SHA-256 over the bits of all results, in manifest order. */
  readonly digest: string;
  /** The largest |got − f64 value| as a fraction of its bound. */
  readonly worst: { readonly case: string; readonly fraction: number };
  readonly failures: readonly Failure[];
}

interface Outcome {
  readonly id: string;
  readonly failures: readonly string[];
  readonly fraction: number;
  readonly bytes: readonly Uint8Array[];
}

/** What the suite holds for one output. */
interface Expected {
  readonly exact: HostTensor | undefined;
  readonly value: HostTensor | undefined;
  readonly bound: HostTensor | undefined;
}

const firstDifference = (got: HostTensor, exact: HostTensor): string | null => {
  for (let i = 0; i < exact.data.length; i++) {
    if (!Object.is(got.data[i], exact.data[i])) return `element ${i}: expected ${exact.data[i]}, got ${got.data[i]}`;
  }
  return null;
};

/** Largest |got − value|/bound; infinite for a NaN anywhere, or a difference where the bound is 0. */
export const largestFraction = (got: HostTensor, value: HostTensor, bound: HostTensor): number => {
  let largest = 0;
  for (let i = 0; i < value.data.length; i++) {
    const error = Math.abs(Number(got.data[i]) - Number(value.data[i]));
    const fraction = error === 0 ? 0 : error / Number(bound.data[i]);
    if (Number.isNaN(fraction)) return Number.POSITIVE_INFINITY;
    largest = Math.max(largest, fraction);
  }
  return largest;
};

interface Check {
  readonly failures: readonly string[];
  readonly fraction: number;
  readonly bytes: readonly Uint8Array[];
}

const checkOutput = (
  conformance: ConformanceClass,
  name: string,
  got: HostTensor | undefined,
  { exact, value, bound }: Expected,
): Check => {
  const failed = (reason: string): Check => ({ failures: [reason], fraction: 0, bytes: [] });
  if (got === undefined) return failed(`no output '${name}'`);
  if (exact === undefined) return failed(`the file holds no exact '${name}'`);
  if (got.dtype !== exact.dtype || !sameShape(got.shape, exact.shape)) {
    return failed(`'${name}': expected ${showSpec(exact)}, got ${showSpec(got)}`);
  }
  const bytes = [exactBytes(got)];
  const difference = firstDifference(got, exact);
  const differs = difference === null ? [] : [`'${name}' ${difference}`];
  if (exact.dtype === 'i32') return { failures: differs, fraction: 0, bytes };
  if (value === undefined || bound === undefined) return failed(`the file holds no value or no bound of '${name}'`);
  if (![value, bound].every(({ shape }) => sameShape(shape, exact.shape))) {
    return failed(`the file's value or bound of '${name}' has another shape than its exact result`);
  }
  const fraction = largestFraction(got, value, bound);
  const outside = fraction <= 1 ? [] : [`'${name}' lies ${fraction} times its bound from the f64 value`];
  return { failures: [...(conformance === 'exact' ? differs : []), ...outside], fraction, bytes };
};

const withPrefix = (tensors: Tensors<HostTensor>, prefix: string): Tensors<HostTensor> =>
  Object.fromEntries(
    Object.entries(tensors).flatMap(([name, t]) =>
      name.startsWith(`${prefix}/`) ? [[name.slice(prefix.length + 1), t] as const] : [],
    ),
  );

const failedWith = (id: string, reason: string): Outcome => ({ id, failures: [reason], fraction: 0, bytes: [] });

const verifyCase = async <T extends Spec>(
  { kernels, conformance }: Backend<T>,
  entry: ManifestCase,
  c: VectorCase | undefined,
  file: Result<Uint8Array>,
): Promise<Outcome> => {
  const failed = (reason: string): Outcome => failedWith(entry.id, reason);
  if (c === undefined) return failed('this engine has no such case');
  if (E.isLeft(file)) return failed(showError(file.left));
  const decoded = decodeSafetensors(file.right, entry.file);
  if (E.isLeft(decoded)) return failed(showError(decoded.left));
  const { tensors } = decoded.right;
  const [exact, values, bounds] = ['exact', 'value', 'bound'].map((prefix) => withPrefix(tensors, prefix));
  const outputs = await runCase(kernels, c, withPrefix(tensors, 'input'));
  const checks = Object.keys(entry.outputs).map((name) =>
    checkOutput(conformance, name, outputs[name], {
      exact: exact?.[name],
      value: values?.[name],
      bound: bounds?.[name],
    }),
  );
  const surplus = Object.keys(outputs).filter((name) => entry.outputs[name] === undefined);
  const residual = c.residualBytes?.(kernels);
  return {
    id: entry.id,
    failures: [
      ...checks.flatMap(({ failures }) => failures),
      ...surplus.map((name) => `output '${name}' is not in the suite`),
      ...(residual === entry.residualBytes
        ? []
        : [`keeps ${residual} bytes between forward and backward, expected ${entry.residualBytes}`]),
    ],
    fraction: Math.max(0, ...checks.map(({ fraction }) => fraction)),
    bytes: checks.flatMap(({ bytes }) => bytes),
  };
};

/** A backend that throws has failed the case, and the next one runs all the same. */
const outcomeOf = async (id: string, run: () => Promise<Outcome>): Promise<Outcome> =>
  E.getOrElse((reason: string) => failedWith(id, reason))(await TE.tryCatch(run, (e) => `it threw: ${e}`)());

const verifyRejection = <T extends Spec>(
  { kernels }: Backend<T>,
  { id, expected }: Manifest['rejections'][number],
): Outcome => {
  const found = rejections.find((r) => r.id === id);
  if (found === undefined) return failedWith(id, 'this engine has no such case');
  const result = found.run(kernels);
  if (E.isRight(result)) return failedWith(id, `expected a ${expected}, but it was accepted`);
  if (result.left.tag !== expected) return failedWith(id, `expected a ${expected}, got ${showError(result.left)}`);
  return { id, failures: [], fraction: 0, bytes: [] };
};

/** Cases that the engine has and the manifest does not. */
const missing = (manifest: Manifest): readonly Outcome[] => {
  const known = new Set([...manifest.cases, ...manifest.rejections].map(({ id }) => id));
  return [...vectorCases, ...rejections]
    .filter(({ id }) => !known.has(id))
    .map(({ id }) => failedWith(id, 'the manifest has no such case'));
};

/** Runs every case of the suite on the backend. `left` if the manifest can't be read, or if it does not compute in f32. */
export const verifySuite = async <T extends Spec>(backend: Backend<T>, read: ReadFile): Promise<Result<Report>> => {
  const { name, kernels } = backend;
  if (kernels.float !== 'f32')
    return fail('BackendError', 'a backend that computes in f32', `one in ${kernels.float}`, name);
  const text = await read('manifest.json');
  if (E.isLeft(text)) return text;
  const manifest = parseManifest(new TextDecoder().decode(text.right), 'manifest.json');
  if (E.isLeft(manifest)) return manifest;
  const byId = new Map(vectorCases.map((c) => [c.id, c]));
  const outcomes: Outcome[] = [];
  for (const entry of manifest.right.cases) {
    const file = await read(entry.file);
    outcomes.push(await outcomeOf(entry.id, () => verifyCase(backend, entry, byId.get(entry.id), file)));
  }
  for (const entry of manifest.right.rejections) {
    outcomes.push(await outcomeOf(entry.id, async () => verifyRejection(backend, entry)));
  }
  outcomes.push(...missing(manifest.right));
  return E.right(await reportOf(backend, manifest.right, outcomes));
};

const reportOf = async <T extends Spec>(
  { name, conformance, threads }: Backend<T>,
  manifest: Manifest,
  outcomes: readonly Outcome[],
): Promise<Report> => {
  const digest = await sha256Hex(joinBytes(outcomes.flatMap(({ bytes }) => bytes)));
  const changed = conformance === 'exact' && digest !== manifest.digest;
  const failures = outcomes.flatMap(({ id, failures: reasons }) => reasons.map((reason) => ({ case: id, reason })));
  const worst = outcomes.reduce((a, b) => (b.fraction > a.fraction ? b : a));
  const failed = outcomes.filter((o) => o.failures.length > 0).length;
  return {
    backend: name,
    conformance,
    threads,
    version: SUITE_VERSION,
    passed: outcomes.length - failed,
    failed: failed + (changed ? 1 : 0),
    skipped: 0,
    digest,
    worst: { case: worst.id, fraction: worst.fraction },
    failures: changed
      ? [...failures, { case: 'digest', reason: `expected ${manifest.digest}, got ${digest}` }]
      : failures,
  };
};
