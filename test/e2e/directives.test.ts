import { stat } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { inspectImage, onShell } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { listImage } from '../rig/tree-listing.ts';

describe.each(['root', 'user'] as const)('as %s', actor => {
  requires('root', 'overlay', 'fuse', 'tool:busybox');

  it('imports: files, directories and inline content are readable and read-only during run, and leave no trace', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write('file', 'one');
    await rig.write('dir/sub/deep', 'two');
    await rig.write('stacker.yaml', {
      ...onShell({
        imports: ['file', { path: 'dir' }, { content: 'three', dest: '/etc/three' }],
        run: ['cat /stacker/imports/file /stacker/imports/dir/sub/deep /etc/three', '! touch /stacker/imports/x'],
      }),
    });
    const { exitCode, stderr } = await rig.stk(['build', '--progress', 'plain']);
    expect([exitCode, stderr]).toEqual([0, expect.stringContaining('onetwothree')]);
    expect(await rig.ok(['ls', 'app:/'])).toBe('bin\netc\ntmp\n');
    expect((await inspectImage(rig, 'app')).layers.map(layer => layer.role)).toEqual(['base', 'base', 'import']);
  });

  it.each<[string, string, readonly string[]]>([
    ['d', '/x', ['x/f']],
    ['d/', '/x', ['x/f']],
    ['d/', '/x/', ['x/f']],
    ['d', '/x/', ['x/d', 'x/d/f']],
    ['d/f', '/x/', ['x/f']],
    ['d/f', '/x', ['x']],
  ])('imports %s to dest %s', async (source, dest, expected) => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write('d/f', 'content');
    await rig.write('stacker.yaml', { app: { from: 'scratch', imports: [{ path: source, dest, uid: 7, gid: 8 }] } });
    await rig.ok(['build']);
    const paths = (await rig.ok(['ls', '-R', 'app:/'])).trim().split('\n');
    expect(paths.filter(path => path !== 'x' || expected.includes('x')).toSorted()).toEqual(expected.toSorted());
    const file = (await listImage(rig.path('oci'), 'app')).get(expected.at(-1)!);
    expect(file).toMatch(/^f 644 7:8 /);
  });

  it('overlay_dirs make a layer of their own, owned by root, and keep the modes of directories that are there', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write('over/tmp/f', 'content', 0o604);
    await rig.write('stacker.yaml', onShell({ overlay_dirs: [{ source: 'over', dest: '/' }] }));
    await rig.ok(['build']);
    const listing = await listImage(rig.path('oci'), 'app');
    expect(listing.get('tmp/f')).toMatch(/^f 604 0:0 /);
    expect(listing.get('tmp')).toMatch(/^d 1777 0:0 /);
  });

  it('binds are there during run only; their content counts unless told otherwise', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write('data/f', 'one');
    await rig.write('aside/f', 'one');
    await rig.write(
      'stacker.yaml',
      onShell({
        binds: ['data -> /data', { source: 'aside', dest: '/aside', cache: 'ignore' }],
        run: 'cat /data/f > /copy',
      }),
    );
    await rig.ok(['build']);
    expect(await rig.ok(['ls', 'app:/'])).toBe('bin\ncopy\ntmp\n');
    await rig.write('aside/f', 'two');
    expect((await rig.stk(['build', '--progress', 'plain'])).stderr).toContain('found cached layer app');
    await rig.write('data/f', 'two');
    expect((await rig.stk(['build', '--progress', 'plain'])).stderr).not.toContain('found cached layer app');
  });

  it('run sees build_env, what passes through, and its own name; nothing else of the host', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write(
      'stacker.yaml',
      onShell({ build_env: { A: 'x y' }, build_env_passthrough: ['CI_.*'], run: ['pwd', 'env | sort', 'hostname'] }),
    );
    const env = { CI_JOB: '7', OTHER: 'no', XCI_NO: 'no' };
    const { stderr } = await rig.stk(['build', '--progress', 'plain'], { env });
    const shown = stderr.split('\n').flatMap(line => /^app │ ([A-Za-z_]+=.*|\/|stk)$/.exec(line)?.[1] ?? []);
    expect(shown).toEqual([
      '/',
      'A=x y',
      'CI_JOB=7',
      'HOME=/root',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'PWD=/',
      expect.stringMatching(/^SHLVL=/),
      'STACKER_LAYER_NAME=app',
      'stk',
    ]);
  });

  it('secrets are files or variables during run, and nowhere else', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write('token', 'hunter2-file');
    await rig.write(
      'stacker.yaml',
      onShell({
        secrets: [{ id: 'token' }, { id: 'pass', env: 'PASS' }],
        run: [
          'test "$(md5sum < /run/secrets/token)" = "a56c3d165b5b2346853b33c5c60d3579  -"',
          'echo seen $PASS',
          'echo done > /done',
        ],
      }),
    );
    const env = { PASS_VALUE: 'hunter2-variable' };
    const args = [
      'build',
      '--progress',
      'plain',
      '--secret',
      'id=token,src=token',
      '--secret',
      'id=pass,env=PASS_VALUE',
    ];
    const { exitCode, stderr } = await rig.stk(args, { env });
    expect(exitCode).toBe(0);
    expect(stderr).not.toContain('hunter2');
    const found = await execa('grep', ['-rl', 'hunter2', '.stk', 'oci'], { cwd: rig.directory, reject: false });
    expect(found.stdout).toBe('');
    expect(await rig.ok(['ls', '-R', 'app:/'])).not.toContain('run/secrets');
    const missing = await rig.stk(['build', '--no-cache']);
    expect([missing.exitCode, missing.stderr]).toEqual([2, expect.stringContaining('secret token')]);
  });

  it('cache_dirs live on between builds and are in no layer', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write(
      'stacker.yaml',
      onShell({ cache_dirs: ['/var/keep'], run: 'echo x >> /var/keep/log; wc -l < /var/keep/log' }),
    );
    await rig.ok(['build']);
    const { stderr } = await rig.stk(['build', '--no-cache', '--progress', 'plain', 'app']);
    expect(stderr).toMatch(/^app │ 2$/m);
    expect(await rig.ok(['ls', '-R', 'app:/'])).not.toContain('keep');
    // What a step leaves there may be a set-user-ID program.
    expect((await stat(rig.path('.stk/cache-dirs'))).mode & 0o777).toBe(0o700);
  });

  it('network none has a loopback at most', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write(
      'stacker.yaml',
      onShell({ network: 'none', run: 'ls /sys/class/net; ip -o link 2>/dev/null | cut -d: -f2' }),
    );
    const { exitCode, stderr } = await rig.stk(['build', '--progress', 'plain']);
    expect(exitCode).toBe(0);
    expect(stderr).not.toContain('eth0');
  });

  it('generate_labels runs on a snapshot that is thrown away', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write(
      'stacker.yaml',
      onShell({ generate_labels: 'echo made > /stacker/oci-labels/how; touch /litter', labels: { fixed: '1' } }),
    );
    await rig.ok(['build']);
    const image = await inspectImage(rig, 'app');
    expect(image.config.config['Labels']).toEqual({ how: 'made', fixed: '1' });
    expect(await rig.ok(['ls', 'app:/'])).not.toContain('litter');
  });

  it('a failing command ends the build with its status, and a hook sees the failed root', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write('stacker.yaml', onShell({ run: ['echo kept > /kept', 'ls /does-not-exist', 'echo never'] }));
    const result = await rig.stk(['build', '--progress', 'plain', '--on-run-failure', 'cat /kept']);
    expect(result.exitCode).toBe(4);
    expect(result.stdout).toBe('kept\n');
    expect(result.stderr).toContain('`ls /does-not-exist` failed with exit status 1');
    expect(result.stderr).not.toContain('│ never');
  });
});
