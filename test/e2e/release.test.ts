import { cp } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { script } from '../rig/changed-images.ts';
import { requires } from '../rig/gates.ts';
import { PODMAN_LIMITS, withPodman } from '../rig/podman.ts';
import { StkRig } from '../rig/stk-rig.ts';

const REPOSITORY = path.resolve(import.meta.dirname, '../..');

describe('the image of stk', () => {
  requires('root', 'userns', 'overlay', 'fuse', 'debian-base', 'tool:podman', 'tool:runc');

  it('builds the sample recipe in a container of podman', async () => {
    await using rig = await StkRig.open({ as: 'root' });
    const { node, cli, debianBase } = inject('stk');
    for (const name of ['release', 'schemas', 'package.json', 'LICENSE', 'stacker.yaml']) {
      await cp(path.join(REPOSITORY, name), rig.path(name), { recursive: true });
    }
    await cp(path.dirname(cli), rig.path('dist'), { recursive: true });
    const given = { NODE: node, BASE_TYPE: 'tar', BASE: debianBase! };
    const substitutes = Object.entries(given).flatMap(([name, value]) => ['--substitute', `${name}=${value}`]);
    await rig.ok(['build', '-f', 'release/stacker.yaml', '--layer-type', 'tar', ...substitutes]);
    await script(rig, 'root', 'mkdir work');
    await withPodman(rig, 'root', async (podman, home) => {
      await script(rig, 'root', `ln -s ${rig.path('oci')} ${home}/oci`);
      const image = await script(rig, 'root', `${podman} pull -q oci:${home}/oci:stk`);
      const run = `${podman} run --rm --privileged --network host ${PODMAN_LIMITS} -v ${rig.path('work')}:/work ${image}`;
      const build = 'cp /usr/share/doc/stk/examples/stacker.yaml . && stk build';
      expect(await script(rig, 'root', `${run} sh -c '${build}'`)).toMatch(/^demo sha256:[0-9a-f]{64}$/);
    });
    expect(await rig.ok(['--oci-dir', 'work/oci', 'ls', 'demo:/etc'])).toContain('passwd');
  }, 300_000);
});
