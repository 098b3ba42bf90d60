/**
 * The folder of a run: `config.json` (every setting, and what identifies the run), `base/` (weights that the run itself
 * pretrained), `checkpoint/`, `events.jsonl`, `adapter/`, `loss.svg` and `report.html`.
 *
 * A folder that holds a run is never overwritten: it is resumed, or another one is taken.
 */
import * as E from 'fp-ts/lib/Either.js';
import { decodeSafetensors, encodeSafetensors } from '../../io/safetensors.ts';
import type { Store } from '../../io/store.ts';
import type { Weights } from '../../models/architecture.ts';
import { fail, type Result } from '../../spec/errors.ts';
import { parseStrictJson } from '../../spec/strict-json.ts';
import { CHECKPOINT, type TrainEvent } from '../../train/loop.ts';

const CONFIG = 'config.json';
const EVENTS = 'events.jsonl';
const BASE = 'base';
const BASE_FILE = 'model.safetensors';
export const ADAPTER = 'adapter';
export const CURVE = 'loss.svg';
export const REPORT = 'report.html';
const parts: readonly string[] = [BASE, CHECKPOINT, EVENTS, ADAPTER, CURVE, REPORT];

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** The identity of the run that the folder holds, or null if it holds none. */
const heldRun = async (store: Store): Promise<Result<string | null>> => {
  const files = await store.list();
  if (E.isLeft(files)) return files;
  if (!files.right.includes(CONFIG)) return E.right(null);
  const config = await store.read(CONFIG);
  if (E.isLeft(config)) return config;
  const parsed = parseStrictJson(decode(config.right), CONFIG);
  if (E.isLeft(parsed)) return parsed;
  const run = (parsed.right as { run?: unknown } | null)?.run;
  return typeof run === 'string' ? E.right(run) : fail('FileError', 'the identity of a run', String(run), CONFIG);
};

/** Refuses a folder that holds no run, but something else under the names that a run writes to. */
const checkFree = async (store: Store, where: string): Promise<Result<void>> => {
  const files = await store.list();
  if (E.isLeft(files)) return files;
  const groups = await store.listGroups();
  if (E.isLeft(groups)) return groups;
  const taken = parts.filter((name) => files.right.includes(name) || groups.right.includes(name));
  return taken.length === 0
    ? E.right(undefined)
    : fail('FileError', 'a folder in which a run overwrites nothing', taken.join(', '), where);
};

/** Makes the folder this run's, or refuses to touch what it holds. */
export const claimFolder = async (
  store: Store,
  where: string,
  run: string,
  settings: object,
  resume: boolean,
): Promise<Result<void>> => {
  const held = await heldRun(store);
  if (E.isLeft(held)) return held;
  if (held.right === null) {
    if (resume) return fail('FileError', 'a run to resume', 'none', where);
    const free = await checkFree(store, where);
    if (E.isLeft(free)) return free;
    return store.write(CONFIG, encode(`${JSON.stringify({ run, settings }, null, 2)}\n`));
  }
  if (held.right !== run)
    return fail('FileError', 'a folder without another run', 'a run of other settings or input', where);
  return resume ? E.right(undefined) : fail('FileError', 'a new folder, or --resume to go on', 'a run', where);
};

/** The base weights that an earlier session of the run left. */
export const readBase = async (store: Store): Promise<Result<Weights | null>> => {
  const groups = await store.listGroups();
  if (E.isLeft(groups)) return groups;
  if (!groups.right.includes(BASE)) return E.right(null);
  const files = await store.readGroup(BASE);
  if (E.isLeft(files)) return files;
  const bytes = files.right.get(BASE_FILE);
  if (bytes === undefined) return fail('FileError', `a file ${BASE_FILE}`, 'none', BASE);
  const decoded = decodeSafetensors(bytes, `${BASE}/${BASE_FILE}`);
  return E.isLeft(decoded) ? decoded : E.right(decoded.right.tensors);
};

export const writeBase = (store: Store, weights: Weights): Promise<Result<void>> =>
  store.writeGroup(BASE, new Map([[BASE_FILE, encodeSafetensors(weights)]]));

export type Logged = Readonly<Record<string, unknown>>;

/** What of an event is written down: everything but the state's tensors. */
export const loggable = <T>(event: TrainEvent<T>): Logged => {
  const { state: _, ...rest } = event as TrainEvent<T> & { state?: unknown };
  return rest;
};

export const appendEvent = (store: Store, event: Logged): Promise<Result<void>> =>
  store.append(EVENTS, encode(`${JSON.stringify(event)}\n`));

const parseLine = (line: string): Logged | null => {
  const parsed = E.tryCatch(
    (): unknown => JSON.parse(line),
    () => null,
  );
  return E.isRight(parsed) && typeof parsed.right === 'object' ? (parsed.right as Logged | null) : null;
};

/** The events up to a step; a last line that was cut off when the machine stopped is left out. */
export const readEvents = async (store: Store, upTo: number): Promise<Result<readonly Logged[]>> => {
  const files = await store.list();
  if (E.isLeft(files)) return files;
  if (!files.right.includes(EVENTS)) return E.right([]);
  const bytes = await store.read(EVENTS);
  if (E.isLeft(bytes)) return bytes;
  const events = decode(bytes.right)
    .split('\n')
    .flatMap((line): readonly Logged[] => {
      const event = parseLine(line);
      return event === null ? [] : [event];
    });
  return E.right(events.filter(({ step }) => typeof step === 'number' && step <= upTo));
};

/** Forgets the events after the step from which the run goes on, and the end: they will happen again. */
export const rewindEvents = async (store: Store, step: number): Promise<Result<void>> => {
  const events = await readEvents(store, step);
  if (E.isLeft(events)) return events;
  const kept = events.right.filter(({ kind }) => kind !== 'done');
  return store.write(EVENTS, encode(kept.map((e) => `${JSON.stringify(e)}\n`).join('')));
};
