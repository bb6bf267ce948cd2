import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { SHELL } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'tool:busybox');

it('runs independent images side by side, and no more than --jobs', async () => {
  await using rig = await StkRig.open();
  const steps = await rig.steps();
  await rig.write('stacker.yaml', { a: steps.image('a'), b: steps.image('b'), c: steps.image('c') });
  const build = await rig.start(['build', '--jobs', '2']);
  const [a, b] = [await steps.started('a'), await steps.started('b')];
  expect(steps.history.toSorted()).toEqual(['a', 'b']);
  a.finish();
  const c = await steps.started('c');
  c.finish();
  await c.gone;
  b.finish();
  expect(await build.done).toMatchObject({ exitCode: 0 });
  const { manifests } = JSON.parse(await readFile(rig.path('oci/index.json'), 'utf8')) as {
    manifests: readonly { readonly annotations: Readonly<Record<string, string>> }[];
  };
  const tags = manifests.map(({ annotations }) => annotations['org.opencontainers.image.ref.name']);
  expect(tags).toEqual(['a', 'b', 'c']);
});

it('builds what an image needs first', async () => {
  await using rig = await StkRig.open();
  const steps = await rig.steps();
  const top = { ...steps.image('top'), from: { type: 'built', tag: 'base' } };
  await rig.write('stacker.yaml', { top, base: steps.image('base') });
  const build = await rig.start(['build']);
  (await steps.started('base')).finish();
  (await steps.started('top')).finish();
  expect(await build.done).toMatchObject({ exitCode: 0 });
  expect(await rig.ok(['ls', 'top:/'])).toMatch(/^base$[^]*^top$/m);
  expect(await rig.ok(['build', '--order-only'])).toBe('base\ntop\n');
});

it('aborts the siblings of a failure, cleans up, and shows command, status and last lines', async () => {
  await using rig = await StkRig.open();
  const steps = await rig.steps();
  await rig.write('stacker.yaml', {
    bad: steps.image('bad'),
    good: steps.image('good'),
    after: { ...steps.image('after'), from: { type: 'built', tag: 'good' } },
  });
  const build = await rig.start(['build', '--progress', 'plain']);
  const [bad, good] = [await steps.started('bad'), await steps.started('good')];
  bad.finish(7);
  await good.gone;
  const { exitCode, stderr } = await build.done;
  expect(exitCode).toBe(4);
  expect(stderr).toMatch(/bad: .*failed with exit status 7/);
  expect(steps.history).not.toContain('after');
  expect(await rig.ok(['ls'])).toBe('');
});

it('re-runs exactly what depends on a change', async () => {
  await using rig = await StkRig.open();
  const steps = await rig.steps();
  const recipe = (label: string, env: string) => ({
    base: { ...steps.image('base'), labels: { label } },
    left: { ...steps.image('left'), from: { type: 'built', tag: 'base' }, build_env: { env } },
    right: { ...steps.image('right'), from: { type: 'built', tag: 'base' } },
  });
  const build = async (label: string, env: string, expected: readonly string[]) => {
    await rig.write('stacker.yaml', recipe(label, env));
    const before = steps.history.length;
    const running = await rig.start(['build', '--progress', 'plain']);
    for (const name of expected) (await steps.started(name)).finish();
    const { exitCode, stderr } = await running.done;
    expect([exitCode, steps.history.slice(before).toSorted()]).toEqual([0, expected.toSorted()]);
    return stderr;
  };
  await build('1', 'x', ['base', 'left', 'right']);
  const unchanged = await build('1', 'x', []);
  for (const name of ['base', 'left', 'right']) expect(unchanged).toContain(`found cached layer ${name}`);
  expect(await build('1', 'y', ['left'])).toContain('left │ run: not cached: the variable env changed\n');
  // Another label makes another image, but the steps above it see the same files.
  await build('2', 'y', []);
  // Many entries are kept for one image.
  await build('1', 'x', []);
});

it('lets several builds work in one layout', async () => {
  await using rig = await StkRig.open();
  const names = ['one', 'two', 'three'];
  const steps = await rig.steps();
  const builds = await Promise.all(
    names.map(async name => {
      await rig.write(`${name}/stacker.yaml`, { [name]: steps.image(name) });
      return rig.start(['build', '-f', `${name}/stacker.yaml`, '--stk-dir', `.stk-${name}`]);
    }),
  );
  const running = await Promise.all(names.map(name => steps.started(name)));
  for (const step of running) step.finish();
  for (const build of builds) expect(await build.done).toMatchObject({ exitCode: 0 });
  expect((await rig.ok(['ls'])).trim().split('\n').toSorted()).toEqual(names.toSorted());
});

it('has files that images before it make in a bound directory', async () => {
  await using rig = await StkRig.open();
  await rig.write('out/.keep', '');
  await rig.write('stacker.yaml', {
    made: { ...SHELL, binds: ['out -> /out'], run: '#!/bin/busybox sh\n/bin/busybox touch /out/made' },
    app: { from: 'scratch', overlay_dirs: [{ source: 'out', dest: '/opt' }] },
    other: { from: 'scratch', imports: [{ path: 'out/made', dest: '/made' }] },
  });
  await rig.ok(['build', 'app', 'other']);
  expect(await rig.ok(['ls', '-R', 'app:/'])).toContain('opt/made');
  expect(await rig.ok(['ls', '-R', 'other:/'])).toContain('made');
});
