// Time until the first file of an image can be read: mounted by stk, and unpacked by umoci from the same content as tar.
//
//   node bench/mount.ts TREE        a directory, for example an unpacked Debian root; run as root, after `npm run build`
//
// Needs Node 22.18 or newer (types are stripped), mksquashfs, umoci and tar.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const ROUNDS = 5;
const stk = path.resolve(import.meta.dirname, '../dist/stk.js');
const tree = process.argv[2];
if (tree === undefined) {
  console.error('usage: node bench/mount.ts TREE');
  process.exit(2);
}

const work = mkdtempSync(path.join(os.tmpdir(), 'stk-bench-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
const run = (file: string, ...args: readonly string[]) =>
  execFileSync(file, args, { cwd: work, stdio: 'pipe' }).toString();

function put(layout: string, bytes: Uint8Array): { digest: string; size: number } {
  const hex = createHash('sha256').update(bytes).digest('hex');
  writeFileSync(path.join(work, layout, 'blobs/sha256', hex), bytes);
  return { digest: `sha256:${hex}`, size: bytes.length };
}

function writeImage(layout: string, layerFile: string, mediaType: string): void {
  mkdirSync(path.join(work, layout, 'blobs/sha256'), { recursive: true });
  const layer = { mediaType, ...put(layout, readFileSync(path.join(work, layerFile))) };
  const rootfs = { type: 'layers', diff_ids: [layer.digest] };
  const config = put(layout, Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs })));
  const configType = 'application/vnd.oci.image.config.v1+json';
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const body = { schemaVersion: 2, mediaType: type, config: { mediaType: configType, ...config }, layers: [layer] };
  const annotations = { 'org.opencontainers.image.ref.name': 'app' };
  const manifests = [{ mediaType: type, ...put(layout, Buffer.from(JSON.stringify(body))), annotations }];
  writeFileSync(path.join(work, layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  writeFileSync(path.join(work, layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
}

/** Seconds of the fastest round: the others waited for something else on the machine. */
function best(work: () => void, after: () => void): string {
  let fastest = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const started = performance.now();
    work();
    fastest = Math.min(fastest, (performance.now() - started) / 1000);
    after();
  }
  return fastest.toFixed(2);
}

run(
  'mksquashfs',
  path.resolve(tree),
  'layer.squashfs',
  '-comp',
  'zstd',
  '-Xcompression-level',
  '9',
  '-no-progress',
  '-quiet',
);
run('tar', '--xattrs', '-C', path.resolve(tree), '-cf', 'layer.tar', '.');
writeImage('squashed', 'layer.squashfs', 'application/vnd.stacker.image.layer.squashfs+zstd');
writeImage('tarred', 'layer.tar', 'application/vnd.oci.image.layer.v1.tar');
const first = run('find', path.resolve(tree), '-type', 'f', '-size', '+0', '-print', '-quit').trim();
const file = path.relative(path.resolve(tree), first);

const rows: (readonly [string, string])[] = [];
for (const engine of ['--kernel', '--fuse']) {
  const mount = () => {
    run(process.execPath, stk, '--oci-dir', 'squashed', 'mount', 'app', 'm', engine);
    readFileSync(path.join(work, 'm', file));
  };
  rows.push([`stk mount ${engine}`, best(mount, () => run(process.execPath, stk, 'umount', 'm'))]);
}
const unpack = () => {
  run('umoci', 'unpack', '--image', 'tarred:app', 'bundle');
  readFileSync(path.join(work, 'bundle/rootfs', file));
};
rows.push(['umoci unpack', best(unpack, () => run('rm', '-rf', 'bundle'))]);
for (const [what, seconds] of rows) console.log(`${what.padEnd(20)} ${seconds.padStart(7)} s`);
