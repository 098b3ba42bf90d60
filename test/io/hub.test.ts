/** Checkpoints by name, from a hub on this machine. */
import { spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { fetchFromHub, type Hub, hubOf, parseHubName } from '../../src/io/hub-node.ts';
import type { Result } from '../../src/spec/errors.ts';
import { temporaryFolder } from '../cli/program.ts';
import { COMMIT, hubServer } from './hub-server.ts';

const bytes = (length: number, seed = 1): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + seed) % 251);
const files = {
  'config.json': bytes(300),
  'model.safetensors': bytes(100_000),
  'README.md': bytes(50),
  'pytorch_model.bin': bytes(5000),
};
const server = await hubServer({ 'owner/plain': { files }, 'owner/gated': { files, token: 'hf_mine' } });
const cache = temporaryFolder();

const hubAt = (name: string, changes: Partial<Hub> = {}): Hub => ({
  ...{ url: server.url, cache: join(cache, name), token: undefined, offline: false },
  ...changes,
});

interface Fetched {
  readonly result: Result<string>;
  readonly told: readonly string[];
}

const isWanted = (file: string): boolean => /\.(json|safetensors)$/.test(file);

const fetchModel = async (hub: Hub, name = 'owner/plain', wanted = isWanted): Promise<Fetched> => {
  const told: string[] = [];
  server.reads.length = 0;
  const result = await fetchFromHub(hub, parseHubName(name)!, wanted, {
    onFile: (file) => told.push(file),
    onOffline: (commit) => told.push(`offline ${commit}`),
  });
  return { result, told };
};

const errorOf = ({ result }: Fetched): string =>
  E.isLeft(result) ? `expected ${result.left.expected}, got ${result.left.came} in ${result.left.where}` : 'none';

const folderIn = (hub: Hub): string => join(hub.cache, 'models--owner--plain');
const snapshotIn = (hub: Hub): string => join(folderIn(hub), 'snapshots', COMMIT);

const expectWhole = (hub: Hub): void => {
  expect(readdirSync(snapshotIn(hub)).sort()).toEqual(['config.json', 'model.safetensors']);
  for (const name of ['config.json', 'model.safetensors'] as const)
    expect(new Uint8Array(readFileSync(join(snapshotIn(hub), name)))).toEqual(files[name]);
};

describe('a model that is fetched', () => {
  it('has the wanted files and no others, kept as huggingface_hub keeps them', async () => {
    const hub = hubAt('whole');
    expect(await fetchModel(hub)).toEqual({
      result: E.right(snapshotIn(hub)),
      told: ['config.json', 'model.safetensors'],
    });
    expectWhole(hub);
    expect(readFileSync(join(folderIn(hub), 'refs', 'main'), 'utf8')).toBe(COMMIT);
    expect(lstatSync(join(snapshotIn(hub), 'config.json')).isSymbolicLink()).toBe(true);
    expect(readdirSync(join(folderIn(hub), 'blobs')).map((name) => name.length)).toEqual(
      expect.arrayContaining([40, 64]),
    );
  });

  it('is not fetched again, under another revision of the same commit either', async () => {
    const hub = hubAt('again');
    await fetchModel(hub);
    for (const name of ['owner/plain', 'owner/plain@v1', `owner/plain@${COMMIT}`]) {
      expect(await fetchModel(hub, name)).toEqual({ result: E.right(snapshotIn(hub)), told: [] });
      expect(server.reads).toEqual([]);
    }
  });

  it('is made whole where a file was cut or its link was lost', async () => {
    const hub = hubAt('repaired');
    await fetchModel(hub);
    rmSync(join(snapshotIn(hub), 'model.safetensors'));
    expect((await fetchModel(hub)).told).toEqual([]);
    expectWhole(hub);
    writeFileSync(join(snapshotIn(hub), 'model.safetensors'), 'cut');
    expect((await fetchModel(hub)).told).toEqual(['model.safetensors']);
    expectWhole(hub);
  });
});

