/**
 * What an adapter holds whole, each tensor in the file under its name in the checkpoint behind `base_model.model.`, as in
 * `base_model.model.lm_head.weight`: modules, by PEFT's `modules_to_save`, and biases that train beside LoRA, by its
 * `bias`; that of an adapted module stands under `base_layer.bias`.
 *
 * PEFT takes a name in `modules_to_save` for the end of a module's path, letter by letter (`norm` is `input_layernorm`
 * too), and with a module whatever lies inside it.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { type Architecture, leafSteps, tensorsOf } from '../models/architecture.ts';
import { fail, type Result } from '../spec/errors.ts';
import { excerpt } from '../spec/strict-json.ts';
import { type HostTensor, type HostTensorOf, type Spec, sameShape, showSpec } from '../spec/tensor.ts';
import { nameParts, type Parts, PREFIX } from './adapter-tensors.ts';
import { encodeSafetensors } from './safetensors.ts';
import { bareRecord } from './safetensors-header.ts';
import { widenHost } from './widen-host.ts';

/** By their names in the checkpoint. */
export type SavedTensors = Readonly<Record<string, HostTensorOf<'f32'>>>;

export type TrainedBiases = 'all' | 'lora_only';

/** What an adapter holds whole. */
export interface Saving {
  /** What ends the paths of the modules. */
  readonly modulesToSave?: readonly string[] | null;
  /** The biases: all, or those of the modules that are adapted. */
  readonly bias?: TrainedBiases;
  readonly saved?: SavedTensors;
}

type Tensors = Readonly<Record<string, HostTensor>>;

// In files

/** Whether a tensor belongs to a module that ends in this name. */
const isOf = (tensor: string, name: string): boolean => {
  const words = tensor.split('.');
  return words.some((_, i) => i > 0 && words.slice(0, i).join('.').endsWith(name));
};

/** The tensors that belong to modules of these names, biases if there are any that train, and the others. `isPart`: whether one is an adapter's own. */
export const splitSaved = (
  tensors: Tensors,
  { modulesToSave, bias }: Saving,
  isPart: (name: string) => boolean,
  where: string,
): Result<{ readonly saved: SavedTensors; readonly others: Tensors }> => {
  const nameOf = (name: string): string => name.slice(PREFIX.length).replace(/base_layer\.bias$/, 'bias');
  const isNamed = (name: string): boolean => modulesToSave?.some((module) => isOf(nameOf(name), module)) ?? false;
  const isSaved = (name: string): boolean =>
    name.startsWith(PREFIX) && !isPart(name) && (isNamed(name) || (bias !== undefined && name.endsWith('.bias')));
  const entries = Object.entries(tensors);
  return pipe(
    entries.filter(([name]) => isSaved(name)),
    E.traverseArray(([name, tensor]) =>
      pipe(
        widenHost(tensor, `${where}, ${excerpt(name)}`),
        E.map((wide) => [nameOf(name), wide] as const),
      ),
    ),
    E.map((saved) => ({
      saved: bareRecord(saved),
      others: bareRecord(entries.filter(([name]) => !isSaved(name))),
    })),
  );
};

/** A warning for each name of which there is no tensor: PEFT writes names, too, that no module has. */
export const unsavedNames = (names: readonly string[], saved: SavedTensors, where: string): readonly string[] =>
  names
    .filter((name) => !Object.keys(saved).some((tensor) => isOf(tensor, name)))
    .map((name) => `${where}: modules_to_save names ${excerpt(name)}, of which there is no tensor`);

export const hasSaved = (saved: SavedTensors): boolean => Object.keys(saved).length > 0;

/** The file of an adapter's tensors: those of its modules, and those that are saved whole. */
export const encodeTensors = (
  modules: Readonly<Record<string, Parts<string>>>,
  saved: SavedTensors = {},
): Uint8Array => {
  const isAdapted = (name: string): boolean =>
    name.endsWith('.bias') && Object.hasOwn(modules, name.slice(0, -'.bias'.length));
  const nameOf = (name: string): string => (isAdapted(name) ? name.replace(/bias$/, 'base_layer.bias') : name);
  const whole = Object.entries(saved).map(([name, tensor]) => [`${PREFIX}${nameOf(name)}`, tensor] as const);
  return encodeSafetensors(bareRecord([...Object.entries(nameParts(modules)), ...whole]), { format: 'pt' });
};

// Over a model

/** The tables that two places read: the name under which the second would have its own, and the table's. */
const tiedNames = ({ steps }: Architecture): readonly (readonly [name: string, table: string])[] =>
  leafSteps(steps).flatMap((step) =>
    step.kind === 'plain' && step.tiedTo !== undefined
      ? [[`${step.path}.weight`, `${step.tiedTo}.weight`] as const]
      : [],
  );

const areEqual = (a: HostTensor | undefined, b: HostTensor | undefined): boolean =>
  a !== undefined &&
  b !== undefined &&
  a.data.length === b.data.length &&
  a.data.every((x: number | bigint, i: number) => Object.is(x, b.data[i]));

/** One table for both, as the model has it: PEFT lets them come apart. */
const checkTied = (architecture: Architecture, saved: SavedTensors, where: string): Result<void> => {
  const apart = tiedNames(architecture).find(
    (pair) => pair.some((name) => Object.hasOwn(saved, name)) && !areEqual(saved[pair[0]], saved[pair[1]]),
  );
  if (apart === undefined) return E.right(undefined);
  const [one, other] = apart.filter((name) => Object.hasOwn(saved, name));
  const came = other === undefined ? `${one} alone` : 'two tables';
  return fail('ConfigError', `${apart.join(' and ')} alike, as the model ties them`, came, where);
};

const checkTensor = (wanted: ReadonlyMap<string, Spec['shape']>, name: string, tensor: Spec, where: string) => {
  const shape = wanted.get(name);
  if (shape === undefined) return fail('ConfigError', 'tensors of the model', excerpt(name), where);
  return sameShape(tensor.shape, shape)
    ? E.right(undefined)
    : fail('ShapeError', `shape [${shape.join(', ')}]`, showSpec(tensor), `${where}, ${name}`);
};

/** A module of the model that is named has its tensors. */
const checkComplete = (
  wanted: readonly string[],
  { modulesToSave, saved = {} }: Saving,
  where: string,
): Result<void> => {
  const missing = wanted.find((name) => !Object.hasOwn(saved, name) && modulesToSave?.some((end) => isOf(name, end)));
  return missing === undefined
    ? E.right(undefined)
    : fail('FileError', `a tensor ${missing}, whose module modules_to_save names`, 'none', where);
};

/**
 * The tensors that take the place of the model's own, a table that is tied once. `where` names the adapter in errors.
 * Errors: a tensor that the model has not, or of another shape, or one that is missing; a table that is tied and comes
 * alone, or in two versions.
 */
export const savedOver = (architecture: Architecture, adapter: Saving, where: string): Result<SavedTensors> => {
  const { saved = {} } = adapter;
  const tied = tiedNames(architecture).map(([name]) => name);
  const own = Object.entries(saved).filter(([name]) => !tied.includes(name));
  const wanted = new Map(leafSteps(architecture.steps).flatMap(tensorsOf));
  return pipe(
    checkComplete([...wanted.keys()], adapter, where),
    E.chain(() => checkTied(architecture, saved, where)),
    E.chain(() =>
      E.traverseArray(([name, tensor]: (typeof own)[number]) => checkTensor(wanted, name, tensor, where))(own),
    ),
    E.map(() => bareRecord(own)),
  );
};
