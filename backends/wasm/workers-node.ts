/** Workers in Node and Deno. They do not keep the process alive. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { workerSource } from './generated/worker.ts';
import { type Crew, type Hire, START_PATIENCE } from './pool.ts';
import type { Setup } from './worker.ts';

/** Processors that this process may use. */
export const processors: number = availableParallelism();

const program = `${workerSource}
const { parentPort, workerData } = require('node:worker_threads');
serve(workerData, () => parentPort.postMessage('ready'));
`;

export const hireInNode: Hire = async (setups: readonly Setup[]): Promise<Crew> => {
  let failure: string | null = null;
  let ending = false;

  const start = (setup: Setup): Promise<Worker> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(program, { eval: true, workerData: setup, execArgv: [] });
      const failed = (why: string): void => {
        clearTimeout(timer);
        if (!ending) failure ??= `a worker of the wasm backend ended: ${why}`;
        reject(new Error(why));
      };
      const timer = setTimeout(() => failed('it did not start in time'), START_PATIENCE);
      worker.once('message', () => {
        clearTimeout(timer);
        worker.unref();
        resolve(worker);
      });
      worker.once('error', (error) => failed(String(error)));
      worker.once('exit', (code) => failed(`exit code ${code}`));
    });

  const started = await Promise.allSettled(setups.map(start));
  const workers = started.flatMap((s) => (s.status === 'fulfilled' ? [s.value] : []));
  const end = async (): Promise<void> => {
    ending = true;
    await Promise.all(workers.map((worker) => worker.terminate()));
  };
  if (failure !== null) {
    await end();
    throw new Error(failure);
  }
  return { failure: () => failure, end };
};
