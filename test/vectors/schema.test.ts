/** The manifest's JSON Schema, for readers in other languages, is the schema that is checked here. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { toJsonSchema } from '@valibot/to-json-schema';
import { expect, it } from 'vitest';
import { manifestSchema } from '../../src/vectors/manifest.ts';
import { vectorsFolder } from './suite.ts';

const path = join(vectorsFolder, 'manifest.schema.json');

it('manifest.schema.json is up to date (UPDATE_SCHEMA=1 npm test writes it)', () => {
  const text = `${JSON.stringify(toJsonSchema(manifestSchema as never), null, 2)}\n`;
  if (process.env.UPDATE_SCHEMA === '1') writeFileSync(path, text);
  expect(readFileSync(path, 'utf8')).toBe(text);
});
