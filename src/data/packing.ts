/**
 * Token sequences → the micro-batches of a causal language model: rows of inputs, and targets that are shifted already.
 *
 * With `pack`, rows have a fixed length and hold as many whole sequences as fit, in order: one that is longer than what is left of
 * a row starts a new row; none is cut. Without, each sequence has a row of its own, as long as the longest of its batch needs.
 *
 * The documents of a row do not see one another: a packed batch says where each starts (`starts`), attention looks no further
 * back, and positions begin anew at 0. So a document's loss and gradients do not depend on its neighbours. With `across` they
 * may: a document sees those before it and positions count on through the row, as many models are pretrained.
 *
 * Laws: the trained pairs (document up to i → token i + 1) of the rows are those of the sequences, each once, and none spans two
 * documents; `count` is the number of targets that are not −100; each sequence stands in one row; a token's start is that of its
 * sequence in the row, and padding behind the last one is a document of its own.
 */
import * as E from 'fp-ts/lib/Either.js';
import type { DocumentStarts } from '../spec/documents.ts';
import { fail, type Result } from '../spec/errors.ts';
import type { HostTensorOf } from '../spec/tensor.ts';
import { inOrder } from './batches.ts';
import type { TokenSequence } from './sequences.ts';

// model

export type Packing =
  /** Rows of this many tokens. `across`: a document sees those before it in its row; false if not given. */
  | { readonly pack: true; readonly length: number; readonly across?: boolean }
  /** Rows as long as the longest sequence of the batch, rounded up to a multiple of `padToMultipleOf` (1: as it is). */
  | { readonly pack: false; readonly padToMultipleOf: number };

/** Which sequences stand in a row, in order. Rows are what a step's batch is drawn from (`data/batches.ts`). */
export type Row = Int32Array;

/**
 * Inputs i32[rows, length], targets i32[rows · length] (−100: none), and how many targets count; where documents start, if a
 * row may hold several that do not see one another.
 */
export interface TokenBatch {
  readonly inputs: HostTensorOf<'i32'>;
  readonly targets: HostTensorOf<'i32'>;
  readonly count: number;
  readonly starts?: DocumentStarts;
}

/** The target that is none: PyTorch's ignore_index. */
const ignored = -100;

// rows

const isCount = (n: number): boolean => Number.isSafeInteger(n) && n >= 1;

const checkPacking = (packing: Packing): Result<null> => {
  if (!packing.pack) {
    const { padToMultipleOf } = packing;
    return isCount(padToMultipleOf)
      ? E.right(null)
      : fail('ConfigError', 'a count of 1 or more', String(padToMultipleOf), 'padToMultipleOf');
  }
  const { length } = packing;
  return isCount(length) ? E.right(null) : fail('ConfigError', 'a count of 1 or more', String(length), 'length');
};

/** Next fit: a row is closed when the next sequence does not fit. */
const packInOrder = (sequences: readonly TokenSequence[], length: number): readonly Row[] => {
  const rows: number[][] = [];
  let left = 0;
  sequences.forEach(({ ids }, i) => {
    if (rows.length === 0 || ids.length > left) {
      rows.push([]);
      left = length;
    }
    rows.at(-1)?.push(i);
    left -= ids.length;
  });
  return rows.map((row) => Int32Array.from(row));
};

/**
 * The rows of a set. ConfigError: a length or multiple that is no count. DataError: no sequence; one that no row of this length
 * holds.
 */
export const planRows = (sequences: readonly TokenSequence[], packing: Packing): Result<readonly Row[]> => {
  const checked = checkPacking(packing);
  if (E.isLeft(checked)) return checked;
  if (sequences.length === 0) return fail('DataError', 'at least one sequence', 'none', 'sequences');
  if (!packing.pack) return E.right(sequences.map((_, i) => Int32Array.of(i)));
  const { length } = packing;
  const long = sequences.findIndex(({ ids }) => ids.length > length);
  return long < 0
    ? E.right(packInOrder(sequences, length))
    : fail('DataError', `at most ${length} tokens`, String(sequences[long]?.ids.length), `sequences[${long}]`);
};

