// Reads through stk's file server, verified and not, beside squashfuse_ll on the same bytes and the plain file.
// Run it with a Node that reads TypeScript (24 or newer): node bench/fuse-server.ts [MEGABYTES] [ROUNDS]
// Needs root (to drop the page cache), veritysetup, mksquashfs, squashfuse_ll.
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { FileServerRig, gone } from '../test/rig/file-server.ts';

const megabytes = Number(process.argv[2] ?? 256);
const rounds = Number(process.argv[3] ?? 3);
const RANDOM_READS = 4000;

await using rig = await FileServerRig.open();
const blob = await rig.blob('blob', megabytes << 20);
await mkdir(rig.path('tree'));
await writeFile(rig.path('tree', 'blob'), (await readFile(blob.path)).subarray(0, megabytes << 20));
// Uncompressed, so that squashfuse only copies: the fairest it can be.
await execa('mksquashfs', [rig.path('tree'), rig.path('plain.sqfs'), '-no-progress', '-noD', '-noI', '-noF']);
const server = await rig.start([blob, { ...blob, name: 'unchecked', unchecked: true }]);
await mkdir(rig.path('squashfuse'));
await execa('squashfuse_ll', [rig.path('plain.sqfs'), rig.path('squashfuse')]);

const subjects = [
  ['plain file', rig.path('tree', 'blob')],
  ['squashfuse_ll', rig.path('squashfuse', 'blob')],
  ['stk, unchecked', `${server.target}/unchecked`],
  ['stk, verified', `${server.target}/blob`],
] as const;

/** Pages of the subject leave the cache, those of the file below it stay: the server is measured and not the disk. */
async function forget(file: string): Promise<void> {
  await execa('sync');
  await execa('sh', ['-c', 'echo 1 > /proc/sys/vm/drop_caches']);
  if (file !== subjects[0][1]) await execa('sh', ['-c', `cat ${blob.path} ${rig.path('plain.sqfs')} > /dev/null`]);
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - start) / 1e9;
}

const sequential = (file: string) => execa('dd', [`if=${file}`, 'of=/dev/null', 'bs=1M', 'status=none']);

async function random(file: string): Promise<void> {
  const handle = await open(file, 'r');
  const buffer = Buffer.alloc(4096);
  const blocks = megabytes * 256;
  for (let n = 0, at = 1; n < RANDOM_READS; n++) {
    at = (at * 48_271) % 2_147_483_647;
    await handle.read(buffer, 0, buffer.length, (at % blocks) * 4096);
  }
  await handle.close();
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

console.log(`${megabytes} MiB, ${rounds} rounds, Node ${process.version}`);
const times = new Map<string, number[]>();
const note = (key: string, value: number) => times.set(key, [...(times.get(key) ?? []), value]);
// Rounds go round the subjects, so that a busy moment of the machine hits all alike.
for (let round = 0; round < rounds; round++) {
  for (const [name, file] of subjects) {
    await forget(file);
    note(`sequential ${name}`, await seconds(() => sequential(file)));
    note(`cached ${name}`, await seconds(() => sequential(file)));
    await forget(file);
    note(`random ${name}`, await seconds(() => random(file)));
  }
}
for (const kind of ['sequential', 'cached', 'random']) {
  const base = median(times.get(`${kind} squashfuse_ll`)!);
  for (const [name] of subjects) {
    const value = median(times.get(`${kind} ${name}`)!);
    const rate =
      kind === 'random' ? `${Math.round(RANDOM_READS / value)} reads/s` : `${Math.round(megabytes / value)} MiB/s`;
    console.log(
      `${kind.padEnd(10)} ${name.padEnd(16)} ${rate.padStart(16)}  ${(base / value).toFixed(2)} x squashfuse_ll`,
    );
  }
}
await execa('umount', [rig.path('squashfuse')]);
await execa('umount', [server.target]);
await gone(server.pid);
