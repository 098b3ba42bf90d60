/** Data for the commands of language models. */
import { writeFileSync } from 'node:fs';

/** Mails that are long or short, and say so. */
export const writeData = (path: string, count: number): string => {
  const line = (i: number): string =>
    JSON.stringify(
      i % 2 === 0
        ? { prompt: `buy ${i} now?`, completion: ' spam', category: i % 4 === 0 ? 'even' : 'odd' }
        : { prompt: `see you ${i}?`, completion: ' ham', category: 'odd' },
    );
  writeFileSync(path, `${Array.from({ length: count }, (_, i) => line(i)).join('\n')}\n`);
  return path;
};
