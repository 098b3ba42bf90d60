/** What a finished run leaves: its trained numbers as files, and their digest. */
import { leafPaths, type Tree } from '../../core/tree.ts';
import { encodeAdapter } from '../../io/adapter.ts';
import type { LoraModule } from '../../io/adapter-lora.ts';
import { hasSaved, type SavedTensors } from '../../io/adapter-saved.ts';
import { joinBytes, sha256Hex } from '../../io/digest.ts';
import { tensorBytes } from '../../io/little-endian.ts';
import { encodeSafetensors } from '../../io/safetensors.ts';
import type { Files } from '../../io/store.ts';
import { evaluate } from '../../models/architecture.ts';
import type { SavedPlace } from '../../models/saved-places.ts';
import type { HostTensor, HostTensorOf, Spec } from '../../spec/tensor.ts';
import type { Problem } from '../../train/step.ts';
import type { Adaptation, AdaptationSettings } from './selection.ts';

export interface Outcome {
  /** The adapter's files; the whole model's for full fine-tuning. */
  readonly files: Files;
  /** SHA-256 over the trained tensors' bytes, in the order of their names. */
  readonly digest: string;
}

interface Tensors {
  /** What trains. */
  readonly trained: Readonly<Record<string, HostTensor>>;
  /** The adapters', what of them trains and what does not. */
  readonly adapters: Readonly<Record<string, HostTensor>>;
}

/** On the host, by their paths. */
const tensorsOf = async <T extends Spec>(
  { kernels: k, model }: Problem<T, unknown>,
  params: Tree<T>,
): Promise<Tensors> => {
  const trained: Record<string, HostTensor> = {};
  for (const [path, leaf] of leafPaths(model.layer(evaluate).trainable(params))) trained[path] = await k.toHost(leaf);
  const adapters: Record<string, HostTensor> = {};
  for (const [path, leaf] of leafPaths(params))
    if (path.includes('.adapters.')) adapters[path] = trained[path] ?? (await k.toHost(leaf));
  return { trained, adapters };
};

const digestOf = (tensors: Readonly<Record<string, HostTensor>>): Promise<string> =>
  sha256Hex(
    joinBytes(
      Object.keys(tensors)
        .sort()
        .map((name) => tensorBytes(tensors[name] as HostTensor)),
    ),
  );

/** The tensors of the places that are saved whole, a table that two of them share under both names; and biases that train. */
const savedTensors = (trained: Tensors['trained'], saved: readonly SavedPlace[]): SavedTensors => {
  const places = saved.flatMap(({ path, at }) =>
    Object.entries(trained)
      .filter(([name]) => name.startsWith(`${at}.`))
      .map(([name, tensor]) => [`${path}${name.slice(at.length)}`, tensor] as const),
  );
  const biases = Object.entries(trained).filter(([name]) => name.endsWith('.bias'));
  return Object.fromEntries([...biases, ...places]) as SavedTensors;
};

/** An adapter in PEFT's layout; after full training the trained tensors by their paths. */
const filesOf = (
  { trained, adapters }: Tensors,
  { indices, paths, alphaAt, saved }: Adaptation,
  { method, rank, alpha, rankStabilized = false, selectSeed: seed, bias = 'none' }: AdaptationSettings,
): Files => {
  const at = (path: string, part: string): HostTensorOf<'f32'> =>
    adapters[`${path}.adapters.0.${part}`] as HostTensorOf<'f32'>;
  const modules = <A>(of: (path: string) => A): Readonly<Record<string, A>> =>
    Object.fromEntries(paths.map((path) => [path, of(path)]));
  const loraModule = (path: string): LoraModule => ({ a: at(path, 'a'), b: at(path, 'b'), alpha: alphaAt(path) });
  const whole = savedTensors(trained, saved);
  const beside = {
    ...(saved.length > 0 && { modulesToSave: saved.map(({ path }) => path) }),
    ...(hasSaved(whole) && { saved: whole }),
    ...(bias !== 'none' && { bias }),
  };
  const shared = { rank, alpha, targetModules: paths, ...beside };
  switch (method) {
    case 'full':
      return new Map([['model.safetensors', encodeSafetensors(trained)]]);
    case 'paca':
      return encodeAdapter({
        ...{ ...shared, method, seed },
        modules: modules((path) => ({ indices: indices?.[path] as Int32Array, delta: at(path, 'delta') })),
      });
    case 'lora':
      return encodeAdapter({ ...shared, method, rankStabilized, modules: modules(loraModule) });
    case 'dora':
      return encodeAdapter({
        ...{ ...shared, method, rankStabilized },
        modules: modules((path) => ({ ...loraModule(path), magnitude: at(path, 'magnitude') })),
      });
    case 'moslora':
      return encodeAdapter({
        ...{ ...shared, method, rankStabilized },
        modules: modules((path) => ({ ...loraModule(path), mixer: at(path, 'mixer') })),
      });
  }
};

export const outcomeOf = async <T extends Spec>(
  problem: Problem<T, unknown>,
  adapted: Adaptation,
  params: Tree<T>,
  settings: AdaptationSettings,
): Promise<Outcome> => {
  const tensors = await tensorsOf(problem, params);
  return { files: filesOf(tensors, adapted, settings), digest: await digestOf(tensors.trained) };
};
