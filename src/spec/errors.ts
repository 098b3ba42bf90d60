/**
 * The two kinds of failure.
 *
 * Wrong input (a shape, a config, a file, an index) is a value: `Either<PacaError, A>`. It says what was expected,
 * what came, and where. An impossible state inside the engine is a {@link defect}: it throws.
 *
 * Law: no function of this package throws on wrong input; it returns `left`.
 */
import * as E from 'fp-ts/lib/Either.js';

export type ErrorTag =
  | 'ShapeError'
  | 'IndexError'
  | 'ConfigError'
  | 'FileError'
  | 'BackendError'
  | 'DataError'
  | 'NonFiniteError'
  | 'Interrupted';

export interface PacaError {
  readonly tag: ErrorTag;
  /** What would have been right, in words. */
  readonly expected: string;
  /** What came instead. */
  readonly came: string;
  /** The place: a config path, a file and offset, a layer, an argument. */
  readonly where: string;
}

export type Result<A> = E.Either<PacaError, A>;

/** A `left` of the given kind. */
export const fail = (tag: ErrorTag, expected: string, came: string, where: string): E.Either<PacaError, never> =>
  E.left({ tag, expected, came, where });

/** The error in one line, as the command line prints it. */
export const showError = (e: PacaError): string => `${e.tag} in ${e.where}: expected ${e.expected}, got ${e.came}`;

/** Stops the program: the engine reached a state that its types or its callers exclude. Never for wrong user input. */
export const defect = (message: string): never => {
  const error = new Error(message);
  error.name = 'Defect';
  throw error;
};

/** The value, or a thrown error that carries the message of the `left`, and the `left` as its cause. For callers who prefer exceptions. */
export const orThrow = <A>(result: Result<A>): A => {
  if (E.isRight(result)) return result.right;
  const error = new Error(showError(result.left), { cause: result.left });
  error.name = result.left.tag;
  throw error;
};
