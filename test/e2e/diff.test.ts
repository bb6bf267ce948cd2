import { execa } from 'execa';
import { expect, it } from 'vitest';
import { FakeRegistry } from '../rig/fake-registry.ts';
import { requires } from '../rig/gates.ts';
import { packDirectory, writeImage } from '../rig/squashfs-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { listImage, type TreeListing } from '../rig/tree-listing.ts';

requires('root', 'kernel-squashfs', 'tool:mksquashfs', 'tool:attr');

interface Difference {
  readonly layers: { readonly removed: readonly object[]; readonly added: readonly object[]; readonly shared: number };
  readonly settings: readonly { readonly name: string }[];
  readonly changes: readonly { readonly path: string; readonly change: string; readonly aspects?: readonly string[] }[];
  readonly totals: { readonly added: number; readonly removed: number; readonly changed: number };
}

const LOWER = `
mkdir -p etc opt/a/b srv/gone srv/dir dev; echo one > etc/one; echo same > etc/same; ln -s one etc/link
echo deep > opt/a/b/file; echo old > srv/gone/f; echo x > srv/dir/x; echo kept > opt/a/kept
head -c 300000 /dev/zero > opt/zeros; mknod dev/null c 1 3; echo cap > etc/cap; setfattr -n user.k -v 1 etc/cap
printf x > "$(printf 'etc/\\303\\244 \\377')"`;

/** Each changes something else of the same tree. */
const UPPERS: Readonly<Record<string, string>> = {
  nothing: 'mkdir -p etc; cp -a ../lower/etc/same etc/; touch -d 1999-01-01 etc/same',
  content: 'mkdir -p etc opt; echo two > etc/one; head -c 300000 /dev/zero | tr "\\\\0" a > opt/zeros',
  attributes:
    'mkdir -p etc; cp -a ../lower/etc/one etc/one; chmod 600 etc/one; cp -a ../lower/etc/same etc; chown 5:6 etc/same',
  xattrs: 'mkdir -p etc; cp -a ../lower/etc/cap etc/cap; setfattr -n user.k -v 2 etc/cap',
  overlay: 'mkdir -p etc; cp -a ../lower/etc/cap etc/cap; setfattr -n user.overlay.origin -v 2 etc/cap',
  links: 'mkdir -p etc; ln -s two etc/link',
  devices: 'mkdir -p dev; mknod dev/null c 1 5; mknod dev/fifo p',
  deleted: 'mkdir -p etc srv; mknod etc/one c 0 0; mknod srv/gone c 0 0; mknod etc/never c 0 0',
  opaque: 'mkdir -p opt/a; setfattr -n user.overlay.opaque -v y opt/a; echo new > opt/a/new',
  replaced: 'mkdir -p srv etc; echo file > srv/dir; mkdir etc/one; echo in > etc/one/in',
  added: 'mkdir -p new/deep/er; echo 1 > new/deep/er/1; echo 2 > new/2',
  bytes: `mkdir -p etc; printf y > "$(printf 'etc/\\303\\244 \\377')"; printf 'z' > "$(printf 'etc/new\\nline')"`,
};

async function layer(rig: StkRig, name: string, script: string): Promise<Buffer> {
  await execa('sh', ['-ec', `mkdir -p ${name}; cd ${name}; ${script}`], { cwd: rig.directory });
  return packDirectory(rig.path(name));
}

/** Paths whose listings differ, as a mount shows them. */
function listed(before: TreeListing, after: TreeListing): string[] {
  const paths = new Set([...before.keys(), ...after.keys()]);
  return [...paths].filter(path => before.get(path) !== after.get(path)).map(path => `/${path}`);
}

async function diff(rig: StkRig, ...args: readonly string[]): Promise<Difference> {
  return JSON.parse(await rig.ok(['diff', ...args, '--json'])) as Difference;
}

/** As the listing has it: a question mark for a newline, and the replacement character for what is not UTF-8. */
const shown = ({ path, pathBase64 }: { readonly path: string; readonly pathBase64?: string }) =>
  (pathBase64 === undefined ? path : Buffer.from(pathBase64, 'base64').toString('utf8')).replaceAll('\n', '?');

it.each(Object.keys(UPPERS))('finds the very paths that mounts show differently: %s', async name => {
  await using rig = await StkRig.open();
  const lower = await layer(rig, 'lower', LOWER);
  const upper = await layer(rig, 'upper', UPPERS[name]!);
  await writeImage(rig.path('oci'), 'before', [{ bytes: lower }]);
  await writeImage(rig.path('oci'), 'after', [{ bytes: lower }, { bytes: upper }]);
  const expected = listed(await listImage(rig.path('oci'), 'before'), await listImage(rig.path('oci'), 'after'));
  for (const [from, to] of [
    ['before', 'after'],
    ['after', 'before'],
  ] as const) {
    const { changes, totals, layers } = await diff(rig, from, to);
    expect(changes.map(shown).toSorted()).toEqual(expected.toSorted());
    expect(totals.added + totals.removed + totals.changed).toBe(changes.length);
    expect(layers.shared).toBe(1);
  }
});

it('says in what paths differ', async () => {
  await using rig = await StkRig.open();
  const lower = await layer(rig, 'lower', LOWER);
  const upper = await layer(rig, 'upper', [UPPERS['attributes'], UPPERS['links'], UPPERS['xattrs']].join('\n'));
  await writeImage(rig.path('oci'), 'before', [{ bytes: lower }]);
  await writeImage(rig.path('oci'), 'after', [{ bytes: lower }, { bytes: upper }]);
  const { changes } = await diff(rig, 'before', 'after');
  expect(changes).toMatchObject([
    { path: '/etc/cap', change: 'changed', aspects: ['xattrs'] },
    { path: '/etc/link', aspects: ['target'], before: { target: 'one' }, after: { target: 'two' } },
    { path: '/etc/one', aspects: ['mode'], before: { mode: '0644' }, after: { mode: '0600' } },
    { path: '/etc/same', aspects: ['owner'], after: { uid: 5, gid: 6 } },
  ]);
  expect(await rig.ok(['diff', 'before', 'after', '/etc/one'])).toContain('M /etc/one (mode 0644 -> 0600)\n');
  expect(await rig.ok(['diff', 'before', 'after', '--stat'])).toMatch(
    /^\+.*\n {2}1 layers in common\n0 added, .*4 changed/,
  );
});

