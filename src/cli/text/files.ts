/** The text files of a Hugging Face folder. */
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { readAll, type Source } from '../../io/source.ts';
import type { PacaError } from '../../spec/errors.ts';
import { parseStrictJson } from '../../spec/strict-json.ts';

export const readText = (source: Source, name: string): TE.TaskEither<PacaError, string> =>
  pipe(
    () => readAll(source, name),
    TE.map((bytes) => new TextDecoder().decode(bytes)),
  );

export const readJson = (source: Source, name: string): TE.TaskEither<PacaError, unknown> =>
  pipe(
    readText(source, name),
    TE.chainEitherK((content) => parseStrictJson(content, name)),
  );
