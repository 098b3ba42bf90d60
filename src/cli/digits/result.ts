/** What a finished run leaves: its trained numbers as files, and their digest. */
import type { Kernels } from '../../core/fused.ts';
import { leafPaths, type Tree } from '../../core/tree.ts';
import { encodeAdapter } from '../../io/adapter.ts';
import { joinBytes, sha256Hex } from '../../io/digest.ts';
import { tensorBytes } from '../../io/little-endian.ts';
import { encodeSafetensors } from '../../io/safetensors.ts';
import type { Files } from '../../io/store.ts';
import type { HostTensor, Spec } from '../../spec/tensor.ts';
import type { Prepared } from './experiment.ts';
import type { Settings } from './settings.ts';

export interface Outcome {
  /** The adapter's files; the whole model's for full fine-tuning. */
  readonly files: Files;
  /** SHA-256 over the trained tensors' bytes, in the order of their names. */
  readonly digest: string;
}

/** What trains, on the host, by its path. */
const trainedTensors = async <T extends Spec>(
  k: Kernels<T>,
  { model }: Prepared<T>,
  params: Tree<T>,
): Promise<Readonly<Record<string, HostTensor>>> => {
  const tensors: Record<string, HostTensor> = {};
  const trained = leafPaths(model.layer({ kind: 'evaluate' }).trainable(params));
  for (const [path, leaf] of trained) tensors[path] = await k.toHost(leaf);
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

export const outcomeOf = async <T extends Spec>(
  k: Kernels<T>,
  prepared: Prepared<T>,
  params: Tree<T>,
  settings: Settings,
): Promise<Outcome> => {
  const tensors = await trainedTensors(k, prepared, params);
  const digest = await digestOf(tensors);
  const { selected } = prepared;
  if (selected === null) return { files: new Map([['model.safetensors', encodeSafetensors(tensors)]]), digest };
  const modules = Object.entries(selected.indices).map(([path, indices]) => {
    const delta = tensors[`${path}.adapters.0.delta`] as HostTensor;
    return [path, { indices, delta }] as const;
  });
  const files = encodeAdapter({
    method: 'paca',
    rank: settings.rank,
    alpha: settings.alpha,
    targetModules: Object.keys(selected.indices),
    seed: settings.selectSeed,
    modules: Object.fromEntries(modules),
  });
  return { files, digest };
};
