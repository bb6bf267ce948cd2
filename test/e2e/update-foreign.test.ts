import { readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { tagDigest } from '../rig/applied-app.ts';
import { requires } from '../rig/gates.ts';
import { inRole, layerDigest, tarFiles, writeStack, type StackLayer } from '../rig/stack-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { readManifest } from '../rig/tree-listing.ts';

requires('root', 'tool:umoci', 'tool:skopeo');

interface ForeignApp {
  readonly base: StackLayer;
  readonly tool: StackLayer;
  readonly own: StackLayer;
}

/** An image as other builders make them: tar layers, no word of what they are, one of them shared with `tool`. */
async function writeForeign(rig: StkRig): Promise<ForeignApp> {
  const base = await tarFiles({ 'etc/os': 'one\n', 'etc/lines': 'a\nb\nc\nd\ne\nf\n', 'lib/gone': 'x' });
  const tool = await tarFiles({ 'opt/tool': 'tool 1\n', 'opt/old': 'o' });
  const own = await tarFiles({ 'srv/app': 'app', 'etc/lines': 'a\nb\nc\nd\ne\nF\n', 'lib/gone': undefined });
  const oci = rig.path('oci');
  const history = ['base 1', 'COPY tool', 'COPY app'];
  await writeStack(oci, 'debian-1', {
    layers: [base],
    config: { Env: ['PATH=/bin', 'V=1'] },
    createdBy: history.slice(0, 1),
  });
  await writeStack(oci, 'tool-1', { layers: [base, tool], createdBy: history.slice(0, 2) });
  await writeStack(oci, 'app', {
    layers: [base, tool, own],
    config: { Env: ['PATH=/bin', 'V=1', 'OWN=1'], Cmd: ['/srv/app'] },
    createdBy: history,
  });
  return { base, tool, own };
}

/** What umoci makes of an image: every path with its content. */
async function unpack(rig: StkRig, tag: string): Promise<Record<string, string>> {
  const bundle = rig.path(`bundle-${tag}`);
  await execa('umoci', ['unpack', '--image', `${rig.path('oci')}:${tag}`, bundle]);
  const { stdout } = await execa('find', ['.', '-type', 'f'], { cwd: `${bundle}/rootfs` });
  const paths = stdout
    .split('\n')
    .filter(line => line !== '')
    .toSorted();
  const read = async (path: string) => [path.slice(2), await readFile(`${bundle}/rootfs/${path}`, 'utf8')] as const;
  return Object.fromEntries(await Promise.all(paths.map(read)));
}

interface Settings {
  readonly config: { readonly config: { readonly Env: readonly string[] } };
  readonly layers: readonly { readonly role?: string }[];
}

const NEW_BASE = { 'etc/os': 'two\n', 'etc/lines': 'A\nb\nc\nd\ne\nf\n', 'lib/new': 'n', 'lib/gone': 'x' };

describe('an image of tar layers that does not say what it is made of', () => {
  it('is put on another base, its own layers the same blobs, its settings brought together', async () => {
    await using rig = await StkRig.open();
    const { tool, own } = await writeForeign(rig);
    const next = await tarFiles(NEW_BASE);
    await writeStack(rig.path('oci'), 'debian-2', { layers: [next], config: { Env: ['PATH=/bin', 'V=2'] } });
    await rig.ok(['update', 'app', '--rebase', '--old-base', 'debian-1', '--new-base', 'debian-2']);
    const { layers } = await readManifest(rig.path('oci'), 'app');
    expect(layers.slice(0, 3).map(({ digest }) => digest)).toEqual([next, tool, own].map(layerDigest));
    expect(layers.map(({ mediaType }) => mediaType)).toEqual(
      Array.from({ length: 4 }, () => 'application/vnd.oci.image.layer.v1.tar+gzip'),
    );
    const after = JSON.parse(await rig.ok(['inspect', 'app', '--json'])) as Settings;
    expect(after.config.config.Env).toEqual(['PATH=/bin', 'V=2', 'OWN=1']);
    expect(after.layers.map(({ role }) => role)).toEqual(['base', 'run', 'run', 'update']);
    expect(await unpack(rig, 'app')).toEqual({
      'etc/lines': 'A\nb\nc\nd\ne\nF\n',
      'etc/os': 'two\n',
      'lib/new': 'n',
      'opt/old': 'o',
      'opt/tool': 'tool 1\n',
      'srv/app': 'app',
    });
    // Once it says what it stands on, the same again is nothing to do, and the base can be swapped by its name.
    const digest = await tagDigest(rig, 'app');
    expect(await rig.ok(['update', 'app', '--rebase'])).toBe(`app ${digest} is up to date\n`);
    expect(await rig.ok(['update', 'app', '--base'])).toBe(`app ${digest} is up to date\n`);
  });

  it('is not put on another base where it does not stand on the old one', async () => {
    await using rig = await StkRig.open();
    const { base } = await writeForeign(rig);
    const other = await tarFiles({ 'etc/os': 'other\n' });
    await writeStack(rig.path('oci'), 'other', { layers: [other] });
    await writeStack(rig.path('oci'), 'told-otherwise', { layers: [base], createdBy: ['another step'] });
    const before = await tagDigest(rig, 'app');
    for (const name of ['other', 'told-otherwise']) {
      const refused = await rig.stk(['update', 'app', '--rebase', '--old-base', name, '--new-base', 'debian-1']);
      expect(refused).toMatchObject({ exitCode: 12 });
    }
    expect(await rig.stk(['update', 'app', '--rebase'])).toMatchObject({ exitCode: 2 });
    expect(await tagDigest(rig, 'app')).toBe(before);
  });

  it.each([['tool-1'], ['digest']])('has the layers of another image replaced, found by %s', async by => {
    await using rig = await StkRig.open();
    const { base, tool, own } = await writeForeign(rig);
    const next = await tarFiles({ 'opt/tool': 'tool 2\n', 'etc/lines': 'A\nb\nc\nd\ne\nf\n' });
    await writeStack(rig.path('oci'), 'tool-2', { layers: [base, next] });
    const old = by === 'digest' ? layerDigest(tool) : by;
    await rig.ok(['update', 'app', '--replace-layers', `${old}=tool-2`]);
    const { layers } = await readManifest(rig.path('oci'), 'app');
    expect(layers.slice(0, 3).map(({ digest }) => digest)).toEqual([base, next, own].map(layerDigest));
    const tree = await unpack(rig, 'app');
    expect(tree).toMatchObject({ 'opt/tool': 'tool 2\n', 'etc/lines': 'A\nb\nc\nd\ne\nF\n' });
    expect(tree).not.toHaveProperty('opt/old');
    // The next version takes the place of this one, and of what reconciled it.
    await rig.ok(['update', 'app', '--replace-layers', 'tool-2=tool-1', '--tag', 'back']);
    const back = await readManifest(rig.path('oci'), 'back');
    expect(back.layers.map(({ digest }) => digest)).toEqual([base, tool, own].map(layerDigest));
  });

  it('is left alone where it has no such layers', async () => {
    await using rig = await StkRig.open();
    await writeForeign(rig);
    await writeStack(rig.path('oci'), 'tool-0', { layers: [await tarFiles({ x: 'y' })] });
    for (const old of ['tool-0', `sha256:${'0'.repeat(64)}`, 'debian-1']) {
      const refused = await rig.stk(['update', 'app', '--replace-layers', `${old}=tool-1`]);
      expect(refused).toMatchObject({ exitCode: 12 });
    }
  });

  it('gets squashfs layers for the new ones where that is asked for', async () => {
    await using rig = await StkRig.open();
    const { base, own } = await writeForeign(rig);
    const next = await tarFiles({ 'opt/tool': 'tool 2\n' });
    await writeStack(rig.path('oci'), 'tool-2', { layers: [base, inRole(next, 'run')] });
    await rig.ok(['update', 'app', '--replace-layers', 'tool-1=tool-2', '--layer-type', 'squashfs']);
    const { layers } = await readManifest(rig.path('oci'), 'app');
    expect([layers[0]!.digest, layers[2]!.digest]).toEqual([base, own].map(layerDigest));
    expect(layers[1]!.mediaType).toContain('squashfs');
  });

  it('learns what its layers are, and is then updated by name', async () => {
    await using rig = await StkRig.open();
    const { base, tool, own } = await writeForeign(rig);
    const settings = async () => (JSON.parse(await rig.ok(['inspect', 'app', '--json'])) as Settings).config;
    const before = await settings();
    await rig.ok(['adopt', 'app', '--base', 'debian-1', '--apply', 'tool=tool-1']);
    const adopted = await readManifest(rig.path('oci'), 'app');
    expect(await settings()).toEqual(before);
    expect(adopted.layers.map(({ digest }) => digest)).toEqual([base, tool, own].map(layerDigest));
    expect(await rig.ok(['adopt', 'app', '--base', 'debian-1', '--apply', 'tool=tool-1'])).toContain('is up to date');
    const next = await tarFiles({ 'opt/tool': 'tool 2\n' });
    await writeStack(rig.path('oci'), 'tool-2', { layers: [base, next] });
    await rig.ok(['update', 'app', '--apply', 'tool=tool-2']);
    const { layers } = await readManifest(rig.path('oci'), 'app');
    expect(layers.map(({ digest }) => digest)).toEqual([base, next, own].map(layerDigest));
    expect(await unpack(rig, 'app')).toMatchObject({ 'opt/tool': 'tool 2\n', 'srv/app': 'app' });
  });

  it('learns nothing that is not so', async () => {
    await using rig = await StkRig.open();
    const { base, own } = await writeForeign(rig);
    await writeStack(rig.path('oci'), 'own', { layers: [base, own] });
    const tool = ['--apply', 'tool=tool-1'];
    for (const args of [[...tool, '--apply', 'own', '--apply', 'own2=debian-1'], tool, ['--apply', 'own']]) {
      const withBase = args === tool ? [] : ['--base', 'debian-1'];
      const expected = args.length === 6 ? 0 : args === tool ? 2 : 12;
      expect(await rig.stk(['adopt', 'app', ...args, ...withBase, '-n'])).toMatchObject({ exitCode: expected });
    }
  });
});
