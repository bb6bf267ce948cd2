import { mkdir, open, readFile, rename, rm, symlink } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { packFile, writeImage } from '../rig/squashfs-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { blobPath, readManifest } from '../rig/tree-listing.ts';

const EXIT = { integrity: 7, input: 9 } as const;
type Role = 'layer' | 'config' | 'manifest';

/** What lies in a blob's place; the bytes themselves are beside it. */
const KINDS = {
  'a pipe': (file: string) => execa('mkfifo', [file]),
  'a link to an endless device': (file: string) => symlink('/dev/zero', file),
  'a directory': (file: string) => mkdir(file),
  'a file of a terabyte': async (file: string) => {
    await using handle = await open(file, 'wx');
    await handle.truncate(2 ** 40);
  },
} as const;
type Kind = keyof typeof KINDS;

async function openImage(kind: Kind, role: Role): Promise<StkRig> {
  const rig = await StkRig.open();
  const layout = rig.path('oci');
  await writeImage(layout, 'good', [{ bytes: await packFile('file', 'other content') }]);
  const manifest = await writeImage(layout, 'x', [{ bytes: await packFile('file', 'content') }]);
  const { layers } = await readManifest(layout, 'x');
  const { config } = JSON.parse(await readFile(blobPath(layout, manifest), 'utf8')) as { config: { digest: string } };
  const digest = { layer: layers[0]!.digest, config: config.digest, manifest }[role];
  const file = blobPath(layout, digest);
  await rename(file, rig.path('aside'));
  await rm(file, { force: true });
  await KINDS[kind](file);
  return rig;
}

const COMMANDS: Readonly<Record<string, { readonly args: readonly string[]; readonly reads: readonly Role[] }>> = {
  inspect: { args: ['inspect', 'x'], reads: ['config', 'manifest'] },
  verify: { args: ['verify', 'x'], reads: ['layer', 'config', 'manifest'] },
  convert: { args: ['convert', 'oci:oci:x', 'oci:copy:x'], reads: ['layer', 'config', 'manifest'] },
  'convert to tar': { args: ['convert', '--layer-type', 'tar', 'oci:oci:x', 'oci:copy:y'], reads: ['layer', 'config'] },
  mount: { args: ['mount', 'x', 'm'], reads: ['layer', 'manifest'] },
  ls: { args: ['ls', 'x:/'], reads: ['layer', 'manifest'] },
  diff: { args: ['diff', 'x', 'good'], reads: ['layer', 'manifest'] },
  build: { args: ['build'], reads: ['layer', 'config'] },
};

describe('a blob that is no regular file, or one without an end,', () => {
  requires('root', 'fuse', 'tool:mkfifo');

  it.each<[Kind, Role, readonly string[]]>([
    ['a pipe', 'layer', Object.keys(COMMANDS)],
    ['a pipe', 'config', ['inspect', 'verify', 'convert', 'build']],
    ['a pipe', 'manifest', ['verify', 'mount', 'diff']],
    ['a link to an endless device', 'layer', ['verify', 'mount', 'convert to tar']],
    ['a link to an endless device', 'config', ['inspect', 'convert']],
    ['a directory', 'layer', ['verify', 'convert', 'mount', 'build']],
    ['a directory', 'config', ['inspect']],
    ['a file of a terabyte', 'layer', ['verify', 'convert to tar', 'mount']],
    ['a file of a terabyte', 'config', ['inspect', 'build']],
    ['a file of a terabyte', 'manifest', ['ls']],
  ])('%s as %s is refused without being waited for', async (kind, role, names) => {
    await using rig = await openImage(kind, role);
    await rig.write('stacker.yaml', { a: { from: { type: 'oci', url: 'oci:oci:x' }, run: 'true' } });
    for (const name of names) {
      const { args, reads } = COMMANDS[name]!;
      if (!reads.includes(role)) continue;
      const { exitCode, stderr } = await rig.stk(args);
      const status = kind === 'a file of a terabyte' ? EXIT.integrity : EXIT.input;
      expect([name, exitCode], stderr).toEqual([name, status]);
    }
    await rig.ok(['gc', '--dry-run']);
  });
});
