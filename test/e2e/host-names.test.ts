import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mkdir, symlink, writeFile } from '../../src/host/files.ts';
import { requires } from '../rig/gates.ts';
import { SHELL } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';

/** A byte that is not UTF-8, as `hostText` holds it: the rig gives the command the byte itself. */
const E9 = '\udce9';

const RECIPE = {
  shell: SHELL,
  overlay: { from: 'shell', overlay_dirs: ['od -> /o'] },
  copied: { from: 'shell', imports: [{ path: 'od', dest: '/o' }] },
  step: {
    from: 'shell',
    imports: ['od'],
    binds: ['od -> /bind'],
    run: 'cmp /bind/d*/f /bind/n*\ncp -r /stacker/imports/od /o',
  },
  taken: { from: 'shell', imports: [{ path: 'stacker://overlay/o', dest: '/o' }] },
};

const LISTED = ['o/a\\nb', 'o/d\\351', 'o/d\\351/f', 'o/esc\\033[31m', 'o/l\\351', 'o/n\\351'];

const lines = (text: string) => text.trimEnd().split('\n');

describe.each(['root', 'user'] as const)('as %s', actor => {
  requires('root', 'overlay', 'fuse', 'tool:busybox', 'tool:bwrap');

  let rig: StkRig;
  let inside: string;
  const ok = (...args: readonly string[]) => rig.ok(args, { cwd: inside });

  beforeAll(async () => {
    rig = await StkRig.open({ as: actor });
    // The working directory, too, has such a name.
    inside = rig.path(`w${E9}`);
    await mkdir(`${inside}/od/d${E9}`, { recursive: true });
    await writeFile(`${inside}/stacker.yaml`, JSON.stringify(RECIPE));
    for (const name of [`n${E9}`, `d${E9}/f`, 'a\nb', 'esc\u001b[31m']) await writeFile(`${inside}/od/${name}`, 'same');
    await symlink(`to${E9}`, `${inside}/od/l${E9}`);
    await mkdir(`${inside}/m${E9}`);
    if (actor === 'user') await execa('chown', ['-R', '--reference', 'home', '.'], { cwd: rig.directory });
    await ok('-q', 'build');
  }, 120_000);
  afterAll(() => rig[Symbol.asyncDispose]());

  it.each(['overlay', 'copied', 'step', 'taken'])('keeps names of the host as bytes: %s', async image => {
    expect(lines(await ok('ls', '-R', `${image}:/o`))).toEqual(LISTED);
    const rows = lines(await ok('ls', '-R', '--json', `${image}:/o`)).map(
      line => JSON.parse(line) as Record<string, string>,
    );
    expect(
      rows.map(({ path, pathBase64 }) => (pathBase64 ? Buffer.from(pathBase64, 'base64').toString('latin1') : path)),
    ).toEqual(['o/a\nb', 'o/d\u00e9', 'o/d\u00e9/f', 'o/esc\u001b[31m', 'o/l\u00e9', 'o/n\u00e9']);
    expect(rows[4]).toMatchObject({
      target: 'to\\351',
      targetBase64: Buffer.from('to\u00e9', 'latin1').toString('base64'),
    });
  });

  it('takes paths of a command line as bytes', async () => {
    expect(lines(await ok('ls', `overlay:/o/d${E9}`))).toEqual(['f']);
    await ok('convert', 'oci:oci:overlay', `oci:out${E9}:v`);
    expect(lines(await ok('--oci-dir', `out${E9}`, 'ls'))).toEqual(['v']);
    await ok(
      'build',
      'overlay',
      '-f',
      `${inside}/stacker.yaml`,
      '--metadata-file',
      `meta${E9}`,
      '--log-file',
      `log${E9}`,
    );
    const echoed = await ok(
      'run',
      '-v',
      `${inside}/od:/v${E9}`,
      '-e',
      `ODD=${E9}`,
      'overlay',
      'sh',
      '-c',
      'ls -1 "$0" | wc -l; [ "/v$ODD" = "$0" ] && echo same',
      `/v${E9}`,
    );
    expect(lines(echoed)).toEqual(['5', 'same']);
  });

  it('mounts on a directory whose name is not UTF-8', async () => {
    await ok('mount', 'overlay', `m${E9}`);
    try {
      const { mounts } = JSON.parse(await ok('mounts', '--json')) as { mounts: { targetBase64?: string }[] };
      expect(
        mounts.map(({ targetBase64 = '' }) => Buffer.from(targetBase64, 'base64').toString('latin1')),
      ).toContainEqual(expect.stringMatching(/w\u00e9\/m\u00e9$/));
    } finally {
      await ok('umount', `m${E9}`);
    }
  });
});
