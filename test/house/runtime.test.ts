/**
 * The tests run in the runtime that was asked for: CI runs them in three, and a test that fell back to another runtime
 * would pass there without having been tried.
 */
import process from 'node:process';
import { expect, it } from 'vitest';

/** The name and major version of the runtime that executes this line: `node@20`, `deno@2`. */
const runtime = (): string => {
  const deno = (globalThis as { readonly Deno?: { readonly version: { readonly deno: string } } }).Deno;
  const [name, version] = deno === undefined ? ['node', process.versions.node] : ['deno', deno.version.deno];
  return `${name}@${version.split('.')[0]}`;
};

it('is the runtime named by PACA_EXPECT_RUNTIME, Node if none is', () => {
  const expected = process.env.PACA_EXPECT_RUNTIME ?? 'node';
  expect(expected.includes('@') ? runtime() : runtime().split('@')[0]).toBe(expected);
});
