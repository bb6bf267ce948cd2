import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DockerRegistry } from '../rig/docker-registry.ts';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'overlay', 'fuse', 'registry', 'tool:busybox', 'tool:umoci', 'tool:skopeo');

let home: string;
let registry: DockerRegistry;

/** An image of which every phase of a build takes a moment: 24 MB that do not compress, and a busybox. */
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'stk-phases-'));
  registry = await DockerRegistry.start();
  const script = `
    mkdir -p root/bin && cp /bin/busybox root/bin/ && head -c 24M /dev/urandom > root/random && tar -C root -cf base.tar .
    umoci init --layout oci && umoci new --image oci:base && umoci raw add-layer --image oci:base base.tar
    skopeo copy --dest-tls-verify=false oci:oci:base docker://${registry.host}/base:1`;
  await execa('sh', ['-ec', script], { cwd: home });
});

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

const PHASES = ['pull', 'convert', 'copy', 'run', 'pack'] as const;

describe.each(['SIGKILL', 'SIGINT'] as const)('%s', signal => {
  it.each(PHASES)('while it begins to %s: a valid layout, nothing left, and the next build works', async phase => {
    await using rig = await StkRig.open({ as: 'root' });
    await rig.write('file', Buffer.alloc(8 << 20, 'x'));
    await rig.write('stacker.yaml', {
      before: { from: 'scratch', imports: [{ path: 'stacker.yaml', dest: '/f' }] },
      app: {
        from: `docker://${registry.host}/base:1`,
        imports: [{ path: 'file', dest: '/file' }],
        run: '#!/bin/busybox sh\n/bin/busybox cp /random /copy',
      },
    });
    await rig.ok(['build', 'before']);
    const build = await rig.start(['build', 'app', '--progress', 'json']);
    await build.said(new RegExp(`"kind":"${phase}"`));
    build.kill(signal);
    expect((await build.done).exitCode).toBe(signal === 'SIGINT' ? 130 : undefined);
    expect((await execa('umoci', ['ls', '--layout', rig.path('oci')])).stdout).toContain('before');
    expect(await rig.ok(['ls', 'before:/'])).toBe('f\n');
    await rig.ok(['build']);
    expect(await rig.ok(['ls', 'app:/'])).toBe('bin\ncopy\nfile\nrandom\n');
    await rig.ok(['gc']);
    const { stdout } = await execa('sh', ['-c', 'ls -A oci .stk/work'], { cwd: rig.directory });
    expect(stdout).not.toMatch(/stk-tmp|build-/);
  });
});
