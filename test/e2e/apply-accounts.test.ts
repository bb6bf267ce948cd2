import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import type { Settings } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { differences, listImage } from '../rig/tree-listing.ts';

requires('root', 'overlay', 'fuse', 'debian-base');

const on = (tag: string, settings: Settings): Settings => ({ from: { type: 'built', tag }, ...settings });

const add = (user: string, id: number) => [
  `useradd --system --uid ${id} --user-group --groups audio,video ${user}`,
  `usermod --add-subuids ${id}00000-${id}65535 --add-subgids ${id}00000-${id}65535 ${user}`,
];

/** The files that the tools change; their backups hold what was before the last command. */
const OTHERS = /^(?!etc\/(?:passwd|group|shadow|gshadow|subuid|subgid)$)/;

let rig: StkRig;

beforeAll(async () => {
  rig = await StkRig.open({ as: 'root' });
});
afterAll(async () => rig?.[Symbol.asyncDispose]());

const base = () => ({ from: { type: 'tar', url: inject('stk').debianBase! } });

describe('accounts of applied images', () => {
  it('are what the tools would have written in turn', async () => {
    await rig.write('stacker.yaml', {
      base: base(),
      a: on('base', { run: add('alice', 601) }),
      b: on('base', { run: add('bob', 602) }),
      both: on('base', { run: [...add('alice', 601), ...add('bob', 602)] }),
      plain: on('base', { apply: ['a', 'b'] }),
      app: on('plain', { run: 'pwck -r || test $? = 2; grpck -r; id bob | grep audio; userdel alice; useradd carol' }),
    });
    await rig.ok(['build']);
    const found = await listImage(rig.path('oci'), 'plain');
    expect(differences(found, await listImage(rig.path('oci'), 'both'), OTHERS)).toEqual([]);
    expect(found.has('etc/subuid')).toBe(true);
  });

  it('get one id each where they clash, which updates keep, and their files follow them', async () => {
    const file = (name: string) => [
      `useradd -m ${name}`,
      `cp /bin/true /srv/${name}; chown ${name}:${name} /srv/${name}; chmod 6755 /srv/${name}; ln /srv/${name} /srv/${name}-too`,
    ];
    await rig.write('stacker.yaml', {
      base: base(),
      a: on('base', { run: file('alice') }),
      b: on('base', { run: file('bob') }),
      app: on('base', {
        apply: ['a', 'b'],
        run: 'useradd -u 1500 dora; touch /own-bob /own-dora; chown bob /own-bob; chown dora /own-dora',
      }),
      // Alice goes, and somebody comes who wants the id of the image’s own account.
      'new-a': on('base', { run: ['useradd -u 1500 carl', 'touch /srv/carl; chown carl /srv/carl'] }),
      'new-b': on('base', { run: [...file('bob'), 'touch /srv/newer'] }),
    });
    await rig.ok(['build']);
    const before = await ids('app');
    expect(before['alice']).toBe('1000');
    expect(before['bob']).not.toBe('1000');
    const inspected = JSON.parse(await rig.ok(['inspect', 'app', '--json'])) as { layers: { renumbered?: object[] }[] };
    const renumbered = inspected.layers.flatMap(layer => layer.renumbered ?? []);
    // The home with three files, and the program with its second name.
    expect(renumbered).toContainEqual(
      expect.objectContaining({ kind: 'user', name: 'bob', image: 'b', from: 1000, paths: 6 }),
    );
    expect(renumbered).toContainEqual(expect.objectContaining({ kind: 'subuid', name: 'bob' }));
    expect(await rig.ok(['inspect', 'app'])).toMatch(/user bob +b +1000 +\d+ +6 /);
    await assertOwners('app', ['alice', 'bob']);

    await rig.ok(['update', 'app', '--apply', 'a=new-a', '--apply', 'b=new-b']);
    const after = await ids('app');
    expect(after['alice']).toBeUndefined();
    expect({ bob: after['bob'], dora: after['dora'] }).toEqual({ bob: before['bob'], dora: before['dora'] });
    expect(after['carl']).toBeDefined();
    expect(new Set(Object.values(after)).size).toBe(Object.keys(after).length);
    await assertOwners('app', ['bob']);
  });

  it('are equal from the beginning where steps of the build made them, whichever tool did', async () => {
    const files = 'install -d -o redis -g redis -m 2750 /srv/redis; touch /srv/redis/f; chown redis:redis /srv/redis/f';
    const made = [
      'useradd -r -d /nonexistent -s /usr/sbin/nologin redis',
      'useradd -r -u 777 asked',
      files,
      'ln /srv/redis/f /srv/redis/g; chmod 6755 /srv/redis/f',
    ];
    await rig.write('stacker.yaml', {
      base: base(),
      a: on('base', { run: made }),
      b: on('base', {
        run: ['addgroup --system first', 'adduser --system --group redis', 'touch /srv/b; chown redis:redis /srv/b'],
      }),
      both: on('base', { apply: ['a', 'b'] }),
      next: on('a', { run: 'adduser --system --group redis-too; touch /srv/next; chown redis:redis-too /srv/next' }),
      off: on('base', { run: made, stable_ids: false }),
    });
    await rig.ok(['build']);
    const get = async (tag: string) => {
      const script =
        'getent passwd redis asked; getent group redis; stat -c "%n %u:%g %a" /srv/redis; stat -c "%n %u:%g %a %h" /srv/redis/f; true';
      return (await rig.ok(['run', tag, '/bin/sh', '-c', script])).split('\n').map(line => line.replace(/::.*/, ''));
    };
    const expected = ['redis:x:301:301', 'asked:x:777:777', 'redis:x:301:'];
    expect(await get('a')).toEqual([...expected, '/srv/redis 301:301 2750', '/srv/redis/f 301:301 6755 2', '']);
    expect((await get('b')).slice(0, 2)).toEqual(['redis:x:301:301', 'redis:x:301:']);
    expect(await rig.ok(['inspect', 'both'])).not.toContain('renumbers');
    const next = await rig.ok([
      'run',
      'next',
      '/bin/sh',
      '-ec',
      'stat -c %U:%G /srv/next /srv/redis/f; pwck -qr >&2 || test $? = 2',
    ]);
    expect(next).toBe('redis:redis-too\nredis:redis\n');
    expect((await get('off'))[0]).toMatch(/^redis:x:99\d:/);
  });
});

