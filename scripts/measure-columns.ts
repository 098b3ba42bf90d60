/**
 * How far fine-tuning moved each input column of one weight matrix: the Euclidean norm of each column of tuned − base, as JSON on stdout.
 *
 *     node dist/scripts/measure-columns.js demo/base MATRIX NAME=FOLDER…
 *
 * Each FOLDER is a whole model in the layout of Hugging Face, such as `paca merge` writes.
 */
import process from 'node:process';
import { openCheckpoint } from '../src/io/checkpoint.ts';
import { nodeSource } from '../src/io/source-node.ts';
import { widenHost } from '../src/io/widen-host.ts';
import { orThrow } from '../src/spec/errors.ts';
import type { HostTensorOf } from '../src/spec/tensor.ts';

const [base = '', matrix = '', ...tuned] = process.argv.slice(2);
if (base === '' || matrix === '' || tuned.length === 0 || !tuned.every((one) => /^[^=]+=.+$/.test(one))) {
  throw new Error('usage: node dist/scripts/measure-columns.js BASE MATRIX NAME=FOLDER…');
}

const weightIn = async (folder: string): Promise<HostTensorOf<'f32'>> => {
  const checkpoint = orThrow(await openCheckpoint(nodeSource(folder), folder));
  return orThrow(widenHost(orThrow(await checkpoint.read(matrix)), folder));
};

/** Of two matrices [out, in]. */
const columnNorms = (a: HostTensorOf<'f32'>, b: HostTensorOf<'f32'>): readonly number[] => {
  const [rows = 0, columns = 0] = a.shape;
  return Array.from({ length: columns }, (_, j) => {
    const squares = Array.from({ length: rows }, (_, i) => (a.data[i * columns + j]! - b.data[i * columns + j]!) ** 2);
    return Number(Math.sqrt(squares.reduce((sum, x) => sum + x, 0)).toFixed(5));
  });
};

const before = await weightIn(base);
const changes = await Promise.all(
  tuned.map(async (one) => {
    const [name, folder] = one.split(/=(.*)/s) as [string, string];
    return [name, columnNorms(await weightIn(folder), before)] as const;
  }),
);
console.log(JSON.stringify({ matrix, changes: Object.fromEntries(changes) }));
