/**
 * Whether all programs did the same work. Where the method is the same, their losses must agree. PaCA and LoRA are
 * different methods: their losses must fall, and begin where those of full training begin, since neither changes the
 * model before its first step.
 */
import { OURS, PEERS, programs } from './tasks.js';

/** @typedef {import('./program.js').Measured} Measured */

/** The relative difference that is allowed. */
const TOLERANCE = 1e-3;

/** So many steps are compared. Long runs end near 0, where the order of the sums decides what the loss is. */
const COMPARED = 25;

/** @param {number} a @param {number} b Not-a-number agrees with nothing. */
const agree = (a, b) => Math.abs(a - b) <= TOLERANCE * Math.abs(b);

/** @param {Measured} m */
const title = ({ name, work, method }) => `${name} ${work} ${method}`;

/** @param {Measured} theirs @param {Measured} ours @returns {readonly string[]} */
const differing = (theirs, ours) => {
  const count = Math.min(COMPARED, Math.max(theirs.losses.length, ours.losses.length));
  const at = Array.from({ length: count }, (_, i) => i).find(
    (i) => !agree(theirs.losses[i] ?? Number.NaN, ours.losses[i] ?? Number.NaN),
  );
  return at === undefined
    ? []
    : [`${title(theirs)}: expected ${ours.losses[at]} at ${at} as ${OURS} has it, got ${theirs.losses[at]}`];
};

/** @param {Measured} adapted @param {Measured} full @returns {readonly string[]} */
const notAdapting = (adapted, full) => {
  const [first = Number.NaN] = adapted.losses;
  const last = adapted.losses.at(-1) ?? Number.NaN;
  const start = full.losses[0] ?? Number.NaN;
  return [
    ...(agree(first, start) ? [] : [`${title(adapted)}: expected to begin at ${start} as full does, got ${first}`]),
    ...(last < first ? [] : [`${title(adapted)}: expected a falling loss, got ${first} to ${last}`]),
  ];
};

/** What is wrong with the measurements of one round; nothing if all is well. @param {readonly Measured[]} round */
export const problemsOf = (round) => {
  /** @param {string} name @param {string} work @param {string} method */
  const find = (name, work, method) => round.find((m) => m.name === name && m.work === work && m.method === method);
  const same = round
    .filter(({ name }) => PEERS.includes(name))
    .flatMap((theirs) => {
      const ours = find(OURS, theirs.work, theirs.method);
      return ours === undefined ? [] : differing(theirs, ours);
    });
  const adapting = programs.flatMap((name) =>
    ['step', 'llama'].flatMap((work) => {
      const [full, adapted] = [find(name, work, 'full'), find(name, work, name === OURS ? 'paca' : 'lora')];
      return full === undefined || adapted === undefined ? [] : notAdapting(adapted, full);
    }),
  );
  return [...same, ...adapting];
};
