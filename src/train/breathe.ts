/**
 * Lets everything else that waits for the thread run: signals, timers, a page that redraws itself. A backend on the CPU
 * answers at once, so a loop of steps has no pause of its own, and nothing could stop it.
 */

/** Milliseconds that a loop may keep the thread. */
export const LONGEST_BREATH = 50;

/** One turn of the event loop. (A timer would do, but browsers hold the timers of hidden pages back.) */
export const breathe = (): Promise<void> =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
