/** `paca convert`: the LoRA adapter adds the very matrix that the PaCA adapter adds; what does not fit is refused. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { referenceF32 } from '../../backends/reference/backend.ts';
import { readAdapter } from '../../src/io/adapter.ts';
import { type LoraAdapterFile, loraScale } from '../../src/io/adapter-lora.ts';
import { nodeSource } from '../../src/io/source-node.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { writeFolder } from '../support/tiny-base.ts';
import { call, temporaryFolder } from './program.ts';
import { configFile, loraAdapter, pacaAdapter, writeAdapter, writeBase } from './tiny-folder.ts';

const folder = temporaryFolder();
const base = writeBase(join(folder, 'base'));
const adapter = writeAdapter(join(folder, 'paca'));

const convert = (out: string, changes: Readonly<Record<string, string>> = {}, ...more: readonly string[]) => {
  const flags = { adapter, to: 'lora', base, out, ...changes };
  return call(['convert', ...Object.entries(flags).flatMap(([key, value]) => [`--${key}`, value]), ...more]);
};

/** s·δ at the columns, 0 elsewhere, each number rounded once. */
const added = (path: string, columns: number): Float32Array => {
  const { indices, delta } = pacaAdapter.modules[path]!;
  const [out = 0, rank = 0] = delta.shape;
  const dense = new Float32Array(out * columns);
  for (let i = 0; i < out; i++)
    for (let j = 0; j < rank; j++)
      dense[i * columns + indices[j]!] = (delta.data[i * rank + j] as number) * Math.fround(5 / 3);
  return dense;
};

describe('paca convert', () => {
  it('writes a LoRA adapter in the layout of PEFT whose s·B·A is the matrix that PaCA adds', async () => {
    const out = join(folder, 'lora');
    const { output, code, error } = await convert(out, {}, '--json');
    expect({ code, error }).toEqual({ code: 0, error: null });
    expect(JSON.parse(output)).toMatchObject({ adapter: out, method: 'lora', rank: 3, modules: 6 });
    expect(readdirSync(out).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    const read = orThrow(await readAdapter(nodeSource(out), out));
    expect(read.warnings).toEqual([]);
    const lora = read.adapter as LoraAdapterFile;
    const { taskType, targetModules, rank, alpha } = pacaAdapter;
    expect(lora).toMatchObject({ method: 'lora', taskType, targetModules, rank, alpha, rankStabilized: false });
    expect(Object.keys(lora.modules).sort()).toEqual(Object.keys(pacaAdapter.modules).sort());
    const k = referenceF32().kernels;
    for (const [path, module] of Object.entries(lora.modules)) {
      const product = k.matmul(k.fromHost(module.b), k.fromHost(module.a), 'nn');
      const { data } = await k.toHost(k.mul(product, loraScale(lora, module)));
      expect(data).toEqual(added(path, module.a.shape[1]!));
    }
  });

  it('takes an empty folder, and says in words what it did', async () => {
    const out = join(folder, 'empty');
    mkdirSync(out);
    expect((await convert(out)).output).toBe(`LoRA of rank 3 over 6 modules: ${out}\n`);
  });
});

describe('paca convert refuses', () => {
  const [path, module] = Object.entries(pacaAdapter.modules)[0]!;
  const withModule = (name: string, changed: Partial<typeof module>, at = path): string =>
    writeAdapter(join(folder, name), { ...pacaAdapter, modules: { [at]: { ...module, ...changed } } });
  const delta = { dtype: 'f32', shape: [5, 3], data: new Float32Array(15) } as const;
  const noConfig = writeFolder(join(folder, 'no-config'), { 'model.safetensors': '' });
  const noWeights = writeFolder(join(folder, 'no-weights'), { 'config.json': JSON.stringify(configFile) });
  const other = writeFolder(join(folder, 'gpt'), { 'config.json': JSON.stringify({ model_type: 'gpt2' }) });
  const file = join(folder, 'file');
  writeFileSync(file, 'x');

  it.each<[string, Readonly<Record<string, string>>, string, string]>([
    ['another target', { to: 'dora' }, '"dora"', 'to'],
    ['an adapter that is LoRA already', { adapter: writeAdapter(join(folder, 'l'), loraAdapter) }, 'lora', 'l'],
    ['an adapter that is not there', { adapter: join(folder, 'none') }, 'ENOENT', 'none'],
    ['a folder without an adapter', { adapter: base }, 'none', 'base'],
    ['a base that is not there', { base: join(folder, 'none') }, 'ENOENT', 'none'],
    ['a base without config', { base: noConfig }, 'ENOENT', 'config.json'],
    ['a base without weights', { base: noWeights }, 'neither', 'no-weights'],
    ['a base of another family', { base: other }, '"gpt2"', 'config.json: model_type'],
    ['a column that the map lacks', { adapter: withModule('c', { indices: Int32Array.of(0, 1, 12) }) }, '12', path],
    ['a delta of another height', { adapter: withModule('d', { delta }) }, 'f32[5, 3]', `${path}.paca_delta`],
    ['a module that the base lacks', { adapter: withModule('m', {}, 'h.0.q_proj') }, 'none', 'h.0.q_proj'],
    ['an out folder with something in it', { out: base }, '7 entries', 'base'],
    ['an out folder that is a file', { out: file }, 'ENOTDIR', 'file'],
  ])('%s', async (_, changes, came, where) => {
    const { error, output } = await convert(join(folder, 'never'), changes);
    expect(error?.came).toContain(came);
    expect(error?.where).toContain(where);
    expect(output).toBe('');
    expect(existsSync(join(folder, 'never'))).toBe(false);
  });

  it('a flag that is missing', async () => {
    const { error } = await call(['convert', '--adapter', adapter, '--to', 'lora', '--base', base]);
    expect(error).toMatchObject({ tag: 'ConfigError', expected: '"out"' });
  });
});
