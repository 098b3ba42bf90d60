/** A server that answers as a Hugging Face hub does, on this machine: models, their files in parts, and faults to order. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll } from 'vitest';

export interface Faults {
  /** Cuts the connection after so many bytes of the file, once. */
  cut?: { name: string; after: number };
  /** Sends other bytes of the file, once. */
  spoil?: string;
  /** Lists this as the digest of small files, once. */
  digest?: string;
  /** Is waited for before the content of a file is sent. */
  before?: (name: string) => Promise<void>;
}

export interface HubServer {
  readonly url: string;
  /** `METHOD path` of each request for a file's content, with the range that was asked for. */
  readonly reads: string[];
  readonly faults: Faults;
  readonly stop: () => Promise<void>;
}

export interface Model {
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Only who brings this token may read. */
  readonly token?: string;
}

export const COMMIT: string = 'c0ffee'.repeat(7).slice(0, 40);

/** Files from this size on are large ones, with a SHA-256. */
const LARGE = 2000;

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const gitDigest = (bytes: Uint8Array): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

const entryOf = ([path, bytes]: readonly [string, Uint8Array]): object => ({
  type: 'file',
  path,
  size: bytes.length,
  oid: gitDigest(bytes),
  ...(bytes.length >= LARGE && { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } }),
});

export const hubServer = async (models: Readonly<Record<string, Model>>): Promise<HubServer> => {
  const reads: string[] = [];
  const faults: Faults = {};

  const sendFile = async (
    req: IncomingMessage,
    res: ServerResponse,
    name: string,
    whole: Uint8Array,
  ): Promise<void> => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(req.headers.range ?? '') ?? [];
    const [from, to] = first === undefined ? [0, whole.length] : [Number(first), Number(last) + 1];
    const isProbe = from === 0 && to === 1;
    if (!isProbe) reads.push(first === undefined ? name : `${name} ${from}-${to}`);
    if (!isProbe) await faults.before?.(name);
    const bytes = Buffer.from(whole.subarray(from, to));
    res.writeHead(first === undefined ? 200 : 206, {
      etag: `"${gitDigest(whole)}"`,
      'content-length': bytes.length,
      ...(first !== undefined && { 'content-range': `bytes ${from}-${to - 1}/${whole.length}` }),
    });
    if (!isProbe && faults.cut?.name === name) {
      const { after } = faults.cut;
      delete faults.cut;
      res.write(bytes.subarray(0, after), () => setTimeout(() => res.destroy(), 50));
      return;
    }
    if (!isProbe && faults.spoil === name) {
      delete faults.spoil;
      bytes[0] = (bytes[0] ?? 0) ^ 1;
    }
    res.end(bytes);
  };

  /** The answer that is JSON, or the content of a file by its name. */
  const find = (path: string, authorization: string | undefined): readonly [status: number, json: unknown] | string => {
    const [name, model] = Object.entries(models).find(([key]) => path.includes(`/${key}/`)) ?? [];
    if (model === undefined) return [404, { error: 'Repository not found' }];
    if (model.token !== undefined && authorization !== `Bearer ${model.token}`) return [401, { error: 'Restricted' }];
    const [, revision] = /\/revision\/(.+)$/.exec(path) ?? [];
    if (revision !== undefined) {
      return ['main', 'v1', COMMIT].includes(revision)
        ? [200, { _id: '1', id: name, sha: COMMIT, lastModified: '2026-01-01T00:00:00Z' }]
        : [404, { error: 'Revision not found' }];
    }
    if (path.includes('/tree/')) {
      const { digest: oid } = faults;
      delete faults.digest;
      return [
        200,
        Object.entries(model.files)
          .map(entryOf)
          .map((entry) => (oid === undefined ? entry : { ...entry, oid })),
      ];
    }
    const file = path.slice(path.lastIndexOf('/') + 1);
    return model.files[file] === undefined ? [404, { error: 'Entry not found' }] : `${name}/${file}`;
  };

  const answer = (req: IncomingMessage, res: ServerResponse): void => {
    const found = find(decodeURIComponent(new URL(req.url ?? '', 'http://hub').pathname), req.headers.authorization);
    if (typeof found === 'string') {
      const file = found.slice(found.lastIndexOf('/') + 1);
      void sendFile(req, res, file, models[found.slice(0, found.lastIndexOf('/'))]!.files[file]!);
      return;
    }
    const [status, json] = found;
    res.writeHead(status, { 'content-type': 'application/json' });
    res.end(JSON.stringify(json));
  };

  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  afterAll(stop);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, reads, faults, stop };
};
