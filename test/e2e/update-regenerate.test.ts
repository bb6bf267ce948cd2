import { execa } from 'execa';
import { expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { inspectImage } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import type { Actor } from '../rig/users.ts';

requires('userns', 'overlay', 'fuse', 'tool:busybox');

const SCHEMAS = '/usr/share/glib-2.0/schemas';

/** A program that makes one file of all that lie beside it, under a name that stk knows. */
const COMPILE = `#!/bin/sh\ncat $1/*.xml > $1/gschemas.compiled\n`;

async function writeRecipe(rig: StkRig, ssl: string): Promise<void> {
  const add = (name: string, content: string) =>
    `echo '${content}' > ${SCHEMAS}/${name}.xml; glib-compile-schemas ${SCHEMAS}`;
  const base = { type: 'built', tag: 'base' };
  await rig.write('stacker.yaml', {
    base: {
      from: 'scratch',
      imports: [
        { path: '/bin/busybox', dest: '/bin/busybox', mode: '0755' },
        { content: COMPILE, dest: '/usr/bin/glib-compile-schemas', mode: '0755' },
      ],
      run: `#!/bin/busybox sh\n/bin/busybox --install -s /bin\nmkdir -p ${SCHEMAS} /tmp\necho base > ${SCHEMAS}/a.xml\nglib-compile-schemas ${SCHEMAS}`,
    },
    ssl: { from: base, run: add('ssl', ssl) },
    app: { from: base, apply: ['ssl'], run: add('own', 'own') },
  });
}

it.each<Actor>(['root', 'user'])(
  "runs the image's own program where only that can make a file anew, as %s",
  async as => {
    await using rig = await StkRig.open({ as });
    await writeRecipe(rig, 'one');
    await rig.ok(['build']);
    await writeRecipe(rig, 'two');
    await rig.ok(['build', 'ssl']);
    const stdout = await rig.ok(['update', 'app', '--apply', 'ssl', '--json']);
    const [{ merged }] = JSON.parse(stdout) as [{ merged: { path: string; driver: string }[] }];
    expect(merged).toMatchObject([{ path: `${SCHEMAS}/gschemas.compiled`, driver: 'generated' }]);
    const { layers } = await inspectImage(rig, 'app');
    expect(layers.at(-1)?.role).toBe('update');
    const blob = rig.path('oci/blobs/sha256', layers.at(-1)!.digest.slice('sha256:'.length));
    const made = await execa('unsquashfs', ['-cat', blob, `${SCHEMAS.slice(1)}/gschemas.compiled`]);
    expect(made.stdout).toBe('base\nown\ntwo');
  },
);

it('cannot do that on a registry, and says so', async () => {
  await using rig = await StkRig.open();
  await using registry = await rig.registry();
  const at = (name: string) => `docker://${registry.host}/${name}`;
  await writeRecipe(rig, 'one');
  await rig.ok(['build']);
  for (const name of ['ssl', 'app']) await rig.ok(['publish', name, `${at(name)}:1`]);
  await writeRecipe(rig, 'two');
  await rig.ok(['build', 'ssl']);
  await rig.ok(['publish', 'ssl', `${at('ssl')}:2`]);
  const update = ['update', `${at('app')}:1`, '--apply', `ssl=${at('ssl')}:2`];
  const { exitCode, stderr } = await rig.stk(update);
  expect(exitCode).toBe(9);
  expect(stderr).toMatch(/gschemas\.compiled anew.*copy the image into a layout/s);
  await rig.ok([...update, '--conflict', '**/gschemas.compiled=last']);
});
