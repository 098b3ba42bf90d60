/**
 * Makes a base for longer texts of one that is there: the same weights, and positions scaled down by a factor, so that as many times more fit
 * between those that it was trained on (position interpolation, Chen et al. 2023).
 *
 *     node demo/long/stretch.js demo/base runs/base-long 5
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

const [from = '', to = '', factor = ''] = process.argv.slice(2);
const times = Number(factor);
if (from === '' || to === '' || !Number.isInteger(times) || times < 1) {
  throw new Error('usage: node demo/long/stretch.js FROM TO FACTOR, a whole number');
}

const config = JSON.parse(readFileSync(join(from, 'config.json'), 'utf8'));
if (config.rope_scaling != null) throw new Error(`${from}: its positions are scaled already`);

mkdirSync(to, { recursive: true });
for (const name of readdirSync(from)) copyFileSync(join(from, name), join(to, name));
const stretched = {
  ...config,
  max_position_embeddings: times * config.max_position_embeddings,
  rope_scaling: { rope_type: 'linear', factor: times },
};
writeFileSync(join(to, 'config.json'), `${JSON.stringify(stretched, null, 2)}\n`);
