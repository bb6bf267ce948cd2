import { execa } from 'execa';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { SHELL, type Settings } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'overlay', 'fuse', 'tool:umoci');

const CONFLICT = 12;
const DATABASE = 'lib/apk/db/installed';

function entry(name: string, version: string, ...files: readonly string[]): string {
  const listed = files.map(file => `F:${path.dirname(file)}\nR:${path.basename(file)}\n`).join('');
  return `C:Q1${name}=\nP:${name}\nV:${version}\n${listed}\n`;
}

const MUSL = entry('musl', '1.2.4-r1');
const TREES: Record<string, Record<string, string>> = {
  base: { [DATABASE]: MUSL, 'etc/apk/world': 'musl\n' },
  ssl: {
    [DATABASE]: MUSL + entry('ssl', '3.0-r0', 'lib/ssl/a', 'lib/ssl/old'),
    'etc/apk/world': 'musl\nssl\n',
    'lib/ssl/a': '3.0',
    'lib/ssl/old': 'old',
  },
  py: {
    [DATABASE]: MUSL + entry('py', '1-r0', 'bin/py') + entry('ssl', '3.0-r10', 'lib/ssl/a', 'lib/ssl/new'),
    'etc/apk/world': 'musl\npy\n',
    'bin/py': 'py',
    'lib/ssl/a': '3.0-r10',
    'lib/ssl/new': 'new',
  },
};

async function writeImages(rig: StkRig, rules?: object): Promise<void> {
  const images: Record<string, Settings> = {};
  for (const [name, files] of Object.entries(TREES)) {
    for (const [file, content] of Object.entries(files)) await rig.write(`${name}/${file}`, content);
    const from = name === 'base' ? 'scratch' : { type: 'built', tag: 'base' };
    images[name] = { from, overlay_dirs: [{ source: rig.path(name), dest: '/' }] };
  }
  images['app'] = {
    from: { type: 'built', tag: 'base' },
    apply: ['py', rules ? { image: 'ssl', conflicts: rules } : 'ssl'],
  };
  await rig.write('stacker.yaml', images);
}

describe('applied images with apk packages', () => {
  it('clash in two versions of a package', async () => {
    await using rig = await StkRig.open();
    await writeImages(rig);
    const { exitCode, stderr } = await rig.stk(['build', 'app']);
    expect(exitCode).toBe(CONFLICT);
    expect(stderr).toContain('the package ssl is 3.0-r10 in py and 3.0-r0 in ssl');
  });

  it.each(['/lib/apk/db/*', '**'])('take the newer with all of its files by a rule for %s', async glob => {
    await using rig = await StkRig.open();
    await writeImages(rig, { [glob]: 'newer' });
    await rig.ok(['build', 'app', '--layer-type', 'squashfs', '--layer-type', 'tar']);
    await execa('umoci', ['unpack', '--rootless', '--image', `${rig.path('oci')}:app-tar`, rig.path('unpacked')]);
    const { stdout } = await execa(
      'sh',
      ['-c', 'cat lib/ssl/*; cat etc/apk/world; grep -h ^[PV]: lib/apk/db/installed; ls lib/ssl'],
      {
        cwd: rig.path('unpacked/rootfs'),
      },
    );
    expect(stdout.split('\n')).toEqual([
      '3.0-r10newmusl',
      'py',
      'ssl',
      'P:musl',
      'V:1.2.4-r1',
      'P:py',
      'V:1-r0',
      'P:ssl',
      'V:3.0-r10',
      'a',
      'new',
    ]);
  });

  it.each([
    ['steps gave one id', { stable_ids: false }],
    ['steps gave ids by their names', {}],
  ])('record the owners that their files have, where %s', async (_what, settings) => {
    await using rig = await StkRig.open();
    const daemon = (name: string): Settings => ({
      from: { type: 'built', tag: 'base' },
      run: [
        `echo ${name}:x:$((998+1)):$((998+1))::/:/bin/false >> /etc/passwd`,
        `echo ${name}:x:$((998+1)): >> /etc/group`,
        `mkdir -p /var/lib/${name}`,
        `chown ${name} /var/lib/${name}`,
        `printf 'C:Q1${name}=\\nP:${name}\\nV:1\\nF:var/lib/${name}\\nM:%s:0:755\\n\\n' $(id -u ${name}) >> /${DATABASE}`,
      ],
      ...settings,
    });
    await rig.write('stacker.yaml', {
      shell: SHELL,
      base: {
        from: { type: 'built', tag: 'shell' },
        run: [
          'echo root:x:0:0::/:/bin/sh > /etc/passwd; echo root:x:0: > /etc/group',
          `mkdir -p /lib/apk/db; printf '${MUSL.replaceAll('\n', '\\n')}' > /${DATABASE}`,
        ],
      },
      redis: daemon('redis'),
      zebra: daemon('zebra'),
      app: { from: { type: 'built', tag: 'base' }, apply: ['redis', 'zebra'] },
    });
    await rig.ok(['build', 'app']);
    const look =
      'for n in redis zebra; do echo $(stat -c %U:%u /var/lib/$n) $(grep -A 3 ^P:$n$ /lib/apk/db/installed | grep ^M:); done';
    const lines = (await rig.ok(['run', 'app', '/bin/sh', '-c', look])).trim().split('\n');
    const ids = lines.map(line => /^(\w+):(\d+) M:(\d+):0:755$/.exec(line)?.slice(1));
    expect(ids.map(found => [found?.[0], found?.[1] === found?.[2]])).toEqual([
      ['redis', true],
      ['zebra', true],
    ]);
    expect(ids[0]![1]).not.toBe(ids[1]![1]);
  });
});
