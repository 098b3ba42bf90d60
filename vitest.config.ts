/** Tests read the sources as they are: nothing is compiled before. The same configuration serves Node and Deno. */
import type { ViteUserConfig } from 'vitest/config';

const config: ViteUserConfig = {
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
};

export default config;
