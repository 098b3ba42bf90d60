/** What a finished run leaves: its trained numbers as files, and their digest. */
import { leafPaths, type Tree } from '../../core/tree.ts';
import { encodeAdapter } from '../../io/adapter.ts';
import { joinBytes, sha256Hex } from '../../io/digest.ts';
import { tensorBytes } from '../../io/little-endian.ts';
import { encodeSafetensors } from '../../io/safetensors.ts';
import type { Files } from '../../io/store.ts';
import { evaluate } from '../../models/architecture.ts';
import type { HostTensor, HostTensorOf, Spec } from '../../spec/tensor.ts';
import type { Problem } from '../../train/step.ts';
import type { Adaptation, SelectionSettings } from './selection.ts';

export interface Outcome {
  /** The adapter's files; the whole model's for full fine-tuning. */
  readonly files: Files;
  /** SHA-256 over the trained tensors' bytes, in the order of their names. */
  readonly digest: string;
}

/** What trains, on the host, by its path. */
const trainedTensors = async <T extends Spec>(
  { kernels: k, model }: Problem<T, unknown>,
  params: Tree<T>,
): Promise<Readonly<Record<string, HostTensor>>> => {
  const tensors: Record<string, HostTensor> = {};
  for (const [path, leaf] of leafPaths(model.layer(evaluate).trainable(params))) tensors[path] = await k.toHost(leaf);
  return tensors;
};

const digestOf = (tensors: Readonly<Record<string, HostTensor>>): Promise<string> =>
  sha256Hex(
    joinBytes(
      Object.keys(tensors)
        .sort()
        .map((name) => tensorBytes(tensors[name] as HostTensor)),
    ),
  );

/** An adapter in PEFT's layout; after full training the trained tensors by their paths. */
const filesOf = (
  tensors: Readonly<Record<string, HostTensor>>,
  { indices, paths }: Adaptation,
  { method, rank, alpha, selectSeed: seed }: SelectionSettings,
): Files => {
  const at = (path: string, part: string): HostTensorOf<'f32'> =>
    tensors[`${path}.adapters.0.${part}`] as HostTensorOf<'f32'>;
  const modules = <A>(of: (path: string) => A): Readonly<Record<string, A>> =>
    Object.fromEntries(paths.map((path) => [path, of(path)]));
  const shared = { rank, alpha, targetModules: paths, seed };
  switch (method) {
    case 'full':
      return new Map([['model.safetensors', encodeSafetensors(tensors)]]);
    case 'lora':
      return encodeAdapter({
        ...shared,
        method,
        rankStabilized: false,
        modules: modules((path) => ({ a: at(path, 'a'), b: at(path, 'b'), alpha })),
      });
    case 'paca':
      return encodeAdapter({
        ...shared,
        method,
        modules: modules((path) => ({ indices: indices?.[path] as Int32Array, delta: at(path, 'delta') })),
      });
  }
};

export const outcomeOf = async <T extends Spec>(
  problem: Problem<T, unknown>,
  adapted: Adaptation,
  params: Tree<T>,
  settings: SelectionSettings,
): Promise<Outcome> => {
  const tensors = await trainedTensors(problem, params);
  return { files: filesOf(tensors, adapted, settings), digest: await digestOf(tensors) };
};
