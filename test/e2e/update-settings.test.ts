import { describe, expect, it } from 'vitest';
import { StkRig } from '../rig/stk-rig.ts';

interface Image {
  readonly digest: string;
  readonly config: { readonly config?: Readonly<Record<string, unknown>> };
}

const file = (content: string, dest: string) => ({ imports: [{ content, dest }] });
const OLD = { environment: { A: '1', PATH: '/bin' }, labels: { v: '1' }, volumes: ['/gone'] };
const NEW = {
  environment: { A: '2', B: 'new', PATH: '/bin:/opt/bin' },
  labels: { v: '2' },
  runtime_user: '1000',
  working_dir: '/srv',
};
const APP = { environment: { PATH: '/app:/bin', OWN: 'x' }, labels: { app: 'yes' }, cmd: ['/app/run'] };

function recipe(name: string, base: object, app: object): object {
  return {
    [name]: { from: { type: 'scratch' }, ...file(name, '/base'), ...base },
    app: { from: { type: 'built', tag: name }, ...file('app', '/app/run'), ...app },
  };
}

async function settings(rig: StkRig, tag: string): Promise<Image['config']['config']> {
  return (JSON.parse(await rig.ok(['inspect', tag, '--json'])) as Image).config.config;
}

/** Builds app on an old base; then, in another layout, on the new one, and brings only the new base over. */
async function openApp(base: object, app: object): Promise<StkRig> {
  const rig = await StkRig.open();
  await rig.write('stacker.yaml', recipe('base', OLD, APP));
  await rig.ok(['build']);
  await rig.write('new/stacker.yaml', recipe('base2', base, app));
  await rig.ok(['--oci-dir', 'rebuilt', 'build', '-f', 'new/stacker.yaml']);
  await rig.ok(['convert', 'oci:rebuilt:base2', 'oci:oci:base2']);
  return rig;
}

describe('an image on a new base', () => {
  it('has the settings that a build on it would give', async () => {
    await using rig = await openApp(NEW, { ...APP, environment: { PATH: '/app:/bin:/opt/bin', OWN: 'x' } });
    await rig.ok(['update', 'app', '--base', 'base2']);
    const updated = await settings(rig, 'app');
    expect(updated).toEqual(await settings(rig, 'oci:rebuilt:app'));
    expect(updated).toMatchObject({ User: '1000', WorkingDir: '/srv', Labels: { v: '2', app: 'yes' } });
    expect(await rig.ok(['update', 'app', '--base', 'base2'])).toMatch(/up to date/);
  });

  it('keeps a setting that both changed only where a rule says whose', async () => {
    await using rig = await openApp({ ...NEW, cmd: ['/bin/theirs'], labels: { v: '2', app: 'no' } }, APP);
    const before = await rig.ok(['inspect', 'app', '--json']);
    const { exitCode, stderr } = await rig.stk(['update', 'app', '--base', 'base2']);
    expect(exitCode).toBe(12);
    expect(stderr).toMatch(/config\.Cmd: .*"\/bin\/theirs".*"\/app\/run"/);
    expect(stderr).toMatch(/config\.Labels\.app: .*"no".*"yes"/);
    expect(await rig.ok(['inspect', 'app', '--json'])).toBe(before);
    const rules = ['--conflict', 'config.Cmd=last', '--conflict', 'config.Labels.*=first'];
    await rig.ok(['update', 'app', '--base', 'base2', ...rules]);
    expect(await settings(rig, 'app')).toMatchObject({
      Cmd: ['/app/run'],
      Labels: { v: '2', app: 'no' },
      User: '1000',
    });
  });
});

describe('an image that was committed', () => {
  it('of one that applies others is updated like that one', async () => {
    await using rig = await StkRig.open();
    await rig.write('stacker.yaml', {
      base: { from: { type: 'scratch' }, ...file('base', '/base') },
      s1: { from: { type: 'built', tag: 'base' }, ...file('one', '/s') },
      s2: { from: { type: 'built', tag: 'base' }, ...file('two', '/s') },
      t1: { from: { type: 'built', tag: 'base' }, ...file('t', '/t') },
      app: { from: { type: 'built', tag: 'base' }, apply: ['s1', 't1'] },
    });
    await rig.ok(['build']);
    await rig.write('changes/x', 'x');
    await rig.ok(['commit', 'changes', 'com', '--base', 'app']);
    await rig.ok(['update', 'com', '--apply', 's1=s2']);
    const { layers } = JSON.parse(await rig.ok(['inspect', 'com', '--json'])) as { layers: { role: string }[] };
    expect(layers.map(layer => layer.role)).toEqual(['base', 'apply', 'apply', 'commit']);
    expect(await rig.ok(['ls', 'com:/'])).toBe(await rig.ok(['ls', 'app:/']).then(list => `${list}x\n`));
    expect(await rig.ok(['diff', 'app', 'com', '--json'])).toContain('"path":"/s"');
  });

  it('of any other stands on that one, and takes its next version as a whole', async () => {
    await using rig = await StkRig.open();
    await rig.write('stacker.yaml', {
      app: { from: { type: 'scratch' }, ...file('one', '/a') },
      app2: { from: { type: 'scratch' }, ...file('two', '/b') },
    });
    await rig.ok(['build']);
    await rig.write('changes/x', 'x');
    await rig.ok(['commit', 'changes', 'com', '--base', 'app']);
    await rig.ok(['update', 'com', '--base', 'app2']);
    expect(await rig.ok(['ls', 'com:/'])).toBe('b\nx\n');
  });
});
