/**
 * A tokenizer in the layout of Hugging Face, small enough to read: byte-level BPE (GPT-2's alphabet of 256 bytes), 38
 * merges written by hand, six special tokens. Two chat templates of the kinds that are in use: ChatML's and LLaMA 3's.
 */
import { type Tokenizer, tokenizerFromFiles } from '../../src/data/tokenizer.ts';
import { orThrow } from '../../src/spec/errors.ts';

/** GPT-2's alphabet: a printable byte stands for itself, the others for the characters from 256 on, in order. */
const alphabet = (): readonly string[] => {
  const printable = (b: number): boolean => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(printable(b) ? b : next++));
};

const merges: readonly string[] = [
  ...['h e', 'i n', 'r e', 'o n', 'a n', 'e r', 's t', 'Ġ t', 'Ġt he', 'Ġ a', 'Ġa n', 'Ġan d', 'e s', 'y es', 'n o'],
  ...['Ġ yes', 'Ġ no', 'l l', 'he ll', 'hell o', 'Ġ hello', 'w o', 'wo r', 'wor l', 'worl d', 'Ġ world', 'in g'],
  ...['u s', 'us er', 'a s', 'as s', 'i st', 'ass ist', 'an t', 'assist ant', 'Ċ Ċ', 'Ġ Ġ', '# #'],
];

const specials: readonly string[] = ['<|begin|>', '<|end|>', '<|pad|>', '<|im_start|>', '<|im_end|>', '<|eot_id|>'];

const vocabulary: readonly string[] = [...alphabet(), ...merges.map((merge) => merge.replace(' ', ''))];

/** The id of a token, as this file numbers them: bytes, merges, special tokens. */
export const idOf = (token: string): number => {
  const id = [...vocabulary, ...specials].indexOf(token);
  if (id < 0) throw new Error(`no token ${token}`);
  return id;
};

export const vocabularySize: number = vocabulary.length + specials.length;

export const chatml: string =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

export const llama3: string =
  "{%- set wanted = date_string if date_string is defined else strftime_now('%d %b %Y') %}{{- bos_token }}" +
  "{%- for message in messages %}{{- '<|start|>' + message['role'] + '<|stop|>\\n\\n' }}" +
  "{%- if message['role'] == 'system' %}{{- 'Today: ' + wanted + '\\n' }}{%- endif %}" +
  "{{- message['content'] | trim + '<|eot_id|>' }}{%- endfor %}" +
  "{%- if add_generation_prompt %}{{- '<|start|>assistant<|stop|>\\n\\n' }}{%- endif %}";

/** How GPT-2 splits a text before merging, and how LLaMA 3 does, which keeps line breaks together. */
const splitters: Readonly<Record<'gpt2' | 'llama3', unknown>> = {
  gpt2: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  llama3: {
    type: 'Sequence',
    pretokenizers: [
      {
        type: 'Split',
        pattern: {
          Regex:
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" +
            '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
        },
        behavior: 'Isolated',
        invert: false,
      },
      { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    ],
  },
};

const verbatim = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };

export interface TinyOptions {
  readonly bos?: boolean;
  readonly splitter?: 'gpt2' | 'llama3';
}

/** `tokenizer.json`. With `bos`, its post-processor opens every text with `<|begin|>`. */
export const tokenizerFile = ({ bos = false, splitter = 'gpt2' }: TinyOptions = {}): Record<string, unknown> => ({
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: specials.map((content) => ({ id: idOf(content), content, ...verbatim })),
  normalizer: null,
  pre_tokenizer: splitters[splitter],
  post_processor: bos
    ? {
        type: 'TemplateProcessing',
        single: [{ SpecialToken: { id: '<|begin|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
        pair: [],
        special_tokens: { '<|begin|>': { id: '<|begin|>', ids: [idOf('<|begin|>')], tokens: ['<|begin|>'] } },
      }
    : null,
  decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  model: { type: 'BPE', vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])), merges },
});

export const configFile = (chatTemplate: unknown = chatml): Record<string, unknown> => ({
  bos_token: '<|begin|>',
  eos_token: { content: '<|end|>', special: true },
  pad_token: '<|pad|>',
  unk_token: null,
  chat_template: chatTemplate,
});

export const tinyTokenizer = (options: TinyOptions & { readonly chatTemplate?: unknown } = {}): Tokenizer =>
  orThrow(tokenizerFromFiles({ tokenizer: tokenizerFile(options), config: configFile(options.chatTemplate) }));
