import { randomBytes } from 'node:crypto';
import { access, chmod, cp, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { missing } from '../rig/gates.ts';
import { packDirectory, packFile, withVerity, writeImage, type HandmadeLayer } from '../rig/squashfs-image.ts';
import { blobPath, readManifest } from '../rig/tree-listing.ts';

const REPOSITORY = path.resolve(import.meta.dirname, '../..');
const KERNEL = path.join(REPOSITORY, '.cache/test-kernel');
const ROOT = 'io.stackeroci.stacker.atomfs_verity_root_hash';
const BIG_BYTES = 400_000;

/** Why no kernel with device-mapper can be booted here. */
async function missingMachine(): Promise<string | undefined> {
  const tools = await missing('tool:qemu-system-x86_64', 'tool:busybox', 'tool:losetup', 'tool:veritysetup');
  if (tools !== undefined) return tools;
  return access(path.join(KERNEL, 'vmlinuz')).then(
    () => undefined,
    () => 'needs a kernel in .cache/test-kernel; ./setup --tests unpacks one',
  );
}

/**
 * Run by a kernel with device-mapper. Each part says its name on a line of its own; what it prints is compared here, so
 * that the machine has to start once only.
 */
const CHECK = `#!/bin/sh
part() { echo "== $*"; }
names() { cat /sys/block/dm-*/dm/name 2>/dev/null; }
devices() { names | sed 's/-.*//' | uniq -c; ls -d /sys/block/loop*/loop 2>/dev/null | wc -l; }
mount_app() { stk --oci-dir $1 mount app $2 --kernel --verify require; echo "status $?"; }
part mount
mount_app good m
part devices
devices
part listing
stk mounts --json
part read
sha256sum < m/big
cat m/small m/top
part shared
mount_app good n
devices
part write
echo x > m/small || echo refused
part one unmounted
stk umount m; echo "status $?"
devices
cat n/small
part unmounted
stk umount n; echo "status $?"
devices
ls /dev/mapper
part flipped
mount_app flipped m
dmesg -c > /dev/null
part flipped read
sha256sum < m/big
cat m/small m/top
part flipped kernel
dmesg | grep -i verity
part flipped unmounted
stk umount m; echo "status $?"
devices
part other root
mount_app other m
devices
ls -d m
part unmounted by others
mount_app good m
umount m
stk mounts --repair; echo "status $?"
devices
part killed
stk --oci-dir good mount app m --kernel --verify require &
while kill -0 $! && [ -z "$(names)" ]; do :; done
kill -9 $!
wait
stk mounts --repair; echo "status $?"
devices
`;

describe('dm-verity in a kernel that has it', () => {
  let reason: string | undefined;
  let big: Buffer;
  const said = new Map<string, string>();
  const digests: string[] = [];
  let flippedBlock = 0;

  beforeAll(async () => {
    reason = await missingMachine();
    if (reason !== undefined) return;
    const payload = await mkdtemp(path.join(os.tmpdir(), 'stk-machine-'));
    try {
      await makePayload(payload);
      const { cli } = inject('stk');
      const args = [KERNEL, process.execPath, path.dirname(cli), payload];
      const { stdout, stderr } = await execa(path.join(REPOSITORY, 'scripts/dm-verity-vm.sh'), args, { reject: false });
      for (const part of stdout.split(/^== /m).slice(1)) {
        const end = part.indexOf('\n');
        said.set(part.slice(0, end), part.slice(end + 1));
      }
      if (!said.has('killed')) throw new Error(`the machine did not come to the end:\n${stdout}\n${stderr}`);
    } finally {
      await rm(payload, { recursive: true });
    }
  }, 460_000);

  beforeEach(context => context.skip(reason !== undefined, reason));

  async function makePayload(payload: string): Promise<void> {
    big = randomBytes(BIG_BYTES);
    const tree = path.join(payload, 'tree');
    await mkdir(tree);
    await chmod(tree, 0o755);
    await writeFile(path.join(tree, 'big'), big);
    await writeFile(path.join(tree, 'small'), 'small\n');
    const layers: HandmadeLayer[] = [];
    for (const image of [await packDirectory(tree), await packFile('top', 'top\n')]) {
      const { bytes, root } = await withVerity(image);
      layers.push({ bytes, annotations: { [ROOT]: root } });
    }
    const at = (name: string) => path.join(payload, name);
    await writeImage(at('good'), 'app', layers);
    await cp(at('good'), at('flipped'), { recursive: true });
    digests.push(...(await readManifest(at('good'), 'app')).layers.map(layer => layer.digest));
    const file = blobPath(at('flipped'), digests[0]!);
    const place = (await readFile(file)).indexOf(big.subarray(200_000, 200_100));
    flippedBlock = Math.floor(place / 4096);
    const handle = await open(file, 'r+');
    await handle.write(Buffer.from([big[200_000]! ^ 1]), 0, 1, place);
    await handle.close();
    await writeImage(at('other'), 'app', [{ ...layers[0]!, annotations: layers[1]!.annotations! }, layers[1]!]);
    await writeFile(at('check.sh'), CHECK, { mode: 0o755 });
    await rm(tree, { recursive: true });
  }

  /** Lines of a part, blanks squeezed. */
  const lines = (name: string) =>
    (said.get(name) ?? '')
      .trim()
      .split('\n')
      .map(line => line.trim().replace(/ +/g, ' '));

  it('checks each layer of a mount by a device of its own', async () => {
    expect(said.get('mount')).toContain('kernel squashfs and overlay (as asked), blocks checked by dm-verity');
    expect(lines('mount')).toContain('status 0');
    expect(lines('devices')).toEqual(['2 stk', '2']);
    const { mounts } = JSON.parse(said.get('listing')!) as { mounts: object[] };
    expect(mounts).toMatchObject([{ status: 'mounted', method: { layers: 'kernel', verity: 'dm' }, logs: [] }]);
  });

  it('shows what the layers hold, read-only', async () => {
    const { stdout } = await execa('sha256sum', { input: big });
    expect(lines('read')).toEqual([stdout.replace(/ +/, ' '), 'small', 'top']);
    expect(lines('write').at(-1)).toBe('refused');
  });

  it('shares devices between mounts, and closes them with the last one', () => {
    expect(lines('shared').slice(-3)).toEqual(['status 0', '2 stk', '2']);
    expect(lines('one unmounted').slice(-4)).toEqual(['status 0', '2 stk', '2', 'small']);
    expect(lines('unmounted').slice(-3)).toEqual(['status 0', '0', 'control']);
  });

  it('fails reads of a block with one wrong bit, and of no other', () => {
    expect(lines('flipped')).toContain('status 0');
    expect(said.get('flipped read')).toMatch(/(Input\/output|I\/O) error/);
    expect(lines('flipped read').slice(-2)).toEqual(['small', 'top']);
    expect(said.get('flipped kernel')).toMatch(new RegExp(`data block ${flippedBlock} is corrupted`));
    expect(lines('flipped unmounted').slice(-2)).toEqual(['status 0', '0']);
  });

  it('mounts nothing whose root hash is another', () => {
    expect(lines('other root')).toContain('status 7');
    expect(said.get('other root')).toContain(digests[0]!.slice('sha256:'.length));
    expect(lines('other root').slice(-2)).toEqual(['0', expect.stringContaining('No such file')]);
  });

  it('leaves no device behind after a stranger unmounted, or kill -9', () => {
    expect(lines('unmounted by others').slice(-2)).toEqual(['status 0', '0']);
    expect(lines('killed').slice(-2)).toEqual(['status 0', '0']);
  });
});
