/** `paca bench`: one document with the documented fields, on any backend; what has no effect is refused. */
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { call } from './program.ts';

const positive = v.pipe(v.number(), v.gtValue(0));

const gemmSchema = v.object({
  backend: v.string(),
  threads: positive,
  peakGflops: v.nullable(positive),
  steadiness: v.nullable(positive),
  results: v.array(
    v.object({
      ...{ m: positive, n: positive, k: positive },
      layout: v.picklist(['nn', 'nt', 'tn']),
      gflops: positive,
      ofPeak: v.nullable(positive),
    }),
  ),
});

const stepSchema = v.object({
  backend: v.string(),
  threads: positive,
  model: v.picklist(['mlp', 'llama']),
  method: v.picklist(['full', 'paca', 'lora', 'dora', 'moslora']),
  rank: v.nullable(positive),
  msPerStep: positive,
  tokensPerSecond: positive,
  peakBytes: v.pipe(v.number(), v.gtValue(1e6)),
  residualBytes: positive,
  trainable: positive,
  dtype: v.picklist(['f32', 'nf4']),
});

const reportOf = async <S extends v.GenericSchema>(
  schema: S,
  ...argv: readonly string[]
): Promise<v.InferOutput<S>> => {
  const { output, code, error } = await call(['bench', ...argv, '--json']);
  expect({ code, error }).toEqual({ code: 0, error: null });
  return v.parse(schema, JSON.parse(output));
};

describe('paca bench gemm', () => {
  const sizes = ['gemm', '--sizes', '[33x17x9, 5x64x20]', '--threads', '1', '--seconds', '0.03'];

  it('tells every size in every layout, beside the peak', async () => {
    const report = await reportOf(gemmSchema, ...sizes, '--backend', 'wasm');
    expect(report).toMatchObject({ backend: 'wasm', threads: 1 });
    expect(report.results.map(({ m, n, k, layout }) => `${m}x${n}x${k} ${layout}`)).toEqual(
      ['33x17x9', '5x64x20'].flatMap((size) => ['nn', 'nt', 'tn'].map((layout) => `${size} ${layout}`)),
    );
    for (const { gflops, ofPeak } of report.results) {
      expect(ofPeak).toBeCloseTo(gflops / report.peakGflops!, 2);
    }
  });

  it('runs on a backend without a peak', async () => {
    const report = await reportOf(
      gemmSchema,
      'gemm',
      '--sizes',
      '[8x8x8]',
      '--seconds',
      '0.01',
      '--backend',
      'reference',
    );
    expect(report).toMatchObject({ backend: 'reference', peakGflops: null, steadiness: null });
    expect(report.results.map(({ ofPeak }) => ofPeak)).toEqual([null, null, null]);
  });

  it('shows a table without --json', async () => {
    const { output } = await call(['bench', ...sizes]);
    expect(output).toMatch(/GFLOP\/s/);
    expect(output).toContain('33×9 · 9×17');
  });
});

describe('paca bench step', () => {
  const tiny = ['step', '--batch-size', '3', '--width', '8', '--steps', '4'];

  it('counts what trains and what is kept: all of x in full, r numbers a row by PaCA, both by LoRA', async () => {
    const full = await reportOf(stepSchema, ...tiny);
    const paca = await reportOf(stepSchema, ...tiny, '--method', 'paca', '--rank', '2');
    expect(full).toMatchObject({ method: 'full', rank: null, trainable: 2 * 8 * 32 + 32 + 8 });
    expect(paca).toMatchObject({ method: 'paca', rank: 2, trainable: 2 * 32 + 2 * 8 });
    const lora = await reportOf(stepSchema, ...tiny, '--method', 'lora', '--rank', '2');
    expect(lora).toMatchObject({ method: 'lora', rank: 2, trainable: 2 * (8 + 32) + 2 * (32 + 8) });
    const kept = (ofFirst: number, ofSecond: number): number => 4 * (3 * ofFirst + 3 * ofSecond + 3 /* mask */ + 3 * 8);
    expect(full.residualBytes).toBe(kept(8, 32));
    const qpaca = await reportOf(stepSchema, ...tiny, '--method', 'paca', '--rank', '2', '--dtype', 'nf4');
    expect(qpaca).toMatchObject({ dtype: 'nf4', trainable: paca.trainable, residualBytes: paca.residualBytes });
    expect(paca.residualBytes).toBe(kept(2, 2));
    expect(lora.residualBytes).toBe(kept(8 + 2, 32 + 2));
    const moslora = await reportOf(stepSchema, ...tiny, '--method', 'moslora', '--rank', '2');
    expect(moslora).toMatchObject({ trainable: lora.trainable + 2 * 4, residualBytes: kept(8 + 4, 32 + 4) });
    const dora = await reportOf(stepSchema, ...tiny, '--method', 'dora', '--rank', '2');
    expect(dora).toMatchObject({ trainable: lora.trainable + 32 + 8 });
    expect(dora.residualBytes).toBe(kept(8 + 2 + 32, 32 + 2 + 8) + 4 * (32 + 8));
  });

  it('says in words what it measured', async () => {
    const { output } = await call(['bench', ...tiny, '--method', 'paca', '--rank', '2']);
    expect(output).toMatch(/mlp 8→32→8, 3 rows, paca of 2 columns\n.*a step/);
  });
});

