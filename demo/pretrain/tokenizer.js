/**
 * A byte-level BPE tokenizer as GPT-2's: text is split into pre-tokens, each is a sequence of bytes, and neighbours are merged in the
 * order in which the merges were learned. `train` learns it, `encoder` applies it, and between them stands Hugging Face's
 * `tokenizer.json`.
 *
 * Formula: R. Sennrich, B. Haddow, A. Birch, "Neural Machine Translation of Rare Words with Subword Units", ACL 2016.
 */

/** Separates documents, begins and ends a text. */
export const endOfText = '<|endoftext|>';

/** Fills up a batch. */
export const padding = '<|pad|>';

const specials = [endOfText, padding];

/** GPT-2's split; `\p{White_Space}` is what other engines mean by `\s`. */
const split =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** Bytes that GPT-2 writes as the character of the same number. @param {number} byte */
const isVisible = (byte) =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);

/** The character in which a vocabulary writes a byte: itself, or the next one from U+0100 on. */
const letters = Array.from({ length: 256 }, (_, byte) => byte).reduce(
  ({ written, next }, byte) =>
    isVisible(byte)
      ? { written: [...written, String.fromCharCode(byte)], next }
      : { written: [...written, String.fromCharCode(next)], next: next + 1 },
  { written: /** @type {string[]} */ ([]), next: 0x100 },
).written;

const utf8 = new TextEncoder();

/** The tokens that stand before the merged ones: the special ones, then the bytes by number. */
const alphabet = [...specials, ...letters];

/** The bytes of a pre-token, as tokens. @param {string} text @returns {number[]} */
const bytesOf = (text) => Array.from(utf8.encode(text), (byte) => specials.length + byte);

/** Two tokens as one number; a vocabulary has at most 2¹⁶ of them. @param {number} left @param {number} right */
const pairOf = (left, right) => left * 65536 + right;

/** @param {number} pair */
const leftOf = (pair) => Math.floor(pair / 65536);

/** @param {number} pair */
const rightOf = (pair) => pair % 65536;

/** Puts one token wherever two stand side by side, from the left. @param {number[]} tokens @param {number} pair @param {number} merged */
const mergeIn = (tokens, pair, merged) => {
  /** @type {number[]} */
  const result = [];
  for (let i = 0; i < tokens.length; i++) {
    const isPair = i + 1 < tokens.length && pairOf(tokens[i] ?? 0, tokens[i + 1] ?? 0) === pair;
    result.push(isPair ? merged : (tokens[i] ?? 0));
    if (isPair) i += 1;
  }
  return result;
};

/** How often each pre-token occurs. @param {Iterable<string>} texts @returns {Map<string, number>} */
const countPreTokens = (texts) => {
  const counts = new Map();
  for (const text of texts)
    for (const token of text.match(split) ?? []) counts.set(token, (counts.get(token) ?? 0) + 1);
  return counts;
};

/** The most frequent pair; of several, the one of the smallest tokens. @param {Map<number, number>} counts */
const mostFrequent = (counts) => {
  let best = -1;
  let most = 0;
  for (const [pair, count] of counts) {
    if (count < most || (count === most && pair > best)) continue;
    best = pair;
    most = count;
  }
  return best;
};

/**
 * Learns a vocabulary of the given size. Each merge takes the most frequent pair of neighbours, and counts again only in the
 * pre-tokens that held it.
 *
 * @param {Iterable<string>} texts
 * @param {number} size
 * @returns {{ tokens: string[], merges: [string, string][] }} tokens by number, special ones first
 */
