// Whether ten mounts of one image share the page cache, beside ten unpacked copies of it. Run as root:
//
//   npm run bench page-cache [MEGABYTES]
//
// The first of the ten is read, and what the kernel then has in memory of the first and of the tenth is counted.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { packDirectory, withVerity, writeImage } from '../test/rig/squashfs-image.ts';

const megabytes = Number(process.argv[2] ?? 100);
const COPIES = 10;
const stk = path.resolve('dist/stk.js');
// On a disk: what lies in a tmpfs is always in memory.
const work = mkdtempSync('/var/tmp/stk-bench-');
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
const run = (file: string, ...args: readonly string[]) => execFileSync(file, args, { cwd: work, stdio: 'pipe' });
const each = Array.from({ length: COPIES }, (_, n) => n);

mkdirSync(path.join(work, 'tree'));
for (let n = 0; n < megabytes; n++) writeFileSync(path.join(work, `tree/file-${n}`), randomBytes(1 << 20));
const { bytes, root } = await withVerity(await packDirectory(path.join(work, 'tree'), 'zstd'));
const annotations = { 'io.stackeroci.stacker.atomfs_verity_root_hash': root };
await writeImage(path.join(work, 'oci'), 'app', [{ bytes, annotations }]);

/** MiB of the files below a directory, or of one file, that lie in the page cache (mincore(2)). */
function resident(place: string): number {
  const list = run('sh', '-c', `find ${place} -type f -exec fincore --bytes --noheadings --output RES {} +`).toString();
  return list.split('\n').reduce((sum, line) => sum + Number(line), 0) / (1 << 20);
}

function forget(): void {
  run('sync');
  writeFileSync('/proc/sys/vm/drop_caches', '3');
}

const readAll = (directory: string) => run('sh', '-c', `find ${directory} -type f -exec cat {} + > /dev/null`);
const rows: (readonly [string, ...number[]])[] = [];
for (const flags of [['--kernel', '--verify', 'off'], ['--kernel'], ['--fuse', '--verify', 'off'], ['--fuse']]) {
  for (const n of each) run(process.execPath, stk, '--oci-dir', 'oci', 'mount', 'app', `m${n}`, ...flags);
  forget();
  readAll('m0');
  const sizes = [resident('m0'), resident(`m${COPIES - 1}`), resident('oci/blobs')];
  rows.push([`stk mount ${flags.join(' ')}`, ...sizes]);
  for (const n of each) run(process.execPath, stk, 'umount', `m${n}`);
}
for (const n of each) run('cp', '-r', 'tree', `copy-${n}`);
forget();
readAll('copy-0');
rows.push(['unpacked copies', resident('copy-0'), resident(`copy-${COPIES - 1}`), 0]);

console.log(`${megabytes} MiB of files that do not compress, there ten times; the first was read\n`);
console.log('| what | MiB cached of the first | of the tenth | of the blobs |\n| --- | --- | --- | --- |');
for (const [what, ...sizes] of rows) console.log(`| ${what} | ${sizes.map(size => size.toFixed(0)).join(' | ')} |`);
