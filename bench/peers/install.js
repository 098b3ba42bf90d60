/** Installs the peers into this folder where they are missing or of another version; `npm run bench:peers` begins with it. */
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('.', import.meta.url));

/** When a file of this folder was last written; 0 if it is not there. @param {string} path */
const modified = (path) => (existsSync(folder + path) ? statSync(folder + path).mtimeMs : 0);

if (modified('node_modules/.package-lock.json') < modified('package-lock.json')) {
  process.stderr.write('paca: installing the peers\n');
  const args = ['ci', '--prefix', folder, '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = spawnSync('npm', args, { stdio: ['ignore', 2, 2], shell: process.platform === 'win32' });
  if (status !== 0) {
    process.stderr.write('paca: the peers could not be installed (npm ci in bench/peers failed)\n');
    process.exit(1);
  }
}
