/** What a finished run leaves: its trained numbers as files, and their digest. */
import { leafPaths, type Tree } from '../../core/tree.ts';
import { encodeAdapter } from '../../io/adapter.ts';
import { joinBytes, sha256Hex } from '../../io/digest.ts';
import { tensorBytes } from '../../io/little-endian.ts';
import { encodeSafetensors } from '../../io/safetensors.ts';
import type { Files } from '../../io/store.ts';
import { evaluate } from '../../models/architecture.ts';
import type { HostTensor, Spec } from '../../spec/tensor.ts';
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

/** A PaCA adapter in PEFT's layout; of other methods the trained tensors by their paths. */
const filesOf = (
  tensors: Readonly<Record<string, HostTensor>>,
  { indices, paths }: Adaptation,
  { rank, alpha, selectSeed: seed }: SelectionSettings,
): Files => {
  if (indices === null) return new Map([['model.safetensors', encodeSafetensors(tensors)]]);
  const modules = Object.entries(indices).map(([path, chosen]) => {
    const delta = tensors[`${path}.adapters.0.delta`] as HostTensor;
    return [path, { indices: chosen, delta }] as const;
  });
  return encodeAdapter({
    method: 'paca',
    rank,
    alpha,
    targetModules: paths,
    seed,
    modules: Object.fromEntries(modules),
  });
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