it('looks at named paths only', async () => {
  await using rig = await StkRig.open();
  const lower = await layer(rig, 'lower', LOWER);
  await writeImage(rig.path('oci'), 'before', [{ bytes: lower }]);
  await writeImage(rig.path('oci'), 'after', [{ bytes: await layer(rig, 'upper', UPPERS['added']!) }]);
  const { changes } = await diff(rig, 'before', 'after', '/new/deep', '/etc/one', '/nowhere');
  expect(changes.map(({ path, change }) => [path, change])).toEqual([
    ['/etc/one', 'removed'],
    ['/new/deep', 'added'],
    ['/new/deep/er', 'added'],
    ['/new/deep/er/1', 'added'],
  ]);
});

it('ends with a status of its own where told to', async () => {
  await using rig = await StkRig.open();
  const lower = await layer(rig, 'lower', LOWER);
  await writeImage(rig.path('oci'), 'before', [{ bytes: lower }]);
  await writeImage(rig.path('oci'), 'same', [{ bytes: lower }]);
  await writeImage(rig.path('oci'), 'unchanged', [
    { bytes: lower },
    { bytes: await layer(rig, 'u', UPPERS['nothing']!) },
  ]);
  await writeImage(rig.path('oci'), 'after', [{ bytes: await layer(rig, 'v', 'echo 1 > one') }]);
  const status = async (...args: readonly string[]) => (await rig.stk(['diff', ...args])).exitCode;
  expect(await status('before', 'after')).toBe(0);
  expect(await status('before', 'after', '--exit-code')).toBe(13);
  expect(await status('before', 'same', '--exit-code')).toBe(0);
  expect(await status('before', 'unchanged', '--exit-code')).toBe(0);
  expect(await status('before', 'nobody', '--exit-code')).toBe(8);
});

it('reads registries by ranges, and layers that both images have not at all', async () => {
  await using rig = await StkRig.open();
  await using registry = await FakeRegistry.start();
  const at = (tag: string) => `docker://${registry.host}/app:${tag}`;
  await rig.write('stacker.yaml', {
    lower: { from: 'scratch', imports: [{ path: rig.path('lower'), dest: '/' }] },
    upper: { from: { type: 'built', tag: 'lower' }, imports: [{ path: rig.path('upper'), dest: '/' }] },
  });
  await execa('sh', ['-ec', 'mkdir lower upper; head -c 9000000 /dev/urandom > lower/big; echo 1 > upper/one'], {
    cwd: rig.directory,
  });
  await rig.ok(['build']);
  for (const name of ['lower', 'upper']) await rig.ok(['publish', name, at(name)]);
  registry.requests.length = 0;
  const { changes, layers } = await diff(rig, at('lower'), at('upper'));
  expect(changes.map(({ path, change }) => [path, change])).toEqual([
    ['/upper', 'added'],
    ['/upper/one', 'added'],
  ]);
  expect(layers).toMatchObject({ removed: [], added: [{}], shared: 1 });
  const read = registry.requests.reduce((sum, { headers }) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    return sum + (to === undefined ? 0 : Number(to) - Number(from) + 1);
  }, 0);
  expect(read).toBeLessThan(1_000_000);
});

it('finds bytes of a registry that were changed', async () => {
  await using rig = await StkRig.open();
  await using registry = await FakeRegistry.start();
  await execa('mkdir', ['-p', rig.path('lower')]);
  await rig.write('lower/file', 'x'.repeat(100));
  await rig.write('stacker.yaml', { lower: { from: 'scratch', imports: [{ path: rig.path('lower'), dest: '/' }] } });
  await rig.ok(['build']);
  const at = `docker://${registry.host}/app:1`;
  await rig.ok(['publish', 'lower', at]);
  const manifest = JSON.parse(registry.state.manifest('app', '1')!.bytes.toString()) as {
    layers: { digest: string }[];
  };
  const blob = registry.state.blob('app', manifest.layers[0]!.digest)!;
  blob[200] = blob[200]! ^ 1;
  await writeImage(rig.path('oci'), 'empty', [{ bytes: await layer(rig, 'none', 'true') }]);
  const { exitCode, stderr } = await rig.stk(['diff', 'empty', at]);
  expect(stderr).toContain('wrong bytes');
  expect(exitCode).toBe(7);
});

it('says what cannot be compared', async () => {
  await using rig = await StkRig.open();
  await writeImage(rig.path('oci'), 'tar', [
    { bytes: Buffer.from('no'), mediaType: 'application/vnd.oci.image.layer.v1.tar' },
  ]);
  await writeImage(rig.path('oci'), 'bad', [{ bytes: Buffer.from('no squashfs at all') }]);
  await writeImage(rig.path('oci'), 'empty', [{ bytes: await layer(rig, 'none', 'true') }]);
  expect((await rig.stk(['diff', 'tar', 'empty'])).stderr).toContain('stk convert');
  expect(await rig.stk(['diff', 'empty', 'bad'])).toMatchObject({ exitCode: 9 });
  expect(await rig.stk(['diff', 'empty', 'oci:'])).toMatchObject({ exitCode: 9 });
});
