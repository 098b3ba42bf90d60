/** fast-check with a fixed seed: every run of the tests draws the same inputs. */
import fc from 'fast-check';

fc.configureGlobal({ seed: 20250501, numRuns: 30 });

export { fc };
