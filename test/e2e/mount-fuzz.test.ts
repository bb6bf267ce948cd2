import { readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { packDirectory, withVerity, writeImage, type HandmadeLayer } from '../rig/squashfs-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

const ROOT = 'io.stackeroci.stacker.atomfs_verity_root_hash';
const KNOWN_EXITS = [0, 6, 7, 8, 9, 10, 11];
const SUPERBLOCK_BYTES = 96;
const INODE_TABLE = 64;
const BYTES_USED = 40;

// The seed is printed, so that a failure can be had again: STK_FUZZ_SEED=N STK_FUZZ_CASES=1.
const cases = Number(process.env['STK_FUZZ_CASES'] ?? 8);
const firstSeed = Number(process.env['STK_FUZZ_SEED'] ?? 20_240_229);

/** Numbers that follow from a seed (a multiplicative congruential generator), below a bound. */
function numbers(seed: number): (bound: number) => number {
  let state = (seed % 2_147_483_646) + 1;
  return bound => {
    state = (state * 48_271) % 2_147_483_647;
    return state % bound;
  };
}

/** Changes some bytes of the superblock or of the metadata. */
function damage(image: Buffer, seed: number): Buffer {
  const next = numbers(seed * 7919);
  for (let n = 0; n < 10; n++) next(2);
  const bytes = Buffer.from(image);
  const metadata = Number(bytes.readBigUInt64LE(INODE_TABLE));
  const end = Number(bytes.readBigUInt64LE(BYTES_USED));
  const inSuperblock = next(4) === 0;
  for (let changes = 1 + next(inSuperblock ? 2 : 16); changes > 0; changes--) {
    // The magic stays: without it nothing would be looked at.
    const at = inSuperblock ? 4 + next(SUPERBLOCK_BYTES - 4) : metadata + next(end - metadata);
    bytes[at] = next(3) === 0 ? (bytes[at] ?? 0) ^ (1 << next(8)) : next(256);
  }
  return bytes;
}

async function makeImage(rig: StkRig): Promise<Buffer> {
  for (let n = 0; n < 40; n++) {
    await rig.write(`tree/directory-${n % 5}/file-${n}`, `${'content '.repeat(n * 200)}${n}\n`);
  }
  await execa('ln', ['-s', 'directory-0/file-0', rig.path('tree/link')]);
  await execa('setfattr', ['-n', 'user.note', '-v', 'text', rig.path('tree/directory-1/file-1')], { reject: false });
  return packDirectory(rig.path('tree'));
}

interface Listing {
  readonly mounts: readonly { readonly target: string; readonly status: string; readonly logs: readonly string[] }[];
}

describe('damaged squashfs metadata through FUSE', () => {
  requires('root', 'user', 'fuse', 'tool:squashfuse_ll', 'tool:veritysetup');

  it.each(['off', 'auto'])(
    'ends in files or errors, and nothing of stk dies or hangs: --verify %s',
    async verify => {
      await using rig = await StkRig.open({ as: 'root' });
      const image = await makeImage(rig);
      for (let seed = firstSeed; seed < firstSeed + cases; seed++) {
        const what = `STK_FUZZ_SEED=${seed} STK_FUZZ_CASES=1, --verify ${verify}`;
        console.log(what);
        const damaged = damage(image, seed);
        const { bytes, root } = await withVerity(damaged);
        const layer: HandmadeLayer = { bytes, annotations: { [ROOT]: root } };
        const layout = rig.path(`oci-${seed}`);
        await writeImage(layout, 'app', [layer]);
        const args = ['--oci-dir', layout, 'mount', 'app', 'm', '--fuse', '--verify', verify];
        const mounted = await rig.stk(args);
        expect(KNOWN_EXITS, `${what}\n${mounted.stderr}`).toContain(mounted.exitCode);
        expect(mounted.stderr, what).not.toMatch(/\bat .*\.js:\d+/);
        if (mounted.exitCode !== 0) continue;
        const before = await serverOf(rig);
        // squashfuse may fail and even end; whatever it asks, the server below it goes on.
        const look =
          'timeout 20 find . -printf "%p %s %l\\\\n" -type f -exec cat {} + ; timeout 20 getfattr -Rd -m - .';
        await execa('sh', ['-c', `cd m && { ${look}; }`], {
          cwd: rig.directory,
          reject: false,
          buffer: false,
          stdio: 'ignore',
        });
        expect(await serverOf(rig), what).toEqual(before);
        const gone = await rig.stk(['umount', 'm']);
        expect(gone.exitCode, `${what}\n${gone.stderr}`).toBe(0);
      }
    },
    900_000,
  );

  /** The process that serves, and what it logged of itself. */
  async function serverOf(rig: StkRig): Promise<object | undefined> {
    const { mounts } = JSON.parse(await rig.ok(['mounts', '--json'])) as Listing;
    const log = mounts.find(mount => mount.target.startsWith(rig.directory))?.logs[0];
    if (log === undefined) return undefined;
    const { pid } = JSON.parse(await readFile(log.replace(/log$/, 'json'), 'utf8')) as { pid: number };
    process.kill(pid, 0);
    expect(await readFile(log, 'utf8')).not.toMatch(/"fault"|resumed/);
    return { pid };
  }
});
