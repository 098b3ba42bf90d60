/** What a model of the LLaMA family is, in this engine's terms; `io/llama-config.ts` reads it from Hugging Face's config.json. */
import type { RopeScaling } from './rope-scaling.ts';

export interface LlamaConfig {
  readonly vocabulary: number;
  /** Features of a token between the blocks. */
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  /** Heads of keys and values, a divisor of `heads`. */
  readonly groups: number;
  readonly headWidth: number;
  /** Features inside the feed-forward part. */
  readonly feedForward: number;
  readonly epsilon: number;
  /** Base of the rotary frequencies. */
  readonly theta: number;
  readonly scaling: RopeScaling;
  /** The most tokens of a sequence. */
  readonly positions: number;
  /** The output head is the embedding's table. */
  readonly tied: boolean;
  /** Whether q, k and v have biases (Qwen2), and o (some LLaMA derivatives). */
  readonly inputBias: boolean;
  readonly outputBias: boolean;
  /** Whether q and k are normalised head by head (Qwen3). */
  readonly headNorm: boolean;
  /** The most keys that a query of each layer sees, or null for all (Mistral's sliding window). */
  readonly windows: readonly (number | null)[];
}
