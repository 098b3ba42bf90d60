/** What `paca compare` is asked of language models: tasks, methods, seeds, and the settings that all runs share. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as v from 'valibot';
import { selectors } from '../../select/selector.ts';
import { fail, type Result } from '../../spec/errors.ts';
import { count, parseWith, path, positive, splitKeys } from '../schema.ts';
import { parseTextKeys, textKeys } from '../text/config.ts';
import type { TextInput } from '../text/settings.ts';

/**
 * The methods as they are named here: `none` is the base as it is, `lora-fa` is LoRA whose A stays as drawn. `nf4`, `qlora` and
 * `qpaca` are no tuning, LoRA and PaCA over the base with its linear maps in NF4.
 */
export const comparedMethods = [
  'none',
  'full',
  'lora',
  'lora-fa',
  'dora',
  'moslora',
  'paca',
  'nf4',
  'qlora',
  'qpaca',
] as const;

export type ComparedMethod = (typeof comparedMethods)[number];

/** The base as it is. */
export type Untuned = 'none' | 'nf4';

/** The keys of a run that differ from task to task. */
const ofTask = {
  base: v.optional(path),
  data: path,
  validation: v.optional(v.union([path, v.pipe(v.number(), v.gtValue(0), v.ltValue(1))])),
  test: v.optional(path),
  choices: v.optional(v.pipe(v.array(v.string()), v.minLength(2))),
  /** JSONL of text such as the base learnt from: what its loss rises by is what was forgotten. */
  ownText: v.optional(path),
};

const own = v.strictObject({
  tasks: v.optional(
    v.pipe(v.array(v.strictObject({ name: v.pipe(v.string(), v.minLength(1)), ...ofTask })), v.minLength(1)),
  ),
  methods: v.optional(v.pipe(v.array(v.picklist(comparedMethods)), v.minLength(1))),
  selects: v.optional(v.pipe(v.array(v.picklist(Object.keys(selectors))), v.minLength(1))),
  /** Runs of each contestant that draws lots, with its best learning rate. */
  seeds: v.optional(count),
  /** Learning rates that are tried, as multiples of the method's default. */
  rateFactors: v.optional(v.pipe(v.array(positive), v.minLength(1))),
  /** Whether methods have one rank, or PaCA the rank at which it trains as many numbers as LoRA. */
  match: v.optional(v.picklist(['rank', 'trainable'])),
  ownText: v.optional(path),
});

const ownKeys: readonly string[] = Object.keys(own.entries);

/** Keys of a run that the comparison sets itself. */
const setHere: readonly string[] = [
  'method',
  'select',
  'selectSeed',
  'learningRate',
  'freezeA',
  'rankPattern',
  'alphaPattern',
  'rankStabilized',
  'samples',
];

const sharedKeys: readonly string[] = textKeys.filter((key) => !setHere.includes(key));

export const textCompareKeys: readonly string[] = [...ownKeys, ...sharedKeys];

export interface Task {
  readonly name: string;
  /** Names its files; unlike those of other tasks, whatever the names are written in. */
  readonly id: string;
  readonly input: Pick<TextInput, 'base' | 'data' | 'validation' | 'test' | 'choices'>;
  readonly ownText: string | null;
  /** Where the base in NF4 is, or will be; from the comparison's folder. */
  readonly quantisedBase: string;
}

/** The keys of a run that all share. */
export type Shared = Partial<Omit<TextInput, 'data' | 'test' | 'choices' | 'validation'>>;

export interface Comparison {
  readonly tasks: readonly Task[];
  readonly methods: readonly ComparedMethod[];
  readonly selects: readonly string[];
  readonly seeds: number;
  readonly rateFactors: readonly number[];
  readonly match: 'rank' | 'trainable';
  readonly shared: Shared;
}

type Given = v.InferOutput<typeof own>;

/** A text as part of a file's name. */
export const slug = (text: string): string => text.replace(/[^A-Za-z0-9]+/g, '-').replace(/^-|-$/g, '');