// batches

const tokensIn = (row: readonly TokenSequence[]): number => row.reduce((n, { ids }) => n + ids.length, 0);

const rowLength = (rows: readonly (readonly TokenSequence[])[], packing: Packing): number => {
  if (packing.pack) return packing.length;
  const longest = rows.reduce((n, row) => Math.max(n, tokensIn(row)), 0);
  return Math.ceil(longest / packing.padToMultipleOf) * packing.padToMultipleOf;
};

/** Writes one document from `start` on. The target at a token is the next token of this document, if that trains. */
const writeDocument = (
  { ids, trains }: TokenSequence,
  inputs: Int32Array,
  targets: Int32Array,
  start: number,
): void => {
  inputs.set(ids, start);
  for (let i = 0; i + 1 < ids.length; i++) if (trains[i + 1] === 1) targets[start + i] = ids[i + 1] as number;
};

/**
 * The micro-batch of some rows. `padding` fills the inputs behind the last document (the tokenizer's pad, or any other id of the
 * vocabulary: nothing is learnt there, and causal attention does not look ahead). A `count` of 0 comes only of sequences in
 * which nothing trains.
 */
export const tokenBatch = (
  sequences: readonly TokenSequence[],
  rows: readonly Row[],
  packing: Packing,
  padding: number,
): Result<TokenBatch> => {
  const checked = checkPacking(packing);
  if (E.isLeft(checked)) return checked;
  if (!Number.isInteger(padding) || padding < 0 || padding > 0x7fffffff)
    return fail('ConfigError', 'the id of a token', String(padding), 'padding');
  const outside = rows.flatMap((row) => Array.from(row)).find((i) => sequences[i] === undefined);
  if (rows.length === 0 || outside !== undefined)
    return fail('IndexError', `rows of sequences 0 … ${sequences.length - 1}`, String(outside ?? 'no row'), 'rows');
  const documents = rows.map((row) => Array.from(row, (i) => sequences[i] as TokenSequence));
  const length = rowLength(documents, packing);
  const long = documents.find((row) => tokensIn(row) > length);
  if (long !== undefined) return fail('DataError', `rows of at most ${length} tokens`, String(tokensIn(long)), 'rows');
  const inputs = new Int32Array(rows.length * length).fill(padding);
  const targets = new Int32Array(rows.length * length).fill(ignored);
  const starts = new Int32Array(rows.length * length);
  documents.forEach((row, r) => {
    const end = row.reduce((start, document) => {
      writeDocument(document, inputs, targets, r * length + start);
      starts.fill(start, r * length + start, r * length + start + document.ids.length);
      return start + document.ids.length;
    }, 0);
    starts.fill(end, r * length + end, (r + 1) * length);
  });
  return E.right({
    inputs: { dtype: 'i32', shape: [rows.length, length], data: inputs },
    targets: { dtype: 'i32', shape: [rows.length * length], data: targets },
    count: targets.reduce((n, t) => (t === ignored ? n : n + 1), 0),
    ...(packing.pack &&
      packing.across !== true && { starts: { dtype: 'i32', shape: [rows.length, length], data: starts } }),
  });
};

/** All rows in order, `rowsPerBatch` a micro-batch and the last as many as are left: one pass, for evaluation. */
export const tokenBatches = (
  sequences: readonly TokenSequence[],
  rowsPerBatch: number,
  packing: Packing,
  padding: number,
): Result<readonly TokenBatch[]> => {
  if (!isCount(rowsPerBatch)) return fail('ConfigError', 'a count of 1 or more', String(rowsPerBatch), 'rowsPerBatch');
  const rows = planRows(sequences, packing);
  if (E.isLeft(rows)) return rows;
  const parts = inOrder(rows.right.length, rowsPerBatch).map((part) => Array.from(part, (i) => rows.right[i] as Row));
  return E.traverseArray((part: readonly Row[]) => tokenBatch(sequences, part, packing, padding))(parts);
};
