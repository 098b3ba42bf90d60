/** Workers in browsers, started from a text: no address of a file is needed, whatever bundles the page. */
import { workerSource } from './generated/worker.ts';
import { type Crew, type Hire, START_PATIENCE } from './pool.ts';
import type { Setup } from './worker.ts';

const program = `${workerSource}
onmessage = ({ data }) => serve(data, () => postMessage('ready'));
`;

export const hireInBrowser: Hire = async (setups: readonly Setup[]): Promise<Crew> => {
  const url = URL.createObjectURL(new Blob([program], { type: 'text/javascript' }));
  let failure: string | null = null;

  const start = (setup: Setup): Promise<Worker> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(url);
      const failed = (why: string): void => {
        clearTimeout(timer);
        failure ??= `a worker of the wasm backend ended: ${why}`;
        worker.terminate();
        reject(new Error(why));
      };
      const timer = setTimeout(() => failed('it did not start in time'), START_PATIENCE);
      worker.onmessage = () => {
        clearTimeout(timer);
        resolve(worker);
      };
      worker.onerror = ({ message }) => failed(message);
      worker.postMessage(setup);
    });

  const started = await Promise.allSettled(setups.map(start));
  URL.revokeObjectURL(url);
  const workers = started.flatMap((s) => (s.status === 'fulfilled' ? [s.value] : []));
  const end = async (): Promise<void> => {
    for (const worker of workers) worker.terminate();
  };
  if (failure !== null) {
    await end();
    throw new Error(failure);
  }
  return { failure: () => failure, end };
};
