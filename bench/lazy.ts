// Time to the first output of a command of an image in a registry, and what is fetched for it, over a link of 100 Mbit/s with
// a round trip of 20 ms: stk lazily, with a trace, again with what was kept; stk and podman pulling all of it first (podman without the run).
//
//   npm run bench lazy ROOT.tar [PACKAGES] [COMMAND]     for example a Debian root, "python3-minimal"; run as root
//
// Needs docker-registry, and podman for its row.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DockerRegistry } from '../test/rig/docker-registry.ts';
import { SlowLink } from '../test/rig/slow-link.ts';
import { report, shell, sideBySide, type Command } from './rig.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 5);
const [tar, packages = '', command = `perl -e 'print "hello\\n"'`] = process.argv.slice(2);
if (tar === undefined) {
  process.stderr.write('usage: npm run bench lazy ROOT.tar [PACKAGES] [COMMAND]\n');
  process.exit(2);
}
const stk = `${process.execPath} ${path.resolve('dist/stk.js')}`;
const work = path.join(os.tmpdir(), `stk-bench-${process.pid}`);
mkdirSync(work);
process.on('exit', () => {
  // podman leaves its storage mounted on itself.
  spawnSync('umount', [path.join(work, 'storage/overlay')], { stdio: 'ignore' });
  rmSync(work, { recursive: true, force: true });
});
const env = { XDG_CACHE_HOME: path.join(work, 'cache') };
const storage = `--root ${work}/storage --runroot ${work}/runroot`;

const install = `export DEBIAN_FRONTEND=noninteractive; apt-get update; apt-get install -y --no-install-recommends ${packages}`;
const from = { type: 'tar', url: path.resolve(tar) };
writeFileSync(
  path.join(work, 'stacker.yaml'),
  JSON.stringify({ app: packages === '' ? { from } : { from, run: install } }),
);
const inWork = { cwd: work, env };
await shell(`${stk} build --progress quiet --layer-type squashfs --layer-type tar app`, inWork);

await using registry = await DockerRegistry.start();
await using link = await SlowLink.open(registry.host, { latencyMs: 10, bytesPerSecond: 100e6 / 8 });
await shell(
  `${stk} publish app docker://${registry.host}/app:1; ${stk} publish app-tar docker://${registry.host}/tar:1`,
  inWork,
);
const far = `docker://${link.host}/app:1`;
const forget = `rm -rf ${env.XDG_CACHE_HOME} ${work}/pulled`;
const fetched = new Map<string, number>();

/** What went over the link since the last preparation belongs to the command before. */
let last: string | undefined;
function note(name?: string): void {
  if (last !== undefined) fetched.set(last, link.receivedBytes);
  last = name;
  link.receivedBytes = 0;
}

function counted(row: Command): Command {
  const prepare = async () => {
    note();
    await row.prepare?.();
    note(row.name);
  };
  return { ...row, ...inWork, prepare };
}

function fresh(name: string, script: string, before = ''): Command {
  return counted({ name, script, prepare: () => shell(`${forget}; ${before}`, inWork) });
}

const rows: readonly Command[] = [
  fresh('stk run, all here', `${stk} run app ${command}`),
  fresh('stk run, lazy', `${stk} run --prefetch off ${far} ${command}`),
  fresh('stk run, lazy with a trace', `${stk} run ${far} ${command}`),
  counted({ name: 'stk run, lazy once more', script: `${stk} run --prefetch off ${far} ${command}` }),
  fresh('stk publish and run', `${stk} publish ${far} oci:pulled:app && ${stk} run oci:pulled:app ${command}`),
  fresh(
    'podman pull',
    `podman ${storage} pull -q --tls-verify=false ${link.host}/tar:1`,
    `podman ${storage} rmi -a -f >/dev/null 2>&1 || true`,
  ),
];
await shell(`${forget}; ${stk} optimize docker://${registry.host}/app:1 ${command}`, inWork);

report(`first output of ${command}`, await sideBySide(rows, ROUNDS));
note();
process.stdout.write('\n| what | fetched MB |\n| --- | --- |\n');
for (const [name, bytes] of fetched) process.stdout.write(`| ${name} | ${(bytes / 1e6).toFixed(2)} |\n`);