/** Users that are no part of the base, with their ids, as the image's own tools see them. */
async function ids(tag: string): Promise<Readonly<Record<string, string>>> {
  const passwd = await rig.ok(['run', tag, '/bin/sh', '-c', 'getent passwd alice bob carl dora || true']);
  return Object.fromEntries(
    passwd
      .split('\n')
      .flatMap(line => (line ? [line.split(':')] : []))
      .map(([name, , id]) => [name, id]),
  );
}

async function assertOwners(tag: string, names: readonly string[]): Promise<void> {
  const files = names.flatMap(name => [`/home/${name}`, `/srv/${name}`, `/srv/${name}-too`]);
  const script = [
    'pwck -qr >&2 || test $? = 2',
    'grpck -r >&2',
    `stat -c '%n %U:%G %a %h' ${files.join(' ')}`,
    'stat -c "%n %U" /own-*',
    'find / -xdev \\( -nouser -o -nogroup \\) -not -path "/home/alice*" -not -path "/srv/alice*"',
  ];
  const found = (await rig.ok(['run', tag, '/bin/sh', '-ec', script.join('\n')]))
    .split('\n')
    .filter(line => line !== '');
  expect(found).toEqual([
    ...names.flatMap(name => [
      expect.stringContaining(`/home/${name} ${name}:${name} 755 `) as string,
      `/srv/${name} ${name}:${name} 6755 2`,
      `/srv/${name}-too ${name}:${name} 6755 2`,
    ]),
    '/own-bob bob',
    '/own-dora dora',
  ]);
}
