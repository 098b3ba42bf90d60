/** `paca verify-convergence` on a run of the digits: what it measures, what it leaves, and what it refuses. */
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readBase, writeBase } from '../../src/cli/run/run-folder.ts';
import { nodeStore } from '../../src/io/store-node.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { call, quick, temporaryFolder } from './program.ts';

const folder = temporaryFolder();
const run = join(folder, 'run');
const backend = ['--backend', 'reference'];

const finished = call(['finetune', '--run', run, ...quick, '--optimizer', 'sgd', '--batch-size', '10', ...backend]);
const verify = async (...args: readonly string[]) => {
  await finished;
  return call(['verify-convergence', ...args, ...backend]);
};

describe('verify-convergence', () => {
  it('finds the descent inequality at each step, and draws the gradient against its bound', async () => {
    const { output, code } = await verify(run, '--steps', '3', '--json');
    expect(code).toBe(0);
    const { steps, held, beta, measures } = JSON.parse(output);
    expect([steps, held, measures.length]).toEqual([3, 3, 3]);
    expect(beta.largest).toBeGreaterThanOrEqual(beta.median);
    expect(existsSync(join(run, 'convergence.svg'))).toBe(true);
  });

  it('measures the losses that the run had', async () => {
    const { output } = await verify(run, '--steps', '3', '--json');
    const logged = readFileSync(join(run, 'events.jsonl'), 'utf8')
      .split('\n')
      .slice(0, 3)
      .map((line): number => JSON.parse(line).loss);
    JSON.parse(output).measures.forEach(({ loss }: { readonly loss: number }, i: number) => {
      expect(loss).toBeCloseTo(logged[i]!, 5);
    });
  });

  it('says in words what it found', async () => {
    const { output } = await verify(run, '--steps', '1');
    expect(output).toContain('held at 1 of 1 steps');
    expect(output).toContain('ReLU and max-pooling have kinks');
  });

  it('of the model with tanh, whose every step the theorem covers', async () => {
    const smooth = join(folder, 'tanh');
    const args = ['--run', smooth, ...quick, '--model', 'tanh', '--optimizer', 'sgd', '--batch-size', '10'];
    await call(['finetune', ...args, ...backend]);
    const { output, code } = await verify(smooth, '--steps', '3');
    expect(output).toContain('held at 3 of 3 steps');
    expect(output).toContain('has a gradient at every point');
    expect(code).toBe(0);
  });

  it('ends with exit code 1 where a step breaks the inequality', async () => {
    await finished;
    const broken = join(folder, 'broken');
    cpSync(run, broken, { recursive: true });
    const base = orThrow(await readBase(nodeStore(broken)))!;
    // A loss that is no number is below no bound.
    const lost = Object.entries(base).map(([name, { shape, data }]) => [
      name,
      { dtype: 'f32', shape, data: new Float32Array(data.length).fill(Number.NaN) },
    ]);
    orThrow(await writeBase(nodeStore(broken), Object.fromEntries(lost)));
    const { output, code, error } = await verify(broken, '--steps', '2');
    expect(error).toBe(null);
    expect(output).toContain('held at 0 of 2 steps');
    expect(code).toBe(1);
  });

  it.each([[[]], [['a', 'b']]])('refuses %j in place of one folder', async (args) => {
    expect((await verify(...args)).error).toMatchObject({ tag: 'ConfigError' });
  });

  it('refuses a folder without a run, and one whose settings were changed', async () => {
    expect((await verify(join(folder, 'none'))).error).toMatchObject({ tag: 'FileError' });
    const config = join(run, 'config.json');
    const text = readFileSync(config, 'utf8');
    writeFileSync(config, text.replace('"batchSize": 10', '"batchSize": 11'));
    const { error } = await verify(run);
    writeFileSync(config, text);
    expect(error).toMatchObject({ tag: 'FileError', where: run });
  });
});
