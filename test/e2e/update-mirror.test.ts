import { cp } from 'node:fs/promises';
import { execa } from 'execa';
import { expect, inject, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { blobPath, differences, listImage, readManifest } from '../rig/tree-listing.ts';

requires('root', 'overlay', 'kernel-squashfs', 'debian-base');

/** Logs, caches, and what dpkg and the tools for accounts keep of the state before their last run. */
const EXCEPT = /^(var\/log\/|var\/cache\/|var\/lib\/dpkg\/[a-z]+-old$|etc\/(passwd|group|shadow|gshadow)-$)/;

/** Debian publishes updates of them often; the base has `tzdata`, in the version of the day on which it was made. */
const PACKAGES = ['openssl', 'libssl3', 'tzdata'];

/** An image applies the packages in the version that stands at one end of the mirror's list, and installs more on them. */
async function build(rig: StkRig, end: 'head' | 'tail'): Promise<void> {
  const version = (name: string) => `$(apt-cache madison ${name} | cut -d'|' -f2 | tr -d ' ' | sort -V | ${end} -1)`;
  const debian = { type: 'built', tag: 'debian' };
  const quiet = 'export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8';
  const install = 'apt-get install -y --no-install-recommends --allow-downgrades';
  await rig.write('stacker.yaml', {
    debian: { from: { type: 'tar', url: inject('stk').debianBase }, run: 'apt-get update' },
    ssl: { from: debian, run: [quiet, `${install} ${PACKAGES.map(name => `${name}=${version(name)}`).join(' ')}`] },
    app: { from: debian, apply: ['ssl'], run: [quiet, `${install} ca-certificates`, 'useradd --uid 1234 app'] },
  });
  await rig.ok(['build']);
}

async function versions(layout: string): Promise<readonly string[]> {
  const { layers } = await readManifest(layout, 'ssl');
  const { stdout } = await execa('unsquashfs', [
    '-cat',
    blobPath(layout, layers.at(-1)!.digest),
    'var/lib/dpkg/status',
  ]);
  return stdout
    .split('\n\n')
    .filter(stanza => PACKAGES.includes(/^Package: (.*)$/m.exec(stanza)?.[1] ?? ''))
    .map(stanza => /^Version: (.*)$/m.exec(stanza)![1]!);
}

it('makes of the oldest packages of a mirror what a build with the newest makes', { timeout: 600_000 }, async () => {
  await using rig = await StkRig.open();
  const [rebuilt, updated] = [rig.path('oci'), rig.path('updated')];
  await build(rig, 'head');
  await cp(rebuilt, updated, { recursive: true });
  await build(rig, 'tail');
  const [old, now] = [await versions(updated), await versions(rebuilt)];
  expect(old).toHaveLength(PACKAGES.length);
  expect(now).not.toEqual(old);
  await rig.ok(['publish', 'ssl', 'oci:updated:ssl']);
  const own = (await readManifest(updated, 'app')).layers.at(-1);
  await rig.ok(['--oci-dir', 'updated', 'update', 'app', '--apply', 'ssl']);
  expect((await readManifest(updated, 'app')).layers).toContainEqual(own);
  expect(differences(await listImage(rebuilt, 'app'), await listImage(updated, 'app'), EXCEPT)).toEqual([]);
});
