import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { debianRecipe, inspected, oneAfterTheOther, built, readReport } from '../rig/debian-layers.ts';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { differences, listImage } from '../rig/tree-listing.ts';

requires('root', 'overlay', 'debian-base');

const PACKAGES = {
  ssl: 'openssl',
  python: 'python3-minimal',
  nginx: 'nginx-light',
  sudo: 'sudo',
  certs: 'ca-certificates',
  git: 'git',
  curl: 'curl',
  locales: 'locales',
  // The base has perl-base alone.
  perl: 'libjson-perl',
  // Both make accounts, which would have the same ids.
  cron: 'cron',
  uuid: 'uuid-runtime',
} as const;

const COMBINATIONS: Readonly<Record<string, readonly (keyof typeof PACKAGES)[]>> = {
  languages: ['ssl', 'python', 'perl'],
  triple: ['certs', 'nginx', 'sudo'],
  tools: ['git', 'curl', 'locales'],
  daemons: ['cron', 'uuid'],
};

/**
 * What differs from packages that were installed one after the other: logs, apt's caches, ldconfig's own cache (left out,
 * made again by the next ldconfig), and backups of databases, which are those of the image that was applied last.
 */
const EXCEPT =
  /^(var\/log\/|var\/cache\/apt\/|var\/cache\/ldconfig\/|var\/lib\/dpkg\/[a-z]+-old$|var\/cache\/debconf\/[a-z]+\.dat-old$|etc\/[a-z]+-$|run\/|tmp\/|(dev|proc|sys)(\/|$)|etc\/(hosts|hostname|resolv\.conf)$)/;

let rig: StkRig;

beforeAll(async () => {
  rig = await StkRig.open({ as: 'root' });
  const recipe = debianRecipe(PACKAGES);
  for (const [name, images] of Object.entries(COMBINATIONS)) {
    recipe[`${name}-applied`] = built('debian', { apply: images });
    recipe[`${name}-installed`] = oneAfterTheOther(images.map(image => PACKAGES[image]));
    recipe[`${name}-applied-report`] = inspected(`${name}-applied`);
    recipe[`${name}-installed-report`] = inspected(`${name}-installed`);
  }
  await rig.write('stacker.yaml', recipe);
  await rig.ok(['build', '--progress', 'plain']);
}, 600_000);

afterAll(async () => rig?.[Symbol.asyncDispose]());

describe.each(Object.entries(COMBINATIONS))('%s: %j', name => {
  it('works as if installed one after the other', async () => {
    const applied = await readReport(rig, `${name}-applied-report`);
    expect(applied).toEqual(await readReport(rig, `${name}-installed-report`));
    expect(applied).toMatchObject({ audit: '', verify: '', install: 'Hello, world!', remove: 'gone', cache: 'same' });
    expect(applied['check']).not.toContain('failed');
    expect(applied['rewritten']).toBe('same');
  });

  it('has the same database, and the same files', async () => {
    const [applied, installed] = [`${name}-applied`, `${name}-installed`].map(tag => listImage(rig.path('oci'), tag));
    expect(differences(await applied!, await installed!, EXCEPT)).toEqual([]);
  });
});

/** Puts together a package by hand that has one file of its own and shares nothing. */
const handmade = (version: string, file: string) => [
  'mkdir -p /build/DEBIAN /build/usr/share/note',
  `printf 'Package: note\\nVersion: ${version}\\nArchitecture: all\\nMaintainer: n <n@example.org>\\nDescription: note\\n' > /build/DEBIAN/control`,
  `echo ${version} > /build/usr/share/note/version`,
  `echo ${version} > /build/usr/share/note/${file}`,
  'dpkg-deb -b /build /note.deb',
  'dpkg -i /note.deb',
  'rm -r /build /note.deb',
];

describe('a package in two versions', () => {
  const versions = { old: handmade('1.9', 'only-old'), new: handmade('1.10', 'only-new') };

  async function build(entry: unknown): Promise<Awaited<ReturnType<StkRig['stk']>>> {
    const file = await rig.write('versions.yaml', {
      bare: { from: { type: 'tar', url: inject('stk').debianBase } },
      old: built('bare', { run: versions.old }),
      new: built('bare', { run: versions.new }),
      both: built('bare', {
        apply: ['new', entry],
        run: ['dpkg --audit', 'dpkg --verify', 'test "$(dpkg-query -W -f \'${Version}\' note)" = 1.10'],
      }),
    });
    return rig.stk(['build', '-f', file, '--progress', 'plain']);
  }

  it('is an error that names the package, both versions and both images', async () => {
    const { exitCode, stderr } = await build('old');
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain('note is 1.10 in new and 1.9 in old');
    expect(stderr).not.toContain('only-old');
  });

  it('comes with all files of the newer one where the recipe says so', async () => {
    const { exitCode, stderr } = await build({ image: 'old', conflicts: { '/var/lib/dpkg/**': 'newer' } });
    expect(exitCode, stderr).toBe(0);
    const files = await listImage(rig.path('oci'), 'both');
    expect(files.has('usr/share/note/only-new')).toBe(true);
    expect(files.has('usr/share/note/only-old')).toBe(false);
  });
});
