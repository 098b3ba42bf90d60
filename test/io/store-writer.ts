/**
 * A program that the crash test starts and kills: it replaces a file and a group again and again, all bytes of the n-th
 * version being n modulo 256, and says so on stdout after each. Arguments: the folder, the first n.
 */
import process from 'node:process';
import { nodeStore } from '../../src/io/store-node.ts';
import { orThrow } from '../../src/spec/errors.ts';

const [root = '', first = '0'] = process.argv.slice(2);
const store = nodeStore(root);
for (let n = Number(first); ; n++) {
  const bytes = new Uint8Array(20_000).fill(n);
  orThrow(await store.write('file', bytes));
  orThrow(await store.writeGroup('group', new Map([0, 1, 2].map((i) => [`part-${i}`, bytes]))));
  await new Promise((done) => process.stdout.write(`${n}\n`, done));
}
