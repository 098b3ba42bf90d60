/**
 * Rows of tokens that hold several documents, one after the other, of which none sees another.
 *
 * Law: a token's document starts at it or before it in its row, and never before that of the token before.
 */
import { defect } from './errors.ts';
import { type HostTensorOf, sameShape, showSpec } from './tensor.ts';

/** `i32 [rows, tokens]`: for each token, the place in its row at which its document starts. */
export type DocumentStarts = HostTensorOf<'i32'>;

/** A defect where the starts are none of so many rows and tokens; the tokens are the last of `places` places. */
export const checkStarts = (starts: DocumentStarts, rows: number, tokens: number, places: number): void => {
  const { data } = starts;
  if (!sameShape(starts.shape, [rows, tokens]) || starts.dtype !== 'i32') {
    defect(`starts of documents: expected i32[${rows}, ${tokens}], got ${showSpec(starts)}`);
  }
  for (let i = 0; i < data.length; i++) {
    const token = i % tokens;
    const least = token === 0 ? 0 : data[i - 1]!;
    const most = places - tokens + token;
    if (data[i]! < least || data[i]! > most) {
      defect(`starts of documents: expected ${least} … ${most} at token ${i}, got ${data[i]}`);
    }
  }
};

/** Each token's place in its own document, for rows whose first token is at place 0. */
export const placesInDocuments = ({ dtype, shape, data }: DocumentStarts): HostTensorOf<'i32'> => {
  const tokens = shape[1] ?? 1;
  return { dtype, shape, data: data.map((start, i) => (i % tokens) - start) };
};
