import { readFile, writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FileServerRig, gone, killForGood } from '../../test/rig/file-server.ts';
import { requires } from '../../test/rig/gates.ts';
import type { BlobToServe } from './serve-spec.ts';

const DATA = 600 * 4096;

/** Everything that a shell can see of a served blob: its bytes, and that one flipped bit fails one block. */
const LOOK = (target: string) => `
sha256sum < ${target}/blob
for block in $(seq 0 9); do
  dd if=${target}/flipped bs=4096 skip=$block count=1 status=none of=/dev/null 2>/dev/null || echo wrong $block
done`;

describe('a server of files, as an ordinary user', () => {
  requires('fuse', 'tool:veritysetup');
  let rig: FileServerRig;
  let blobs: BlobToServe[];
  let expected: string;
  beforeAll(async () => {
    rig = await FileServerRig.open('user');
    const blob = await rig.blob('blob', DATA);
    blobs = [blob, { ...(await rig.flipped(blob, 5 * 4096 + 9)), name: 'flipped' }];
    await writeFile(rig.path('data'), (await readFile(blob.path)).subarray(0, DATA));
    expected = (await execa('sh', ['-c', `sha256sum < ${rig.path('data')}`])).stdout;
  });
  afterAll(() => rig[Symbol.asyncDispose]());

  describe('in a user namespace', () => {
    requires('userns', 'tool:squashfuse_ll');
    const namespace = [
      'unshare',
      '--user',
      '--map-root-user',
      '--mount',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
    ];

    it('is mounted with mount(2) and goes with the namespace', async () => {
      const spec = rig.spec(blobs);
      const script = `${rig.starterCommand(spec)} >/dev/null; ${LOOK(spec.target)}`;
      expect(await rig.script('user', script, namespace)).toBe(`${expected}\nwrong 5`);
    });

    it('carries a squashfs that squashfuse_ll mounts', async () => {
      await execa('mksquashfs', ['/usr/share/perl5', rig.path('tree.sqfs'), '-no-progress', '-all-root']);
      const layer = await rig.blob('layer', rig.path('tree.sqfs'));
      const spec = rig.spec([layer]);
      const script = `${rig.starterCommand(spec)} >/dev/null; mkdir view; squashfuse_ll ${spec.target}/layer view
        diff -r --no-dereference /usr/share/perl5 view && echo same`;
      expect(await rig.script('user', script, namespace)).toBe('same');
    });
  });

  describe('in the session itself', () => {
    requires('tool:fusermount3');

    it('is mounted with fusermount3', async () => {
      const spec = rig.spec(blobs);
      const pid = Number(await rig.script('user', rig.starterCommand(spec)));
      expect(await rig.script('user', LOOK(spec.target))).toBe(`${expected}\nwrong 5`);
      await rig.script('user', `fusermount3 -u ${spec.target}`);
      await gone(pid);
    });

    it('is mounted again after it was killed', async () => {
      const spec = rig.spec(blobs);
      const first = Number(await rig.script('user', rig.starterCommand(spec)));
      await killForGood(first);
      const pid = Number(await rig.script('user', rig.starterCommand(spec)));
      expect(await rig.script('user', `sha256sum < ${spec.target}/blob`)).toBe(expected);
      process.kill(pid, 'SIGTERM');
      await gone(pid);
    });

    it('says why fusermount3 would not mount', async () => {
      const spec = { ...rig.spec(blobs), allowOther: true };
      const script = `${rig.starterCommand(spec)} 2>&1 || true`;
      const output = await rig.script('user', script);
      expect(output).toContain('user_allow_other');
      expect(output).toContain("code: 'tool-failed'");
    });

    it('receives the descriptor, and has nothing else of fusermount3 open', async () => {
      const program = await rig.bundle(
        'received',
        `import fs from 'node:fs';
        import { mountDevice } from './src/host/fuse/mount-device.ts';
        const files = () => fs.readdirSync('/proc/self/fd').map(fd => {
          try { return fs.readlinkSync('/proc/self/fd/' + fd); } catch { return ''; }
        });
        const device = await mountDevice(process.argv[2], { allowOther: false, subtype: 'stk' }, 'fusermount3');
        console.log(fs.readlinkSync('/proc/self/fd/' + device.fd));
        console.log(/^flags:\\s*0*2[0-7]{6}$/m.test(fs.readFileSync('/proc/self/fdinfo/' + device.fd, 'utf8')));
        console.log(files().filter(name => name === '/dev/fuse').length);
        await device[Symbol.asyncDispose]();
        console.log(files().filter(name => name === '/dev/fuse').length);`,
      );
      const target = rig.path('received');
      await rig.script('user', `mkdir ${target}`);
      const output = await rig.script('user', `${process.execPath} ${program} ${target}`);
      expect(output.split('\n')).toEqual(['/dev/fuse', 'true', '1', '0']);
      await rig.script('user', `fusermount3 -u -z ${target}`);
    });
  });
});
