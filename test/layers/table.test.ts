/** The table of layers is complete: whatever the sources export that makes a layer is in it. */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { layerTable } from '../support/layer-table.ts';

const root = new URL('../../src/', import.meta.url);

/** Exported functions that are no layer of their own: checks, geometries, parts. A new export is one or the other. */
const helpers: ReadonlySet<string> = new Set([
  'anyInput',
  'anyLayer',
  'activeConnections',
  'conv2dOutput',
  'convolution',
  'doraWeight',
  'dropBackward', // its backward pass is not its derivative: test/core/combinators.test.ts
  'dropoutMask',
  'freshLora',
  'freshMoslora',
  'frozen',
  'frozenFront', // has no backward pass: test/train/frozen-front.test.ts
  'geometryOf',
  'imageSize',
  'kaimingUniform',
  'keepingNothing',
  'linearOutput',
  'loraWeight',
  'mosloraWeight',
  'named',
  'pooling',
  'ropeFrequencies',
  'ropeTables',
  'rowNorms',
  'rowStatistic',
  'sequence', // what `chain` is made of
  'trained',
]);

const files: readonly string[] = [
  ...readdirSync(new URL('layers/', root))
    .filter((file) => file !== 'checks.ts')
    .map((file) => `layers/${file}`),
  'methods/paca.ts',
  'methods/lora.ts',
  'methods/dora.ts',
  'methods/moslora.ts',
  'core/layer.ts',
  'core/chain.ts',
];

const makers = async (file: string): Promise<readonly string[]> => {
  const module: Readonly<Record<string, unknown>> = await import(new URL(file, root).href);
  return Object.keys(module).filter((name) => typeof module[name] === 'function' && !helpers.has(name));
};

describe('the table of layers', () => {
  const known = new Set(Object.values(layerTable).map(({ maker }) => maker));

  it.each(files)('has every layer of %s', async (file) => {
    expect((await makers(file)).filter((name) => !known.has(name))).toEqual([]);
  });

  it('names no layer that does not exist', async () => {
    const exported = new Set((await Promise.all(files.map(makers))).flat());
    expect([...known].filter((name) => !exported.has(name))).toEqual([]);
  });
});
