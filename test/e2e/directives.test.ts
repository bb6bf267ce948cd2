import { readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { blobPath, listImage, readManifest } from '../rig/tree-listing.ts';

type Settings = Readonly<Record<string, unknown>>;

/** A shell in an image, from nothing. */
const SHELL: Settings = {
  from: 'scratch',
  build_only: true,
  imports: [{ path: '/bin/busybox', dest: '/bin/busybox', mode: '0755' }],
  run: '#!/bin/busybox sh\n/bin/busybox --install -s /bin\nmkdir -p /etc /tmp\nchmod 1777 /tmp',
};

const on = (settings: Settings): Settings => ({
  shell: SHELL,
  app: { from: { type: 'built', tag: 'shell' }, ...settings },
});

async function inspect(rig: StkRig, image: string) {
  return JSON.parse(await rig.ok(['inspect', image, '--json'])) as {
    readonly layers: readonly { readonly role: string; readonly digest: string }[];
    readonly config: {
      readonly config: Settings;
      readonly history: readonly Settings[];
      readonly architecture: string;
    };
    readonly annotations: Readonly<Record<string, string>>;
  };
}

describe.each(['root', 'user'] as const)('as %s', actor => {
  requires('root', 'overlay', 'fuse', 'tool:busybox');

  it('imports: files, directories and inline content are readable and read-only during run, and leave no trace', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write('file', 'one');
    await rig.write('dir/sub/deep', 'two');
    await rig.write('stacker.yaml', {
      ...on({
        imports: ['file', { path: 'dir' }, { content: 'three', dest: '/etc/three' }],
        run: ['cat /stacker/imports/file /stacker/imports/dir/sub/deep /etc/three', '! touch /stacker/imports/x'],
      }),
    });
    const { exitCode, stderr } = await rig.stk(['build', '--progress', 'plain']);
    expect([exitCode, stderr]).toEqual([0, expect.stringContaining('onetwothree')]);
    expect(await rig.ok(['ls', 'app:/'])).toBe('bin\netc\ntmp\n');
    expect((await inspect(rig, 'app')).layers.map(layer => layer.role)).toEqual(['base', 'base', 'import']);
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
    await rig.write('stacker.yaml', on({ overlay_dirs: [{ source: 'over', dest: '/' }] }));
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
      on({
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
      on({ build_env: { A: 'x y' }, build_env_passthrough: ['CI_.*'], run: ['pwd', 'env | sort', 'hostname'] }),
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
      on({
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
      on({ cache_dirs: ['/var/keep'], run: 'echo x >> /var/keep/log; wc -l < /var/keep/log' }),
    );
    await rig.ok(['build']);
    const { stderr } = await rig.stk(['build', '--no-cache', '--progress', 'plain', 'app']);
    expect(stderr).toMatch(/^app │ 2$/m);
    expect(await rig.ok(['ls', '-R', 'app:/'])).not.toContain('keep');
  });

  it('network none has a loopback at most', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write(
      'stacker.yaml',
      on({ network: 'none', run: 'ls /sys/class/net; ip -o link 2>/dev/null | cut -d: -f2' }),
    );
    const { exitCode, stderr } = await rig.stk(['build', '--progress', 'plain']);
    expect(exitCode).toBe(0);
    expect(stderr).not.toContain('eth0');
  });

  it('generate_labels runs on a snapshot that is thrown away', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write(
      'stacker.yaml',
      on({ generate_labels: 'echo made > /stacker/oci-labels/how; touch /litter', labels: { fixed: '1' } }),
    );
    await rig.ok(['build']);
    const image = await inspect(rig, 'app');
    expect(image.config.config['Labels']).toEqual({ how: 'made', fixed: '1' });
    expect(await rig.ok(['ls', 'app:/'])).not.toContain('litter');
  });

  it('a failing command ends the build with its status, and a hook sees the failed root', async () => {
    await using rig = await StkRig.open({ as: actor });
    await rig.write('stacker.yaml', on({ run: ['echo kept > /kept', 'ls /does-not-exist', 'echo never'] }));
    const result = await rig.stk(['build', '--progress', 'plain', '--on-run-failure', 'cat /kept']);
    expect(result.exitCode).toBe(4);
    expect(result.stdout).toBe('kept\n');
    expect(result.stderr).toContain('`ls /does-not-exist` failed with exit status 1');
    expect(result.stderr).not.toContain('│ never');
  });
});

describe('values', () => {
  requires('root', 'overlay', 'tool:busybox');

  it('configuration is inherited and changed, annotations and history say where it came from', async () => {
    await using rig = await StkRig.open();
    await rig.write('stacker.yaml', {
      shell: SHELL,
      base: {
        from: { type: 'built', tag: 'shell' },
        environment: { A: '1' },
        cmd: 'serve --fast',
        labels: { l: '1' },
        working_dir: '/srv',
      },
      app: {
        from: { type: 'built', tag: 'base' },
        environment: { B: '2' },
        entrypoint: ['/init'],
        annotations: { note: '${{NOTE}}' },
        run: 'true',
      },
    });
    await rig.ok(['build', '--substitute', 'NOTE=secret-value']);
    const { config, annotations } = await inspect(rig, 'app');
    expect(config.config).toEqual({
      Env: ['A=1', 'B=2'],
      Entrypoint: ['/init'],
      Labels: { l: '1' },
      WorkingDir: '/srv',
    });
    expect(annotations['note']).toBe('secret-value');
    expect(annotations['io.stackeroci.stacker.stacker_yaml']).toContain('${{NOTE}}');
    expect(annotations['org.opencontainers.image.base.digest']).toMatch(/^sha256:/);
    expect(config.history.at(-1)).toMatchObject({ created_by: 'stk run', author: 'stk', empty_layer: true });
    expect((await rig.ok(['ls'])).trim().split('\n').toSorted()).toEqual(['app', 'base']);
  });

  it('prerequisites are built first; stacker:// takes files out of images', async () => {
    await using rig = await StkRig.open();
    await rig.write('lib/stacker.yaml', {
      shell: SHELL,
      lib: { from: { type: 'built', tag: 'shell' }, run: 'mkdir -p /out/d; echo made > /out/d/f; ln -s d/f /out/link' },
    });
    await rig.write('stacker.yaml', {
      config: { prerequisites: ['lib/stacker.yaml'] },
      app: {
        from: { type: 'built', tag: 'shell' },
        imports: ['stacker://lib/out/link', { path: 'stacker://lib/out/', dest: '/in' }],
        run: 'cat /stacker/imports/link /in/link',
      },
    });
    const { exitCode, stderr } = await rig.stk(['build', '--progress', 'plain']);
    expect([exitCode, stderr]).toEqual([0, expect.stringContaining('app │ made')]);
    expect(await rig.ok(['recursive-build', '-d', '.'])).toMatch(/^lib sha256:/m);
  });

  it('from tar: plain, gzip, zstd, http and an image file', async () => {
    await using rig = await StkRig.open();
    await rig.write('root/etc/name', 'tar');
    await execa('sh', ['-ec', 'tar -C root -cf a.tar . && gzip -k a.tar && zstd -q a.tar'], { cwd: rig.directory });
    const image = (url: string) => ({ from: { type: 'tar', url } });
    await rig.write('stacker.yaml', {
      plain: image('a.tar'),
      gzip: image('a.tar.gz'),
      zstd: { from: 'a.tar.zst' },
      holder: { from: 'scratch', imports: [{ path: 'a.tar.gz', dest: '/a.tar.gz' }] },
      inner: image('stacker://holder/a.tar.gz'),
    });
    await rig.ok(['build']);
    const layers = await Promise.all(
      ['plain', 'gzip', 'zstd', 'inner'].map(async name => (await inspect(rig, name)).layers),
    );
    expect(new Set(layers.map(list => list[0]!.digest)).size).toBe(1);
    expect(await rig.ok(['ls', '-R', 'plain:/'])).toBe('etc\netc/name\n');
  });

  it('is byte-identical under SOURCE_DATE_EPOCH, verity included', async () => {
    const digests: string[] = [];
    for (const actor of ['root', 'user'] as const) {
      await using rig = await StkRig.open({ as: actor });
      await rig.write('d/f', 'content');
      await rig.write(
        'stacker.yaml',
        on({ imports: [{ path: 'd', dest: '/d' }], run: 'echo x > /new; mkdir /dir; rm -r /tmp; touch -d @100 /old' }),
      );
      const env = { SOURCE_DATE_EPOCH: '1700000000' };
      await rig.ok(['build'], { env });
      const first = await rig.ok(['build', '--no-cache'], { env });
      await execa('rm', ['-rf', 'oci', '.stk'], { cwd: rig.directory });
      expect(await rig.ok(['build'], { env })).toBe(first);
      const { layers } = await readManifest(rig.path('oci'), 'app');
      digests.push(layers.map(layer => layer.digest).join());
      const times = await execa('unsquashfs', ['-lls', '-UTC', blobPath(rig.path('oci'), layers.at(-1)!.digest)], {
        reject: false,
      });
      expect(times.stdout).not.toMatch(/202[4-9]-/);
    }
    expect(digests[1]).toBe(digests[0]);
  });

  it('an unchanged build writes nothing', async () => {
    await using rig = await StkRig.open();
    await rig.write('stacker.yaml', on({ run: 'true' }));
    const first = await rig.ok(['build']);
    const stamp = async () => (await execa('find', ['oci', '.stk', '-newer', 'mark'], { cwd: rig.directory })).stdout;
    await rig.write('mark', '');
    await execa('touch', ['-d', '+1 second', 'mark'], { cwd: rig.directory });
    expect(await rig.ok(['build'])).toBe(first);
    expect(await stamp()).toBe('');
    const index = await readFile(rig.path('oci/index.json'), 'utf8');
    expect((JSON.parse(index) as { manifests: unknown[] }).manifests).toHaveLength(1);
  });

  it('gc keeps what images and the cache need; clean removes everything of stk', async () => {
    await using rig = await StkRig.open();
    await rig.write('stacker.yaml', on({ run: 'echo 1 > /f' }));
    await rig.ok(['build']);
    await rig.ok(['gc']);
    expect((await rig.stk(['build', '--progress', 'plain'])).stderr).toContain('found cached layer app');
    await rig.write('stacker.yaml', on({ run: 'echo 2 > /f' }));
    await rig.ok(['build']);
    expect(await rig.ok(['gc', '--no-keep-cache'])).toMatch(/removed [1-9]\d* blobs/);
    expect(await rig.ok(['ls', 'app:/'])).toContain('f');
    await rig.ok(['clean', '--all']);
    expect((await execa('ls', ['-A', rig.directory])).stdout.split('\n')).toEqual(['home', 'stacker.yaml']);
  });
});
