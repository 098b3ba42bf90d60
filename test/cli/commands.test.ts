/** What the commands print with `--json`: one document, with the documented fields. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { vectorCases } from '../../src/vectors/cases/index.ts';
import { call, quick, start, temporaryFolder } from './program.ts';

const folder = temporaryFolder();

const counts = v.object({ accounted: v.number(), measured: v.number() });
const evaluation = v.object({ loss: v.number(), accuracy: v.number() });

const rowSchema = v.object({
  method: v.picklist(['full', 'paca']),
  select: v.nullable(v.string()),
  rank: v.nullable(v.number()),
  trainable: v.number(),
  before: evaluation,
  after: evaluation,
  valLoss: v.number(),
  forgetting: v.number(),
  residualBytes: v.object({ ...counts.entries, byModule: v.record(v.string(), v.number()) }),
  gradientBytes: counts,
  optimizerBytes: counts,
  msPerStep: v.number(),
  examplesPerSecond: v.number(),
  adapterBytes: v.number(),
  seeds: v.array(v.number()),
  selection: v.nullable(v.object({ ms: v.number(), peakBytes: v.number(), batches: v.number() })),
  digest: v.string(),
  settings: v.object({ alpha: v.number(), learningRate: v.number() }),
});

type Row = v.InferOutput<typeof rowSchema>;

const comparison = ['--steps', '6', '--pretrain-steps', '8', '--eval-every', '3', '--batch-size', '20', '--json'];

const compareRows = async (...flags: readonly string[]): Promise<readonly Row[]> => {
  const { output, code } = await call(['compare', ...comparison, ...flags]);
  expect(code).toBe(0);
  return v.parse(v.object({ task: v.literal('digits'), rows: v.array(rowSchema) }), JSON.parse(output)).rows;
};

describe('paca doctor', () => {
  it('names every backend, which works, and why the others do not', async () => {
    const { output, code } = await call(['doctor', '--json']);
    const { backends, chosen, runtime } = JSON.parse(output);
    expect(code).toBe(0);
    expect(chosen).toBe('wasm');
    expect(runtime).toMatch(/^(node|deno) \d/);
    const available = Object.fromEntries(
      backends.map((b: { name: string; available: boolean }) => [b.name, b.available]),
    );
    expect(available).toMatchObject({ reference: true, wasm: true, webgpu: false });
    for (const b of backends) expect(b.why.length).toBeGreaterThan(0);
    expect((await call(['doctor'])).output).toContain('reference');
  });
});

describe('the process', () => {
  it('ends quietly where its reader has gone', async () => {
    const { child, ended } = start(['compare', ...comparison]);
    child.stdout?.destroy();
    expect(await ended).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('paca vectors verify', () => {
  it('prints one document, and nothing else, as a process too', async () => {
    const { code, stdout, stderr } = await start(['vectors', 'verify', '--json']).ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ backend: 'wasm', version: 1, failed: 0, skipped: 0 });
    expect(report.passed).toBeGreaterThan(vectorCases.length);
    expect(report.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(JSON.parse((await call(['vectors', 'verify', '--json'])).output).digest).toBe(report.digest);
  });
});

describe('paca compare', () => {
  it('measures every method alike, from one base', async () => {
    const rows = await compareRows();
    expect(rows.map(({ method, select }) => [method, select])).toEqual([
      ['full', null],
      ['paca', 'random'],
      ['paca', 'weight-norm'],
      ['paca', 'gradient'],
    ]);
    const [full, ...paca] = rows as [Row, ...Row[]];
    for (const row of rows) {
      for (const { accounted, measured } of [row.residualBytes, row.gradientBytes, row.optimizerBytes]) {
        expect(measured).toBe(accounted);
      }
      expect(row.before).toEqual(full.before);
      expect(row.optimizerBytes.measured).toBe(2 * 4 * row.trainable);
    }
    expect(full.trainable).toBe(196 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10);
    for (const row of paca) {
      expect(row.trainable).toBe(16 * (128 + 64 + 10));
      const { byModule } = row.residualBytes;
      for (const path of ['layers.0', 'layers.1', 'layers.2']) expect(byModule[path]).toBe(20 * 16 * 4);
    }
    expect(new Set(paca.map(({ digest }) => digest)).size).toBe(paca.length);
    expect(paca.map(({ selection }) => selection!.batches)).toEqual([0, 0, 10]);
  });

  it('repeats itself to the bit, and differs by the selection seed', async () => {
    const flags = ['--methods', '[paca]', '--selects', '[random]'];
    const digest = async (...more: readonly string[]) => (await compareRows(...flags, ...more))[0]!.digest;
    const first = await digest();
    expect(await digest()).toBe(first);
    expect(await digest('--select-seed', '1')).not.toBe(first);
  });

  it('takes the convolutional model', async () => {
    const flags = ['--model', 'cnn', '--selects', '[random]', '--steps', '2', '--pretrain-steps', '2'];
    const { output, error } = await call(['compare', '--batch-size', '10', '--json', ...flags]);
    expect(error).toBeNull();
    for (const { residualBytes } of JSON.parse(output).rows as readonly Row[]) {
      expect(residualBytes.measured).toBe(residualBytes.accounted);
    }
  });
});

describe('paca finetune', () => {
  it('ends with the final event as documented', async () => {
    const run = join(folder, 'documented');
    const { output, code } = await call(['finetune', '--run', run, ...quick, '--json']);
    expect(code).toBe(0);
    const schema = v.strictObject({
      run: v.literal(run),
      steps: v.literal(12),
      loss: v.number(),
      metric: v.strictObject({ accuracy: v.number() }),
      adapter: v.string(),
      selection: v.nullable(v.object({ ms: v.number(), peakBytes: v.number(), batches: v.number() })),
      digest: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
    });
    const { adapter } = v.parse(schema, JSON.parse(output));
    for (const name of ['adapter_config.json', 'adapter_model.safetensors']) {
      expect(existsSync(join(adapter, name))).toBe(true);
    }
    expect(existsSync(join(run, 'loss.svg'))).toBe(true);
  });

  it('shows every setting and the bytes of the run with --dry-run, and writes nothing', async () => {
    const run = join(folder, 'dry');
    const { output, code } = await call(['finetune', '--run', run, '--rank', '8', '--dry-run']);
    expect(code).toBe(0);
    const { settings, bytes } = JSON.parse(output);
    expect(settings).toMatchObject({ method: 'paca', rank: 8, alpha: 8, steps: 300 });
    expect(bytes.trainable).toBe(4 * 8 * (128 + 64 + 10));
    expect(existsSync(run)).toBe(false);
  });
});
