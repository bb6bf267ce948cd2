import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import type { Settings } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { blobPath } from '../rig/tree-listing.ts';
import type { Actor } from '../rig/users.ts';

requires('emulators', 'overlay', 'fuse', 'tool:busybox', 'tool:qemu-aarch64-static', 'tool:skopeo');

const HOST = process.arch === 'arm64' ? 'arm64' : 'amd64';
const FOREIGN = HOST === 'arm64' ? 'amd64' : 'arm64';
const MACHINES: Readonly<Record<string, string>> = { amd64: 'x86_64', arm64: 'aarch64' };
/** Made by `./setup --tests`. */
const FOREIGN_BUSYBOX = path.resolve(import.meta.dirname, '../../.cache/foreign/busybox');

/** A shell of each platform, and an image on it whose step asks what machine it runs on. */
function recipe(app: Settings): Record<string, Settings> {
  return {
    shell: {
      from: 'scratch',
      build_only: true,
      imports: [{ path: 'busybox-${{STK_ARCH}}', dest: '/bin/busybox', mode: '0755' }],
      run: '#!/bin/busybox sh\n/bin/busybox --install -s /bin',
    },
    app: { from: { type: 'built', tag: 'shell' }, ...app },
  };
}

async function openRig(actor: Actor): Promise<StkRig> {
  const rig = await StkRig.open({ as: actor });
  await rig.write(`busybox-${HOST}`, await readFile('/bin/busybox'));
  await rig.write(`busybox-${FOREIGN}`, await readFile(FOREIGN_BUSYBOX));
  return rig;
}

interface Index {
  readonly mediaType: string;
  readonly manifests: readonly {
    readonly digest: string;
    readonly platform: { readonly os: string; readonly architecture: string };
  }[];
}

async function readIndex(rig: StkRig, digest: string): Promise<Index> {
  return JSON.parse(await readFile(blobPath(rig.path('oci'), digest), 'utf8')) as Index;
}

describe.each<Actor>(['root', 'user'])('as %s', actor => {
  requires(actor);

  it('builds an index of a platform of its own and a foreign one, and finds both again', async () => {
    await using rig = await openRig(actor);
    const run = 'uname -m >/machine; touch /file; chown 33:44 /file; id -u >/user';
    const images = recipe({ run, platforms: [`linux/${FOREIGN}`, `linux/${HOST}`] });
    await rig.write('stacker.yaml', { ...images, other: { ...images['app'], platforms: `linux/${FOREIGN}` } });
    const first = await rig.ok(['build']);
    const digest = /^app (.*)$/m.exec(first)![1]!;
    const { mediaType, manifests } = await readIndex(rig, digest);
    expect(mediaType).toBe('application/vnd.oci.image.index.v1+json');
    expect(manifests.map(({ platform }) => platform)).toEqual(
      [HOST, FOREIGN].map(architecture => ({ os: 'linux', architecture })),
    );
    for (const [at, architecture] of [HOST, FOREIGN].entries()) {
      const manifest = JSON.parse(await readFile(blobPath(rig.path('oci'), manifests[at]!.digest), 'utf8')) as {
        readonly layers: readonly { readonly digest: string }[];
      };
      const top = blobPath(rig.path('oci'), manifest.layers.at(-1)!.digest);
      const machine = await execa('unsquashfs', ['-cat', top, 'machine', 'user']);
      expect(machine.stdout).toBe(`${MACHINES[architecture]}\n0`);
      expect((await execa('unsquashfs', ['-lln', top, 'file'])).stdout).toMatch(/ 33\/44 .* squashfs-root\/file$/m);
      const seen = await execa('skopeo', ['inspect', '--override-arch', architecture, `oci:${rig.path('oci')}:app`]);
      expect(JSON.parse(seen.stdout)).toMatchObject({ Architecture: architecture, Os: 'linux' });
    }
    expect(await rig.ok(['build'])).toBe(first);
    // A name alone is what this host can run, where there is that.
    for (const [name, architecture] of [
      ['app', HOST],
      ['other', FOREIGN],
    ] as const) {
      await rig.ok(['grab', `${name}:/machine`, `${name}-machine`]);
      expect(await readFile(rig.path(`${name}-machine`), 'utf8')).toBe(`${MACHINES[architecture]}\n`);
    }
  });

  it('runs the programs of a foreign image in a place where the host has none of its own', async () => {
    await using rig = await openRig(actor);
    // A program finds the name that it was started by, which busybox goes by.
    await rig.write('stacker.yaml', recipe({ run: 'test "$(sh -c \'exec -a uname sh\')" = Linux' }));
    const before = (
      await execa('sh', ['-c', 'ls /proc/sys/fs/binfmt_misc 2>&1; grep binfmt /proc/self/mounts || true'])
    ).stdout;
    const [, digest] = (await rig.ok(['build', '--platform', `linux/${FOREIGN}`])).trim().split(' ');
    expect(await rig.ok(['inspect', `app@${digest}`, '--platform', `linux/${FOREIGN}`])).toContain(`linux/${FOREIGN}`);
    expect(
      (await execa('sh', ['-c', 'ls /proc/sys/fs/binfmt_misc 2>&1; grep binfmt /proc/self/mounts || true'])).stdout,
    ).toBe(before);
  });
});

describe('what platforms are', () => {
  requires('root');

  it('an image with an architecture of its own has that one', async () => {
    await using rig = await openRig('root');
    await rig.write('stacker.yaml', { app: { from: 'scratch', arch: 's390x' } });
    const both = `linux/${HOST},linux/${FOREIGN}`;
    const [, digest = ''] = (await rig.ok(['build', '--platform', both])).trim().split(' ');
    expect(await readIndex(rig, digest)).toMatchObject({ mediaType: 'application/vnd.oci.image.manifest.v1+json' });
  });

  it.each(['linux', 'linux/', 'linux/arm64/v8/x', ''])('refuses %j', async platform => {
    await using rig = await openRig('root');
    await rig.write('stacker.yaml', { app: { from: 'scratch' } });
    const { exitCode, stderr } = await rig.stk(['build', '--platform', platform]);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('no platform');
  });
});
