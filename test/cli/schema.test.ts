/** The JSON Schema of a run's config, for editors and readers, is the schema that is checked here. */
import { readFileSync, writeFileSync } from 'node:fs';
import { toJsonSchema } from '@valibot/to-json-schema';
import { expect, it } from 'vitest';
import { textSchema } from '../../src/cli/text/config.ts';

const path = new URL('../../docs/finetune.schema.json', import.meta.url).pathname;

it('docs/finetune.schema.json is up to date (UPDATE_SCHEMA=1 npm test writes it)', () => {
  const text = `${JSON.stringify(toJsonSchema(textSchema as never, { ignoreActions: ['finite', 'safe_integer'] }), null, 2)}\n`;
  if (process.env.UPDATE_SCHEMA === '1') writeFileSync(path, text);
  expect(readFileSync(path, 'utf8')).toBe(text);
});