describe('paca bench step --model llama', () => {
  const one = ['step', '--model', 'llama', '--backend', 'wasm', '--steps', '1'];
  /** In and out of q, k, v, o, gate, up, down. */
  const maps = [...Array(4).fill([256, 256]), [256, 704], [256, 704], [704, 256]] as readonly [number, number][];
  const sum = (of: (ins: number, out: number) => number): number =>
    maps.reduce((total, [ins, out]) => total + of(ins, out), 0);

  it('trains everything, or the linear maps of its layers, on 4×128 tokens', async () => {
    const full = await reportOf(stepSchema, ...one);
    const paca = await reportOf(stepSchema, ...one, '--method', 'paca');
    const lora = await reportOf(stepSchema, ...one, '--method', 'lora', '--rank', '4');
    const layer = sum((ins, out) => ins * out) + 2 * 256;
    expect(full).toMatchObject({ model: 'llama', rank: null, trainable: 4 * layer + 2 * 512 * 256 + 256 });
    expect(paca).toMatchObject({ rank: 16, trainable: 4 * sum((_, out) => 16 * out) });
    expect(lora).toMatchObject({ rank: 4, trainable: 4 * sum((ins, out) => 4 * (ins + out)) });
    expect(full.tokensPerSecond / (512_000 / full.msPerStep)).toBeCloseTo(1, 2);
    expect(paca.residualBytes).toBeLessThan(lora.residualBytes);
  }, 60_000);

  it('says in words what it measured', async () => {
    const { output } = await call(['bench', ...one, '--method', 'lora']);
    expect(output).toMatch(/llama of 4 layers, width 256, 4×128 tokens, lora of rank 16\n.* tokens a second/);
  }, 60_000);
});

describe('paca bench longest', () => {
  const schema = v.strictObject({
    memory: v.literal(40 * 2 ** 20),
    rank: v.literal(16),
    results: v.array(v.strictObject({ method: v.string(), planned: v.number(), measured: v.number() })),
  });
  const flags = ['longest', '--memory', '40MiB', '--methods', '[paca, lora]', '--backend', 'wasm', '--threads', '1'];

  it('finds by running it what plan predicts, longer by PaCA than by LoRA', async () => {
    const { results } = await reportOf(schema, ...flags);
    expect(results.map(({ method }) => method)).toEqual(['paca', 'lora']);
    const [paca, lora] = results;
    for (const { planned, measured } of results) expect(Math.abs(planned / measured - 1)).toBeLessThan(0.15);
    expect(paca!.measured).toBeGreaterThan(1.23 * lora!.measured);
  }, 120_000);

  it('says it in a table', async () => {
    const { output } = await call(['bench', ...flags.with(4, '[lora]'), '--rank', '8']);
    expect(output).toMatch(/rank 8, in 40\.0 MiB\n/);
    expect(output).toMatch(/\nlora +\d+ +\d+ \([+−]\d+\.\d%\) +\+0\.0%/);
  }, 120_000);
});

describe('paca bench refuses', () => {
  it.each([
    [[], 'one of gemm, step, longest'],
    [['train'], "got 'train'"],
    [['gemm', 'step'], 'one measurement'],
    [['gemm', '--rank', '3'], "got 'rank'"],
    [['gemm', '--sizes', '[3x3]'], 'expected MxNxK, as in 256x1408x512, got "3x3"'],
    [['step', '--rank', '3'], "--method paca, lora, dora or moslora, without which 'rank' has no effect"],
    [['step', '--method', 'paca', '--rank', '9', '--width', '8'], 'a rank of at most 8, got 9'],
    [['step', '--model', 'llama', '--width', '8'], "--model mlp, without which 'width' has no effect, got 8"],
    [['step', '--model', 'llama', '--batch-size', '8'], "--model mlp, without which 'batchSize' has no effect, got 8"],
    [['step', '--model', 'llama', '--method', 'paca', '--rank', '257'], 'a rank of at most 256, got 257'],
    [['step', '--dtype', 'nf4'], '--dtype f32, in which weights train in full'],
    [['step', '--method', 'ia3'], '"full" | "paca" | "lora" | "dora" | "moslora"'],
    [['step', '--model', 'gpt'], '"mlp" | "llama"'],
    [['step', '--steps', '0'], 'steps'],
    [['step', '--sizes', '[8x8x8]'], "got 'sizes'"],
    [['longest', '--memory', '8'], 'a size in B, KiB, MiB, GiB or TiB, as in 8GiB'],
    [['longest', '--methods', '[all]'], 'methods'],
    [['longest', '--rank', '257', '--methods', '[paca]'], 'a rank of at most 256, got 257'],
    [['longest', '--backend', 'reference'], 'the wasm backend, whose memory has a limit'],
  ])('%j', async (argv, message) => {
    const { error, output } = await call(['bench', ...argv]);
    expect(output).toBe('');
    expect(error?.tag).toBe('ConfigError');
    expect(`expected ${error?.expected}, got ${error?.came} ${error?.where}`).toContain(message);
  });
});
