// Time until a command of an image has run, beside podman and bare bubblewrap on the same content, and the memory of ten
// containers at once.
//
//   npm run bench run        as root, after `npm run build`; STK_BENCH_USER=NAME also measures as that user
//
// Needs busybox (static), mksquashfs, bubblewrap; podman is left out where it cannot run.
import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import { chownSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { report, shell, sideBySide, type Command } from './rig.ts';

const ROUNDS = 7;
const stk = `node ${path.resolve('dist/stk.js')}`;
const work = mkdtempSync('/var/tmp/stk-bench-');
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
const run = (file: string, ...args: readonly string[]) => execFileSync(file, args, { cwd: work, stdio: 'pipe' });

function put(bytes: Uint8Array): { digest: string; size: number } {
  const hex = createHash('sha256').update(bytes).digest('hex');
  writeFileSync(path.join(work, 'oci/blobs/sha256', hex), bytes);
  return { digest: `sha256:${hex}`, size: bytes.length };
}

/** A shell and so many MB that do not compress, as one layer that counts as packed by stk. */
function makeImage(tag: string, megabytes: number): object {
  mkdirSync(path.join(work, tag, 'bin'), { recursive: true });
  run('cp', execFileSync('which', ['busybox']).toString().trim(), `${tag}/bin/busybox`);
  for (const name of ['sh', 'true', 'cat', 'sleep']) run('ln', '-s', 'busybox', `${tag}/bin/${name}`);
  writeFileSync(path.join(work, tag, 'data'), randomFillSync(Buffer.alloc(megabytes << 20)));
  run('mksquashfs', tag, `${tag}.squashfs`, '-comp', 'zstd', '-noD', '-quiet', '-no-progress');
  const mediaType = 'application/vnd.stacker.image.layer.squashfs+zstd';
  const annotations = { 'dev.stk.layer.role': 'run' };
  const layer = { mediaType, ...put(readFileSync(path.join(work, `${tag}.squashfs`))), annotations };
  const rootfs = { type: 'layers', diff_ids: [layer.digest] };
  const config = put(Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: {}, rootfs })));
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const configType = 'application/vnd.oci.image.config.v1+json';
  const body = { schemaVersion: 2, mediaType: type, config: { mediaType: configType, ...config }, layers: [layer] };
  const name = { 'org.opencontainers.image.ref.name': tag };
  return { mediaType: type, ...put(Buffer.from(JSON.stringify(body))), annotations: name };
}

mkdirSync(path.join(work, 'oci/blobs/sha256'), { recursive: true });
const manifests = [makeImage('small', 5), makeImage('large', 500)];
writeFileSync(path.join(work, 'oci/index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
writeFileSync(path.join(work, 'oci/oci-layout'), '{"imageLayoutVersion":"1.0.0"}');

const podman = `podman --root ${work}/pod/root --runroot ${work}/pod/run --cgroup-manager cgroupfs`;
const limits = '--runtime runc --network host --ulimit nofile=1024:1024 --ulimit nproc=1024:1024';
const bwrap = `bwrap --bind ${work}/small / --proc /proc --dev /dev --unshare-pid /bin/true`;
const commands: Command[] = [
  { name: 'stk run, 5 MB', script: `${stk} run small /bin/true`, cwd: work },
  { name: 'stk run, 500 MB', script: `${stk} run large /bin/true`, cwd: work },
  { name: 'bwrap on a directory', script: bwrap },
];
try {
  await shell(`tar -C small -c . | ${podman} import -q - small && ${podman} run --rm ${limits} small /bin/true`, {
    cwd: work,
  });
  commands.push({ name: 'podman run --rm, 5 MB', script: `${podman} run --rm ${limits} small /bin/true` });
} catch (error) {
  process.stderr.write(`podman is left out: ${String(error).split('\n').at(-2) ?? ''}\n`);
}
report('start, as root', await sideBySide(commands, ROUNDS));

const account = process.env['STK_BENCH_USER'];
if (account !== undefined) {
  const [uid, gid] = ['-u', '-g'].map(flag => Number(run('id', flag, account))) as [number, number];
  chownSync(work, uid, gid);
  const own = { cwd: work, user: { uid, gid }, env: { HOME: work } };
  const asUser = commands
    .slice(0, 2)
    .map(command => ({ ...command, ...own, script: command.script.replace(' run ', ' --stk-dir own run ') }));
  report('start, as an ordinary user', await sideBySide(asUser, ROUNDS));
  run('rm', '-rf', 'own');
}

await report10();

/** Proportional memory of ten containers, and what the page cache grows by while each of them reads all of the image. */
async function report10(): Promise<void> {
  const cached = () => Number(/^Cached:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))![1]) / 1024;
  for (const count of [1, 10]) {
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    const before = cached();
    const children = Array.from({ length: count }, () => {
      const script = 'cat /data > /dev/null; echo ready; cat';
      const args = ['run', '-i', 'large', 'sh', '-c', script];
      return spawn('node', [path.resolve('dist/stk.js'), ...args], { cwd: work, stdio: ['pipe', 'pipe', 'inherit'] });
    });
    await Promise.all(children.map(child => new Promise(resolve => child.stdout.once('data', resolve))));
    const grown = cached() - before;
    const pids = children.flatMap(child => descendants(child.pid!));
    const kilobytes = pids.reduce((sum, pid) => sum + proportional(pid), 0);
    const ended = children.map(child => new Promise(resolve => child.on('exit', resolve)));
    for (const child of children) child.stdin.end();
    await Promise.all(ended);
    const text = `${count} containers: ${(kilobytes / 1024).toFixed(0)} MB of processes, page cache +${grown.toFixed(0)} MB`;
    process.stdout.write(`${text} after each read 500 MB\n`);
  }
}

function descendants(root: number): readonly number[] {
  const found = [root];
  for (const pid of found) {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const children = readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim();
      if (children !== '') found.push(...children.split(' ').map(Number));
    }
  }
  return found;
}

function proportional(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
}
