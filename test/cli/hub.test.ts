/** Commands over a model by its name on a hub, which here is a server on this machine. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { expect, it } from 'vitest';
import { decodeSafetensors } from '../../src/io/safetensors.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { COMMIT, hubServer } from '../io/hub-server.ts';
import { sharded } from '../io/shards.ts';
import { tinyBase, writeFolder } from '../support/tiny-base.ts';
import { call, temporaryFolder } from './program.ts';
import { writeData } from './text-folder.ts';
import { loraFiles } from './tiny-speaker.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const base = tinyBase(at('base'));
const data = writeData(at('data.jsonl'), 20);
const adapter = writeFolder(at('adapter'), loraFiles());

const plain = Object.fromEntries(
  readdirSync(base).map((name) => [name, new Uint8Array(readFileSync(join(base, name)))]),
);
const { 'model.safetensors': weights, ...others } = plain;
const { tensors } = orThrow(decodeSafetensors(weights!, 'model.safetensors'));
const server = await hubServer({
  'tiny/plain': { files: { ...plain, 'README.md': new Uint8Array(9), LICENSE: new Uint8Array(7) } },
  'tiny/sharded': { files: { ...others, ...Object.fromEntries(sharded(tensors, 3)), 'pytorch_model.bin': weights! } },
});
process.env.HF_ENDPOINT = server.url;
process.env.HF_HOME = at('home');

const snapshotOf = (name: string): string => join(at('home'), 'hub', `models--tiny--${name}`, 'snapshots', COMMIT);

const generated = async (model: string): Promise<string> => {
  const { output, error } = await call(['generate', '--base', model, '--prompt', 'buy 1', '--max-tokens', '8']);
  expect(error).toBeNull();
  return output;
};

it('plans from the config alone', async () => {
  const { output, told } = await call(['plan', '--base', 'tiny/plain', '--rank', '2', '--json']);
  expect(readdirSync(snapshotOf('plain'))).toEqual(['config.json']);
  expect(told).toContain('fetching tiny/plain, config.json');
  const local = JSON.parse((await call(['plan', '--base', base, '--rank', '2', '--json'])).output);
  expect(JSON.parse(output)).toEqual({ ...local, model: 'tiny/plain' });
});

it.each(['tiny/plain', 'tiny/plain@v1', 'tiny/sharded'])('speaks as the folder does: %s', async (model) => {
  expect(await generated(model)).toBe(await generated(base));
});

it('fetches what a model needs and no more', async () => {
  await generated('tiny/plain');
  await generated('tiny/sharded');
  const model = ['config.json', 'tokenizer.json', 'tokenizer_config.json'];
  expect(readdirSync(snapshotOf('plain')).sort()).toEqual(['LICENSE', ...model, 'model.safetensors'].sort());
  const shards = [1, 2, 3].map((i) => `model-0000${i}-of-00003.safetensors`);
  const all = [...model, ...shards, 'model.safetensors.index.json'].sort();
  expect(readdirSync(snapshotOf('sharded')).sort()).toEqual(all);
});

it('tunes, judges and merges it as the folder', async () => {
  const tuned = async (model: string, run: string): Promise<string> => {
    const flags = ['--data', data, '--steps', '2', '--rank', '2', '--max-length', '32', '--batch-size', '4'];
    const { output, error } = await call(['finetune', '--base', model, ...flags, '--run', at(run), '--json']);
    expect(error).toBeNull();
    return JSON.parse(output).digest;
  };
  expect(await tuned('tiny/sharded', 'by name')).toBe(await tuned(base, 'by folder'));
  const judged = async (model: string): Promise<unknown> =>
    JSON.parse((await call(['eval', '--base', model, '--data', data, '--json'])).output).loss;
  expect(await judged('tiny/plain')).toBe(await judged(base));
  const { error } = await call(['merge', '--base', 'tiny/plain', '--adapter', adapter, '--out', at('merged')]);
  expect(error).toBeNull();
  expect(existsSync(join(at('merged'), 'LICENSE'))).toBe(true);
});

it('says what is wrong with a name', async () => {
  const { error } = await call(['generate', '--base', 'tiny/none', '--prompt', 'a']);
  expect(error).toMatchObject({ tag: 'FileError', came: 'neither (404)', where: 'tiny/none@main' });
});
