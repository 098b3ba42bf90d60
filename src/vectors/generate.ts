/**
 * The suite as files: inputs, f64 values, exact f32 bits and a bound for each element. Nothing in it comes from the
 * backend under test: values are the f64 reference's, bits the f32 reference's, bounds the error-carrying run's.
 *
 * Law: generating twice gives the same bytes, on every engine.
 */
import { type Bounded, errorBounds } from '../core/error-bound.ts';
import { type Kernels, kernels } from '../core/fused.ts';
import { joinBytes, sha256Hex } from '../io/digest.ts';
import { encodeSafetensors } from '../io/safetensors.ts';
import { defect } from '../spec/errors.ts';
import type { HostTensor, Spec } from '../spec/tensor.ts';
import { ieee } from '../spec/tolerance.ts';
import { INPUT_SEED, type Tensors, type VectorCase } from './case.ts';
import { rejections, vectorCases } from './cases/index.ts';
import { type Manifest, type ManifestCase, SUITE_VERSION } from './manifest.ts';
import { exactBytes, runCase } from './run.ts';

/** The two references. */
export interface Oracles<T extends Spec, U extends Spec> {
  readonly f64: Kernels<T>;
  readonly f32: Kernels<U>;
}

interface Generated {
  readonly entry: ManifestCase;
  readonly file: Uint8Array;
  readonly exact: readonly Uint8Array[];
}

const specs = (tensors: Tensors<HostTensor>): ManifestCase['inputs'] =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, { dtype, shape }]) =>
      dtype === 'f32' || dtype === 'i32'
        ? [name, { dtype, shape: [...shape] }]
        : defect(`'${name}' is ${dtype}; a vector holds f32 and i32`),
    ),
  );

const prefixed = (prefix: string, tensors: Tensors<HostTensor>): Tensors<HostTensor> =>
  Object.fromEntries(Object.entries(tensors).map(([name, t]) => [`${prefix}/${name}`, t]));

const floatsOnly = (tensors: Tensors<HostTensor>): Tensors<HostTensor> =>
  Object.fromEntries(Object.entries(tensors).filter(([, { dtype }]) => dtype !== 'i32'));

/** The bound of each float output, from a run that carries errors. */
const boundsOf = async <T extends Spec>(
  f64: Kernels<T>,
  c: VectorCase,
  inputs: Tensors<HostTensor>,
): Promise<Tensors<HostTensor>> => {
  const carrying = kernels(errorBounds(f64, ieee));
  const onDevice = Object.fromEntries(Object.entries(inputs).map(([name, t]) => [name, carrying.fromHost(t)]));
  const outputs: Tensors<Bounded<T>> = c.run(carrying, onDevice, inputs);
  const read = await Promise.all(
    Object.entries(outputs).map(async ([name, { error }]) => [name, await f64.toHost(error)] as const),
  );
  return Object.fromEntries(read);
};

const generateCase = async <T extends Spec, U extends Spec>(
  { f64, f32 }: Oracles<T, U>,
  c: VectorCase,
): Promise<Generated> => {
  const exact = await runCase(f32, c, c.inputs);
  const values = await runCase(f64, c, c.inputs);
  const bounds = await boundsOf(f64, c, c.inputs);
  const floats = Object.keys(floatsOnly(exact));
  const keep = (tensors: Tensors<HostTensor>): Tensors<HostTensor> =>
    Object.fromEntries(Object.entries(tensors).filter(([name]) => floats.includes(name)));
  const tensors = {
    ...prefixed('input', c.inputs),
    ...prefixed('exact', exact),
    ...prefixed('value', keep(values)),
    ...prefixed('bound', keep(bounds)),
  };
  const entry: ManifestCase = {
    id: c.id,
    note: c.note,
    settings: { ...c.settings },
    file: `${c.id}.safetensors`,
    inputs: specs(c.inputs),
    outputs: specs(exact),
    ...(c.residualBytes && { residualBytes: c.residualBytes(f32) }),
  };
  return { entry, file: encodeSafetensors(tensors, { case: c.id }), exact: Object.values(exact).map(exactBytes) };
};

/** Every file of the suite by its name, the manifest among them. */
export const generateSuite = async <T extends Spec, U extends Spec>(
  oracles: Oracles<T, U>,
): Promise<ReadonlyMap<string, Uint8Array>> => {
  const generated: Generated[] = [];
  for (const c of vectorCases) generated.push(await generateCase(oracles, c));
  const manifest: Manifest = {
    format: 'paca-vectors',
    version: SUITE_VERSION,
    seeds: { inputs: INPUT_SEED },
    digest: await sha256Hex(joinBytes(generated.flatMap(({ exact }) => exact))),
    cases: generated.map(({ entry }) => entry),
    rejections: rejections.map(({ id, note, settings, expected }) => ({
      id,
      note,
      settings: { ...settings },
      expected,
    })),
  };
  const text = `${JSON.stringify(manifest, null, 2)}\n`;
  return new Map([
    ['manifest.json', new TextEncoder().encode(text)],
    ...generated.map(({ entry, file }) => [entry.file, file] as const),
  ]);
};
