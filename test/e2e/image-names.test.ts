import { mkdir, readFile, readdir } from 'node:fs/promises';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { hostPlatform } from '../../src/oci/platform.ts';
import { requires } from '../rig/gates.ts';
import { writeArtifact, writeIndex } from '../rig/image-index.ts';
import { packFiles, writeStack } from '../rig/stack-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'overlay', 'registry', 'tool:skopeo', 'tool:veritysetup');

const HERE = hostPlatform();
const OTHER = { os: 'linux', architecture: HERE.architecture === 's390x' ? 'arm64' : 's390x' };
const FOREIGN = `linux/${OTHER.architecture}`;
const FILE = '/etc/arch';

let rig: StkRig;
/** Digests by architecture, and of the index. */
let digests: { readonly here: string; readonly other: string; readonly index: string };

beforeAll(async () => {
  rig = await StkRig.open();
  const layout = rig.path('oci');
  const image = async (tag: string, architecture: string) => {
    const layer = await packFiles({ 'etc/arch': `${architecture}\n` });
    const config = { architecture, os: 'linux', config: { Cmd: ['/x'] }, rootfs: { type: 'layers', diff_ids: 0 } };
    return writeStack(layout, tag, {
      layers: [layer],
      configText: JSON.stringify(config).replace('"diff_ids":0', '"diff_ids":DIFF_IDS'),
    });
  };
  const here = await image('here', HERE.architecture);
  const other = await image('other', OTHER.architecture);
  const index = await writeIndex(layout, 'multi', [
    { digest: here, platform: HERE },
    { digest: other, platform: OTHER },
  ]);
  await writeArtifact(layout, here);
  await writeArtifact(layout, here, `${here.replace(':', '-')}.sig`);
  await writeArtifact(layout, index, 'note');
  digests = { here, other, index };
  await execa('skopeo', ['copy', '-q', `oci:${layout}:here`, `oci-archive:${rig.path('saved.tar')}:here`]);
});

afterAll(() => rig[Symbol.asyncDispose]());

it('lists images and indexes, and nothing that is about them', async () => {
  expect((await rig.ok(['ls'])).split('\n').filter(Boolean)).toEqual(['here', 'other', 'multi']);
  expect(await rig.ok(['ls', `oci:${rig.path('oci')}`])).toBe(await rig.ok(['ls']));
  const listed = JSON.parse(await rig.ok(['inspect', '--json'])) as { name: string; platforms?: string[] }[];
  expect(listed.map(({ name, platforms }) => [name, platforms?.toSorted()])).toEqual([
    ['here', undefined],
    ['other', undefined],
    ['multi', [`linux/${HERE.architecture}`, FOREIGN].toSorted()],
  ]);
  const missing = await rig.stk(['ls', 'nobody:/']);
  expect(missing).toMatchObject({ exitCode: 8 });
  expect(missing.stderr).not.toMatch(/\.sig/);
});

it.each(['multi', 'oci:oci:multi', 'docker'])(
  'takes of %s the image for this host, or the one that is asked for',
  async text => {
    await using registry = await rig.registry();
    const remote = `docker://${registry.host}/multi:1`;
    if (text === 'docker') {
      await execa('skopeo', ['copy', '-q', '--all', '--dest-tls-verify=false', `oci:${rig.path('oci')}:multi`, remote]);
    }
    const name = text === 'docker' ? remote : text;
    for (const [args, digest, architecture] of [
      [[], digests.here, HERE.architecture],
      [['--platform', FOREIGN], digests.other, OTHER.architecture],
    ] as const) {
      const inspected = JSON.parse(await rig.ok(['inspect', name, '--json', ...args])) as object;
      expect(inspected).toMatchObject({ digest, index: digests.index, platform: `linux/${architecture}` });
      expect(await rig.ok(['ls', `${name}:${FILE}`, ...args])).toContain('etc/arch');
      expect(JSON.parse(await rig.ok(['verify', name, '--json', ...args]))).toMatchObject({ ok: true, digest });
      const same = await rig.stk(['diff', name, `oci:oci@${digest}`, '--exit-code', ...args]);
      expect(same).toMatchObject({ exitCode: 0 });
    }
    expect(await rig.stk(['inspect', name, '--platform', 'linux/riscv64'])).toMatchObject({ exitCode: 8 });
  },
);

