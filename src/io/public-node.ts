/** What `paca-ts/node` gives: files of Node and Deno. */
export { nodeSource } from './source-node.ts';
export { type FileSystem, nodeStore } from './store-node.ts';