describe('a fetch that goes wrong', () => {
  it('leaves no half file under a name when it is interrupted, and goes on from there', async () => {
    const hub = hubAt('cut');
    server.faults.cut = { name: 'model.safetensors', after: 40_000 };
    const first = await fetchModel(hub);
    expect(errorOf(first)).toContain('owner/plain@main');
    expect(readdirSync(snapshotIn(hub))).toEqual(['config.json']);
    expect((await fetchModel(hub)).result).toEqual(E.right(snapshotIn(hub)));
    expectWhole(hub);
    const [, from = '0'] = /^model\.safetensors (\d+)-100000$/.exec(server.reads[0] ?? '') ?? [];
    expect(Number(from)).toBeGreaterThan(0);
    expect(readdirSync(join(folderIn(hub), 'blobs')).some((name) => name.includes('incomplete'))).toBe(false);
  });

  it.each(['config.json', 'model.safetensors'])('refuses other bytes of %s, and begins anew', async (name) => {
    const hub = hubAt(`spoilt-${name}`);
    server.faults.spoil = name;
    expect(errorOf(await fetchModel(hub))).toContain(`other bytes of ${name}`);
    expect((await fetchModel(hub)).result).toEqual(E.right(snapshotIn(hub)));
    expectWhole(hub);
  });

  it('does not go on from bytes that an earlier try got wrong', async () => {
    const hub = hubAt('wrong start');
    await fetchModel(hub);
    const blobs = join(folderIn(hub), 'blobs');
    const large = readdirSync(blobs).find((name) => name.length === 64)!;
    rmSync(join(blobs, large));
    writeFileSync(join(blobs, `${large}.paca-incomplete`), 'nonsense');
    expect(errorOf(await fetchModel(hub))).toContain('other bytes of model.safetensors');
    expect((await fetchModel(hub)).result).toEqual(E.right(snapshotIn(hub)));
    expectWhole(hub);
  });

  it.each<[string, Partial<Hub>, string, string]>([
    ['no such model', {}, 'owner/none', 'neither (404)'],
    ['no such revision', {}, 'owner/plain@v9', 'neither (404)'],
    ['a gated model', {}, 'owner/gated', 'no token'],
    ['a gated model and another token', { token: 'hf_other' }, 'owner/gated', 'a token that is not enough'],
    ['no network', { url: 'http://127.0.0.1:9' }, 'owner/plain', 'an answer of http://127.0.0.1:9'],
    ['no network to be asked', { offline: true }, 'owner/plain', 'HF_HUB_OFFLINE'],
  ])('says so: %s', async (name, changes, model, message) => {
    const hub = hubAt(`says ${name}`, changes);
    expect(errorOf(await fetchModel(hub, model))).toContain(message);
    expect(() => readdirSync(hub.cache)).toThrow('ENOENT');
  });

  it('takes no digest for one that would lead out of the cache', async () => {
    const hub = hubAt('hostile');
    server.faults.digest = '../../../../outside';
    expect(errorOf(await fetchModel(hub))).toContain('config.json listed without its digest');
    expect(() => readdirSync(hub.cache)).toThrow('ENOENT');
  });

  it('says what the disk reports', async () => {
    mkdirSync(join(cache, 'taken'), { recursive: true });
    writeFileSync(join(cache, 'taken', 'models--owner--plain'), 'a file');
    expect(errorOf(await fetchModel(hubAt('taken')))).toMatch(/EEXIST|ENOTDIR/);
  });
});

describe('a file that several processes fetch', () => {
  const blobsIn = (hub: Hub): string => join(folderIn(hub), 'blobs');
  const incomplete = (hub: Hub): readonly string[] =>
    readdirSync(blobsIn(hub)).filter((name) => name.includes('incomplete'));

  /** The hub with a start of the large file, which the process of this number holds. */
  const heldBy = async (name: string, pid: number): Promise<Hub> => {
    const hub = hubAt(name);
    await fetchModel(hub);
    const large = readdirSync(blobsIn(hub)).find((blob) => blob.length === 64)!;
    rmSync(join(blobsIn(hub), large));
    const held = `${large}.paca-incomplete.${encodeURIComponent(hostname())}.${pid}.0`;
    writeFileSync(join(blobsIn(hub), held), files['model.safetensors'].subarray(0, 40_000));
    return hub;
  };

  /** Resolves for all of so many callers at once. */
  const meeting = (count: number): (() => Promise<void>) => {
    let [waiting, open] = [0, (): void => undefined];
    const met = new Promise<void>((resolve) => {
      open = resolve;
    });
    return () => {
      waiting += 1;
      if (waiting === count) open();
      return met;
    };
  };

  it.each([2, 3])('is whole for each of %i that fetch it at once', async (count) => {
    const hub = hubAt(`at once ${count}`);
    const meet = meeting(count);
    server.faults.before = (name) => (name === 'model.safetensors' ? meet() : Promise.resolve());
    const all = await Promise.all(Array.from({ length: count }, () => fetchModel(hub)));
    delete server.faults.before;
    expect(all.map(({ result }) => result)).toEqual(Array(count).fill(E.right(snapshotIn(hub))));
    expectWhole(hub);
    expect(lstatSync(join(snapshotIn(hub), 'model.safetensors')).isSymbolicLink()).toBe(true);
    expect(
      readdirSync(blobsIn(hub))
        .map(({ length }) => length)
        .sort(),
    ).toEqual([40, 64]);
  });

  it('goes on from what a process left that is gone', async () => {
    const { pid } = spawnSync(process.execPath, ['--version']);
    const hub = await heldBy('left', pid);
    expect((await fetchModel(hub)).result).toEqual(E.right(snapshotIn(hub)));
    expect(server.reads).toEqual(['model.safetensors 40000-100000']);
    expectWhole(hub);
    expect(incomplete(hub)).toEqual([]);
  });

  it('takes nothing from a process that is there', async () => {
    const hub = await heldBy('held', process.pid);
    let seen: readonly string[] = [];
    server.faults.before = async () => {
      seen = incomplete(hub);
    };
    expect((await fetchModel(hub)).result).toEqual(E.right(snapshotIn(hub)));
    delete server.faults.before;
    expect(server.reads).toEqual(['model.safetensors']);
    expect(seen.length).toBe(2);
    expectWhole(hub);
  });

  it('has no name where what lies on the disk is not what came', async () => {
    const hub = hubAt('scribbled');
    server.faults.before = async (name) => {
      const [own] = name === 'model.safetensors' ? incomplete(hub) : [];
      if (own !== undefined) truncateSync(join(blobsIn(hub), own), 200_000);
    };
    expect(errorOf(await fetchModel(hub))).toContain('other bytes of model.safetensors');
    delete server.faults.before;
    expect((await fetchModel(hub)).result).toEqual(E.right(snapshotIn(hub)));
    expectWhole(hub);
  });
});

