import { chmod, mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { onShell } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import type { Actor } from '../rig/users.ts';

requires('root', 'userns', 'overlay', 'fuse', 'tool:busybox', 'tool:script');

/** Descriptors beyond those that a shell and `ls` open themselves. */
const LOOK = 'ls /proc/self/fd | while read fd; do test $fd -lt 12 || echo open: $fd; done; echo looked';

/** Of keyctl(2); numbers of x86_64 and of the machines that came after it. */
const KEYS = `my ($add, $keyctl) = \`uname -m\` =~ /x86_64/ ? (248, 250) : (217, 219); my ($type, $name) = ('user', 'stk-test-key');`;
/** Becomes a command with a key in a session keyring of its own. */
const WITH_KEY = [
  'perl',
  '-e',
  `${KEYS} syscall($keyctl, 1, 0); syscall($add, $type, $name, $name, 8, -3) > 0 or die; exec @ARGV`,
] as const;
const FIND_KEY = `perl -e "${KEYS.replaceAll(/[$`]/g, '\\$&')} print syscall(\\$keyctl, 10, -3, \\$type, \\$name, 0) > 0 ? 'key' : 'none', qq(\\n)"`;

/** Programs that stk starts; those that start stk itself again, or run in a container, are no strangers. */
const TOOLS =
  'bwrap cp find git mksquashfs mount perl pigz rm script sqfs2tar squashfuse_ll stat tar2sqfs umount xargs zstd fusermount3 fuse-overlayfs'.split(
    ' ',
  );

/** Makes a search path whose tools write down which files they got open, and then are what they are. */
async function spyOnTools(rig: StkRig): Promise<{ readonly PATH: string }> {
  const log = await rig.write('log', '', 0o666);
  const search = process.env['PATH'] ?? '';
  for (const tool of TOOLS) {
    const script = `#!/bin/sh
for fd in /proc/$$/fd/*; do echo "${tool} $(readlink $fd)" >> ${log}; done
PATH='${search}:/usr/sbin:/sbin'; exec ${tool} "$@"
`;
    await rig.write(`spies/${tool}`, script, 0o755);
  }
  return { PATH: `${rig.path('spies')}:${search}` };
}

describe.each<Actor>(['root', 'user'])('the files that the caller of stk holds open, as %s', actor => {
  it('reach no step, hook or container', async () => {
    await using rig = await StkRig.open({ as: actor });
    const inherits = rig.directory;
    await rig.write('stacker.yaml', onShell({ environment: { PATH: '/bin' }, run: LOOK }));
    const { stderr, exitCode } = await rig.stk(['build', '--no-verity', '--progress', 'plain'], { inherits });
    expect({ exitCode, lines: stderr.match(/│ (?:open:.*|looked)$/gm) }).toEqual({ exitCode: 0, lines: ['│ looked'] });

    await rig.write('failing.yaml', onShell({ environment: { PATH: '/bin' }, run: 'exit 3' }));
    const failing = ['build', '-f', 'failing.yaml', '--no-verity'];
    expect(await rig.stk([...failing, '--on-run-failure', LOOK], { inherits })).toMatchObject({
      exitCode: 4,
      stdout: 'looked\n',
    });
    const shell = await rig.stk([...failing, '--shell-fail'], { inherits, stdin: LOOK });
    expect(shell).toMatchObject({ exitCode: 4, stdout: 'looked\n' });

    for (const user of ['0', '7']) {
      expect(await rig.ok(['run', '-u', user, 'app', 'sh', '-c', LOOK], { inherits })).toBe('looked\n');
    }
    const terminal = { rows: 24, columns: 80 };
    expect(await rig.ok(['run', '-t', 'app', 'sh', '-c', LOOK], { inherits, terminal })).toMatch(/^\S*looked\r\n$/);
  });

  it('reach no tool, nor a server that goes on', async () => {
    await using rig = await StkRig.open({ as: actor });
    await mkdir(rig.path('held'));
    const options = { inherits: rig.path('held'), env: await spyOnTools(rig) };
    await rig.write('stacker.yaml', onShell({ environment: { PATH: '/bin' }, run: 'echo 1 > /x' }));
    await rig.ok(['build', '--layer-type', 'squashfs', '--layer-type', 'tar'], options);
    await rig.ok(['run', '--name', 'kept', '--keep', 'app', 'rm', '/x'], options);
    await rig.ok(['commit', 'kept', 'next'], options);
    await rig.ok(['convert', 'oci:oci:app-tar', 'oci:other:app'], options);
    await rig.ok(['run', '-t', 'app', 'true'], { ...options, terminal: { rows: 24, columns: 80 } });
    await mkdir(rig.path('m'));
    await chmod(rig.path('m'), 0o777);
    await rig.ok(['mount', '--fuse', 'app', 'm'], options);
    await rig.ok(['umount', 'm'], options);
    const lines = (await readFile(rig.path('log'), 'utf8')).split('\n');
    expect(new Set(lines.map(line => line.split(' ')[0])).size).toBeGreaterThan(8);
    expect(lines.filter(line => line.endsWith(path.join(rig.directory, 'held')))).toEqual([]);
  });

  it('does not go with the keys of its session', async () => {
    await using rig = await StkRig.open({ as: actor });
    const log = await rig.write('log', '', 0o666);
    const search = process.env['PATH'] ?? '';
    await rig.write('spies/bwrap', `#!/bin/sh\n${FIND_KEY} >> ${log}\nPATH='${search}'; exec bwrap "$@"\n`, 0o755);
    const options = { through: WITH_KEY, env: { PATH: `${rig.path('spies')}:${search}` } };
    await rig.write('stacker.yaml', onShell({ run: 'true' }));
    await rig.ok(['build', '--no-verity'], options);
    await rig.ok(['run', 'app', '/bin/true'], options);
    expect(await readFile(log, 'utf8')).toBe('none\n'.repeat(3));
    const outside = await execa('perl', [...WITH_KEY.slice(1), 'sh', '-c', FIND_KEY]);
    expect(outside.stdout).toBe('key');
  });
});