it('mounts the image of an index that is asked for, and commits on it', async () => {
  for (const [args, architecture] of [
    [[], HERE.architecture],
    [['--platform', FOREIGN], OTHER.architecture],
  ] as const) {
    const target = rig.path(`mnt-${architecture}`);
    await rig.ok(['mount', 'multi', target, ...args]);
    try {
      expect(await readFile(`${target}${FILE}`, 'utf8')).toBe(`${architecture}\n`);
    } finally {
      await rig.ok(['umount', target]);
    }
    const upper = rig.path(`upper-${architecture}`);
    await mkdir(upper);
    await rig.write(`upper-${architecture}/added`, 'x');
    await rig.ok(['commit', upper, `committed-${architecture}`, '--base', 'multi', ...args]);
    expect(JSON.parse(await rig.ok(['inspect', `committed-${architecture}`, '--json']))).toMatchObject({
      platform: `linux/${architecture}`,
    });
    expect(await rig.ok(['ls', `committed-${architecture}:/`])).toMatch(/added\netc/);
  }
});

it.each(['inspect', 'verify', 'mount', 'run', 'convert'])(
  'refuses to %s an image of another platform than was asked for',
  async command => {
    const more = { mount: [rig.path('nowhere')], run: ['/x'], convert: ['oci:elsewhere:x'] }[command] ?? [];
    const result = await rig.stk([command, '--platform', FOREIGN, 'here', ...more]);
    expect(result).toMatchObject({ exitCode: command === 'run' ? 125 : 8 });
    expect(result.stderr).toContain(`has no image for ${FOREIGN}`);
  },
);

it('reads an archive where it lies', async () => {
  const archive = rig.path('saved.tar');
  for (const name of [archive, `oci-archive:${archive}:here`, `oci-archive:${archive}@${digests.here}`]) {
    expect(JSON.parse(await rig.ok(['inspect', name, '--json']))).toMatchObject({ digest: digests.here });
    expect(await rig.ok(['ls', `${name}:/etc`])).toBe('arch\n');
    expect(await rig.ok(['verify', name])).toContain('is intact');
    expect(await rig.stk(['diff', name, 'here', '--exit-code'])).toMatchObject({ exitCode: 0 });
  }
});

it('keeps every image of an index when garbage is collected', async () => {
  await rig.ok(['gc', '--no-keep-cache']);
  const blobs = await readdir(rig.path('oci/blobs/sha256'));
  for (const digest of Object.values(digests)) expect(blobs).toContain(digest.slice(7));
  await rig.ok(['verify', 'multi', '--platform', FOREIGN]);
});

it('finds layouts and archives whose names hold what separates names', async () => {
  const odd = 'a:b @c/o\\ci';
  await mkdir(rig.path('a:b @c'), { recursive: true });
  await execa('cp', ['-r', rig.path('oci'), rig.path(odd)]);
  await execa('cp', [rig.path('saved.tar'), rig.path('x:y z.tar')]);
  expect(await rig.ok(['ls', 'oci:a\\:b @c/o\\\\ci:here:/etc'])).toBe('arch\n');
  expect(await rig.ok(['--oci-dir', rig.path(odd), 'ls', 'here:/etc'])).toBe('arch\n');
  expect(await rig.ok(['ls', 'x\\:y z.tar:/etc'])).toBe('arch\n');
  await rig.ok(['--oci-dir', rig.path(odd), 'publish', 'here', 'oci:copy:here']);
  const wrong = await rig.stk(['ls', 'docker://localhost:5000/team/App:1']);
  expect(wrong).toMatchObject({ exitCode: 9 });
  expect(wrong.stderr).toContain('App, at character 30');
});

it.each([
  ['mount', ['saved.tar', 'mnt'], 2, /in an archive, and images are mounted from a layout or a registry/],
  ['run', ['saved.tar'], 125, /in an archive, and images run from a layout/],
  ['sign', ['saved.tar', '--key', 'k'], 8, /cannot read key/],
  ['inspect', ['here:/etc'], 2, /not a path in it/],
  ['convert', ['here', 'h.example/team/app'], 2, /has no known transport/],
  ['commit', ['x', 'docker://h.example/a'], 2, /not an image of a layout/],
])('says what kind of name %s wants', async (command, args, exitCode, text) => {
  const result = await rig.stk([command, ...args]);
  expect(result.stderr).toMatch(text);
  expect(result.exitCode).toBe(exitCode);
});