/** Whether a method is over the base in NF4. */
export const isQuantised = (method: ComparedMethod): boolean => ['nf4', 'qlora', 'qpaca'].includes(method);

/** What a base does untuned is seen by the runs over it: there must be one. */
const checkMethods = (methods: readonly ComparedMethod[], where: string): Result<null> => {
  const alone = (['none', 'nf4'] as const).find(
    (untuned) =>
      methods.includes(untuned) &&
      methods.every((method) => method === 'none' || isQuantised(method) !== isQuantised(untuned) || method === 'nf4'),
  );
  return alone === undefined
    ? E.right(null)
    : fail('ConfigError', `a method that trains over the base of '${alone}'`, methods.join(', '), `${where}: methods`);
};

const defined = (record: object): object =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined));

const tasksOf = ({ tasks, ownText }: Given, flat: Partial<TextInput>, where: string): Result<readonly Task[]> => {
  const { base, data, validation, test, choices } = flat;
  const task = (i: number, name: string, given: Omit<NonNullable<Given['tasks']>[number], 'name'>): Result<Task> => {
    const id = `task${i + 1}-${slug(name)}`;
    const { ownText: text = ownText, ...input } = { ...defined({ base, validation }), ...given };
    return input.base === undefined
      ? fail('ConfigError', 'a base, of the task or of all', 'none', `${where}: ${name}`)
      : E.right({
          ...{ name, id, input: defined(input) as Task['input'], ownText: text ?? null },
          quantisedBase: `${id}.nf4`,
        });
  };
  if (tasks === undefined) {
    return data === undefined
      ? fail('ConfigError', 'data, or tasks', 'neither', where)
      : E.map((one: Task) => [one])(task(0, 'task', { data, test, choices } as never));
  }
  const double = tasks.find(({ name }, i) => tasks.findIndex((other) => other.name === name) !== i);
  if (double !== undefined) return fail('ConfigError', 'tasks of different names', `'${double.name}' twice`, where);
  const idle = (['data', 'test', 'choices'] as const).find((key) => flat[key] !== undefined);
  return idle === undefined
    ? pipe(
        tasks,
        E.traverseArrayWithIndex((i, { name, ...given }) => task(i, name, given)),
      )
    : fail('ConfigError', `${idle} in each of the tasks`, `'${idle}' beside them`, where);
};

/** From what a file and the flags say together. */
export const parseTextCompare = (input: unknown, where: string): Result<Comparison> => {
  const [mine, ofRun] = splitKeys(input, ownKeys);
  const stray = Object.keys(ofRun).find((key) => !sharedKeys.includes(key));
  if (stray !== undefined) return fail('ConfigError', `one of ${textCompareKeys.join(', ')}`, `'${stray}'`, where);
  const flat = ofRun as Partial<TextInput>;
  const { data: _, test: __, choices: ___, validation: ____, ...shared } = flat;
  return pipe(
    E.Do,
    E.bind('given', () => parseWith(own, ownKeys, mine, where)),
    // What all runs share must be right in itself; the config of each run is checked before the first begins.
    E.chainFirst(() => parseTextKeys({ base: '-', data: '-', ...flat }, where)),
    E.chainFirst(() =>
      flat.validation === 0
        ? fail('ConfigError', 'a validation part, by which learning rates are chosen', '0', `${where}: validation`)
        : E.right(null),
    ),
    E.chainFirst(({ given }) => checkMethods(given.methods ?? [], where)),
    E.bind('tasks', ({ given }) => tasksOf(given, flat, where)),
    E.map(({ given, tasks }) => ({
      tasks,
      methods: given.methods ?? comparedMethods.filter((method) => method !== 'lora-fa' && !isQuantised(method)),
      selects: given.selects ?? ['random', 'weight-norm', 'gradient'],
      seeds: given.seeds ?? 3,
      rateFactors: given.rateFactors ?? [0.5, 1, 2],
      match: given.match ?? 'rank',
      shared,
    })),
  );
};
