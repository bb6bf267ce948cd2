import { readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { SHELL, inspectImage, onShell } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { blobPath, readManifest } from '../rig/tree-listing.ts';

describe('an image', () => {
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
    const { config, annotations } = await inspectImage(rig, 'app');
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

  it('is inspected in full, however long the answer', async () => {
    await using rig = await StkRig.open();
    const labels = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`l${index}`, 'x'.repeat(60_000)]));
    await rig.write('stacker.yaml', { app: { from: 'scratch', labels } });
    await rig.ok(['build']);
    expect((await inspectImage(rig, 'app')).config.config['Labels']).toEqual(labels);
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
      ['plain', 'gzip', 'zstd', 'inner'].map(async name => (await inspectImage(rig, name)).layers),
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
        onShell({
          imports: [{ path: 'd', dest: '/d' }],
          run: 'echo x > /new; mkdir /dir; rm -r /tmp; touch -d @100 /old',
        }),
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
    await rig.write('stacker.yaml', onShell({ run: 'true' }));
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
    await rig.write('stacker.yaml', onShell({ run: 'echo 1 > /f' }));
    await rig.ok(['build']);
    await rig.ok(['gc']);
    expect((await rig.stk(['build', '--progress', 'plain'])).stderr).toContain('found cached layer app');
    await rig.write('stacker.yaml', onShell({ run: 'echo 2 > /f' }));
    await rig.ok(['build']);
    expect(await rig.ok(['gc', '--no-keep-cache'])).toMatch(/removed [1-9]\d* blobs/);
    expect(await rig.ok(['ls', 'app:/'])).toContain('f');
    await rig.ok(['clean', '--all']);
    expect((await execa('ls', ['-A', rig.directory])).stdout.split('\n')).toEqual(['home', 'stacker.yaml']);
  });
});
