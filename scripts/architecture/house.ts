/**
 * The plan of the house: which room a file is in, which rooms it may import, which files may use Node.
 *
 * Law: the relation `mayImport` between two different rooms is a strict order, so rooms never import in a circle.
 */

/** Each room may import itself and the rooms of earlier lines. Rooms on one line do not import each other. */
const floors: readonly (readonly string[])[] = [
  ['spec'],
  ['core'],
  ['layers', 'quant', 'select', 'optim'],
  ['methods'],
  ['models'],
  ['data'],
  ['io'],
  ['train'],
  ['vectors'],
  ['index.ts'],
  ['cli'],
];

/** What a backend may know of the library. */
export const backendRooms: readonly string[] = ['spec', 'core'];

/** The one door to the backends. */
export const door = 'backends/resolve.ts';

const floorOf = (room: string): number => floors.findIndex((rooms) => rooms.includes(room));

/** The second part of a path: a room of `src/` (or the file `index.ts`), a folder of `backends/`. */
export const roomOf = (path: string): string => path.split('/')[1] ?? '';

export const isRoom = (room: string): boolean => floorOf(room) >= 0;

export const mayImport = (from: string, to: string): boolean =>
  from === to || (isRoom(to) && floorOf(to) < floorOf(from));

/** The rooms that a room may import, for messages. */
export const roomsBelow = (room: string): string =>
  floors
    .slice(0, Math.max(floorOf(room), 0))
    .flat()
    .concat(room)
    .join(', ');

/** Whether the name of a file says that it needs Node. */
export const isNodeHalf = (path: string): boolean => path.endsWith('-node.ts');

/** Whether a file of `src/` or `backends/` may use Node: the command line, and the Node halves of io and of a backend. */
export const mayUseNode = (path: string): boolean =>
  path.startsWith('src/cli/') || (isNodeHalf(path) && /^(src\/io|backends\/[^/]+)\//.test(path));