export const train = (texts, size) => {
  const words = Array.from(countPreTokens(texts), ([text, count]) => ({ tokens: bytesOf(text), count }));
  const tokens = [...alphabet];
  const known = new Map(tokens.map((token, id) => [token, id]));
  /** @type {[string, string][]} */
  const merges = [];
  /** @type {Map<number, number>} */
  const counts = new Map();
  /** @type {Map<number, Set<number>>} */
  const places = new Map();

  /** Adds the pairs of a word to the counts, or takes them away. @param {number} at @param {1 | -1} sign */
  const tally = (at, sign) => {
    const word = words[at];
    for (let i = 1; i < (word?.tokens.length ?? 0); i++) {
      const pair = pairOf(word?.tokens[i - 1] ?? 0, word?.tokens[i] ?? 0);
      const count = (counts.get(pair) ?? 0) + sign * (word?.count ?? 0);
      if (count === 0) counts.delete(pair);
      else counts.set(pair, count);
      if (sign < 0) continue;
      const holders = places.get(pair);
      if (holders === undefined) places.set(pair, new Set([at]));
      else holders.add(at);
    }
  };

  for (const at of words.keys()) tally(at, 1);
  while (tokens.length < size && counts.size > 0) {
    const pair = mostFrequent(counts);
    const left = tokens[leftOf(pair)] ?? '';
    const right = tokens[rightOf(pair)] ?? '';
    // Two different merges can give the same text; it stays one token.
    const merged = known.get(left + right) ?? tokens.length;
    if (merged === tokens.length) tokens.push(left + right);
    known.set(left + right, merged);
    merges.push([left, right]);
    for (const at of places.get(pair) ?? []) {
      const word = words[at];
      tally(at, -1);
      if (word !== undefined) word.tokens = mergeIn(word.tokens, pair, merged);
      tally(at, 1);
    }
    places.delete(pair);
  }
  return { tokens, merges };
};

/** @param {string} content @param {number} id */
const addedToken = (content, id) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});

/**
 * What `tokenizer.json` says.
 *
 * @param {{ tokens: string[], merges: [string, string][] }} learned
 */
export const toJson = ({ tokens, merges }) => ({
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: specials.map(addedToken),
  normalizer: null,
  pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  post_processor: null,
  decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
    vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    merges: merges.map(([left, right]) => `${left} ${right}`),
  },
});

/** What `tokenizer_config.json` says. */
export const config = {
  tokenizer_class: 'PreTrainedTokenizerFast',
  bos_token: endOfText,
  eos_token: endOfText,
  pad_token: padding,
  add_prefix_space: false,
  clean_up_tokenization_spaces: false,
};

/** What `special_tokens_map.json` says. */
export const specialTokens = { bos_token: endOfText, eos_token: endOfText, pad_token: padding };

/**
 * A function from text to tokens. Each pre-token takes its earliest merge until none is left, and is worked out once. Special
 * tokens are not looked for in the text.
 *
 * @param {ReturnType<typeof toJson>} json
 * @returns {(text: string) => number[]}
 */
export const encoder = ({ model: { vocab, merges } }) => {
  /** @param {string | undefined} token */
  const id = (token) => vocab[token ?? ''] ?? 0;
  /** @type {Map<number, { rank: number, merged: number }>} */
  const rules = new Map(
    merges.map((merge, rank) => {
      const [left, right] = merge.split(' ');
      return [pairOf(id(left), id(right)), { rank, merged: id(`${left}${right}`) }];
    }),
  );

  /** @param {number[]} tokens @returns {number[]} */
  const merge = (tokens) => {
    let best = { rank: Number.POSITIVE_INFINITY, merged: 0 };
    let first = -1;
    for (let i = 1; i < tokens.length; i++) {
      const pair = pairOf(tokens[i - 1] ?? 0, tokens[i] ?? 0);
      const rule = rules.get(pair);
      if (rule === undefined || rule.rank >= best.rank) continue;
      best = rule;
      first = pair;
    }
    return first < 0 ? tokens : merge(mergeIn(tokens, first, best.merged));
  };

  /** @type {Map<string, number[]>} */
  const done = new Map();
  /** @param {string} text @returns {number[]} */
  const word = (text) => {
    const before = done.get(text);
    if (before !== undefined) return before;
    const tokens = merge(bytesOf(text));
    done.set(text, tokens);
    return tokens;
  };
  return (text) => (text.match(split) ?? []).flatMap(word);
};