describe('where the hub is', () => {
  it('reads with a token what it may', async () => {
    const { result } = await fetchModel(hubAt('gated', { token: 'hf_mine' }), 'owner/gated');
    expect(E.isRight(result)).toBe(true);
  });

  it.each<[string, Partial<Hub>]>([
    ['no network', { url: 'http://127.0.0.1:9' }],
    ['nobody to be asked', { offline: true }],
  ])('takes what was fetched before: %s', async (name, changes) => {
    const hub = hubAt(`before ${name}`);
    await fetchModel(hub);
    expect(await fetchModel({ ...hub, ...changes })).toEqual({
      result: E.right(snapshotIn(hub)),
      told: [`offline ${COMMIT}`],
    });
  });

  it.each<[string, Partial<Hub>, string]>([
    ['no network', { url: 'http://127.0.0.1:9' }, 'an answer of http://127.0.0.1:9'],
    ['nobody to be asked', { offline: true }, 'HF_HUB_OFFLINE, and model.safetensors not fetched before'],
  ])('takes no part of a model for the whole: %s', async (name, changes, message) => {
    const hub = hubAt(`part ${name}`);
    const isConfig = (file: string): boolean => file === 'config.json';
    await fetchModel(hub, 'owner/plain', isConfig);
    const away = { ...hub, ...changes };
    expect(errorOf(await fetchModel(away))).toContain(message);
    expect((await fetchModel(away, 'owner/plain', isConfig)).result).toEqual(E.right(snapshotIn(hub)));
    await fetchModel(hub);
    expect((await fetchModel(away)).result).toEqual(E.right(snapshotIn(hub)));
    writeFileSync(join(snapshotIn(hub), 'model.safetensors'), 'cut');
    expect(errorOf(await fetchModel(away))).toContain(message);
  });

  it('takes what other tools fetched, of which there is no list', async () => {
    const hub = hubAt('of others', { offline: true });
    await fetchModel({ ...hub, offline: false });
    rmSync(join(folderIn(hub), '.paca'), { recursive: true });
    expect((await fetchModel(hub)).result).toEqual(E.right(snapshotIn(hub)));
    expect(errorOf(await fetchModel(hub, 'owner/plain', (file) => file === 'README.md'))).toContain(
      'none of the files',
    );
  });

  it('is what the variables of Hugging Face say', () => {
    expect(hubOf({ HF_HOME: '/h', HF_TOKEN: 'hf_x', HF_ENDPOINT: 'http://mirror/' })).toEqual({
      ...{ url: 'http://mirror', cache: join('/h', 'hub'), token: 'hf_x', offline: false },
    });
    expect(hubOf({ XDG_CACHE_HOME: '/c', HF_HUB_OFFLINE: '1', HF_TOKEN: '' })).toEqual({
      ...{ url: 'https://huggingface.co', cache: join('/c', 'huggingface', 'hub'), token: undefined, offline: true },
    });
    expect(hubOf({ HF_HUB_CACHE: '/own', HF_HOME: '/h' }).cache).toBe('/own');
  });
});

it('tells names on a hub from paths', () => {
  expect(parseHubName('owner/na-me.1@v2')).toEqual({ repo: 'owner/na-me.1', revision: 'v2' });
  expect(parseHubName('owner/name@refs/pr/1')).toEqual({ repo: 'owner/name', revision: 'refs/pr/1' });
  for (const path of ['name', './a/b', '../b', '/a/b', 'a/b/c', 'a/b@', 'a/..', 'a/b@../c', 'a/b@/c'])
    expect(parseHubName(path), path).toBeNull();
});
