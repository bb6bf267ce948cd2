import { chown, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { describe, expect, inject, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { makeKey } from '../rig/sample-build.ts';
import { packDirectory, withVerity, writeImage } from '../rig/squashfs-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { blobPath, readManifest } from '../rig/tree-listing.ts';

const ROLE = 'dev.stk.layer.role';
const ROOT = 'io.stackeroci.stacker.atomfs_verity_root_hash';
const EXIT = { usage: 2, integrity: 7 } as const;

/** A squashfs image with a shell that no code of stk's has packed, with a verity tree. */
async function packShell(rig: StkRig): Promise<{ readonly bytes: Buffer; readonly root: string }> {
  const tree = rig.path('tree');
  await mkdir(path.join(tree, 'bin'), { recursive: true });
  await cp('/bin/busybox', path.join(tree, 'bin/busybox'));
  await execa('ln', ['-s', 'busybox', path.join(tree, 'bin/sh')]);
  return withVerity(await packDirectory(tree));
}

/** Every claim that an image can make for itself. */
async function writeForeign(rig: StkRig): Promise<string> {
  const { bytes, root } = await packShell(rig);
  await writeImage(rig.path('oci'), 'foreign', [{ bytes, annotations: { [ROLE]: 'base', [ROOT]: root } }]);
  return hexOf((await readManifest(rig.path('oci'), 'foreign')).layers[0]!.digest);
}

const hexOf = (digest: string) => digest.slice('sha256:'.length);

/** Where the kernel was told to mount a squashfs while the command ran. */
async function kernelMounts(rig: StkRig, args: readonly string[]): Promise<string> {
  const { node, cli } = inject('stk');
  const trace = rig.path('trace');
  const words = ['-f', '--seccomp-bpf', '-e', 'trace=mount,fsopen', '-s', '4096', '-o', trace, node, cli, ...args];
  const env = { PATH: process.env['PATH'] ?? '', HOME: rig.path('home') };
  await execa('strace', words, { cwd: rig.directory, env, extendEnv: false });
  const lines = (await readFile(trace, 'utf8')).split('\n');
  return lines.filter(line => line.includes('"squashfs"')).join('\n');
}

async function methodOf(rig: StkRig, ref: string, flags: readonly string[] = []): Promise<string> {
  await rig.ok(['mount', ref, 'm', ...flags]);
  const { mounts } = JSON.parse(await rig.ok(['mounts', '--json'])) as {
    mounts: readonly { target: string; method: { layers: string; verity: string } }[];
  };
  const { layers, verity } = mounts.find(mount => mount.target === rig.path('m'))!.method;
  await execa('cat', [rig.path('m/bin/busybox')], { encoding: 'buffer' });
  await rig.ok(['umount', 'm']);
  return `${layers} ${verity}`;
}

describe('the kernel squashfs', () => {
  requires('root', 'fuse', 'kernel-squashfs', 'tool:squashfuse_ll', 'tool:strace');

  it('gets nothing of a foreign base in a build and a run, whatever the base claims', async () => {
    await using rig = await StkRig.open();
    const foreign = await writeForeign(rig);
    await rig.write('stacker.yaml', {
      first: { from: { type: 'oci', url: 'oci:oci:foreign' }, run: 'echo 1 > /one' },
      second: { from: { type: 'built', tag: 'first' }, run: 'read one < /one; echo $one > /two' },
    });
    const built = await kernelMounts(rig, ['build']);
    expect(built).not.toContain(foreign);
    const [, own] = (await readManifest(rig.path('oci'), 'first')).layers;
    expect(built).toContain(hexOf(own!.digest));
    expect(await kernelMounts(rig, ['run', 'foreign', '/bin/sh', '-c', ':'])).toBe('');
    expect(await kernelMounts(rig, ['build', '--no-cache', '--kernel', 'first'])).toContain(foreign);
  });

  it('gets an image that makes claims only where somebody trusted vouches for it', async () => {
    await using rig = await StkRig.open();
    await writeForeign(rig);
    expect(await methodOf(rig, 'foreign')).toMatch(/^fuse/);
    expect(await methodOf(rig, 'foreign', ['--kernel'])).toMatch(/^kernel/);
    const config = await rig.write('config.yaml', { trusted_images: [`oci:${rig.directory}/*:foreign`] });
    expect(await methodOf(rig, 'foreign', ['--config', config])).toMatch(/^kernel/);
    await rig.write('other.yaml', { trusted_images: ['oci:/elsewhere/*'] });
    expect(await methodOf(rig, 'foreign', ['--config', 'other.yaml'])).toMatch(/^fuse/);
    await chown(config, 1000, 1000);
    const refused = await rig.stk(['mount', 'foreign', 'm', '--config', config]);
    expect([refused.exitCode, refused.stderr]).toEqual([EXIT.usage, expect.stringContaining('nobody but root')]);
    const { privateKey, publicKey } = makeKey('');
    await rig.write('sign.key', privateKey);
    await rig.write('sign.pub', publicKey);
    await rig.ok(['sign', 'foreign', '--key', 'sign.key'], { env: { COSIGN_PASSWORD: '' } });
    expect(await methodOf(rig, 'foreign')).toMatch(/^fuse/);
    expect(await methodOf(rig, 'foreign', ['--key', 'sign.pub'])).toMatch(/^kernel (?:dm|user)/);
    await rig.write('lax.json', { default: [{ type: 'insecureAcceptAnything' }] });
    expect(await methodOf(rig, 'foreign', ['--policy', 'lax.json'])).toMatch(/^fuse/);
  });

  it('gets what was packed here, be it converted, but not unseen where others can change it', async () => {
    await using rig = await StkRig.open();
    await packShell(rig);
    await execa('tar', ['-C', rig.path('tree'), '-cf', rig.path('base.tar'), '.']);
    await rig.write('stacker.yaml', { app: { from: { type: 'tar', url: 'base.tar' } } });
    await rig.ok(['build']);
    expect(await methodOf(rig, 'app')).toMatch(/^kernel (?:dm|user)/);
    expect(await methodOf(rig, 'app', ['--verify', 'off'])).toBe('kernel none');
    await cp(rig.path('oci'), rig.path('copy'), { recursive: true });
    const [layer] = (await readManifest(rig.path('copy'), 'app')).layers;
    await chown(blobPath(rig.path('copy'), layer!.digest), 1000, 1000);
    expect(await methodOf(rig, 'oci:copy:app')).toMatch(/^kernel (?:dm|user)/);
    expect(await methodOf(rig, 'oci:copy:app', ['--verify', 'off'])).toBe('fuse none');
    await rig.write('stacker.yaml', { app: { from: { type: 'oci', url: 'oci:copy:app' }, run: ':' } });
    expect(await kernelMounts(rig, ['--oci-dir', 'copy', 'build', '--no-cache'])).toBe('');
  });

  it('gets no bytes that are not those which were packed here, unchecked or not', async () => {
    await using rig = await StkRig.open();
    await packShell(rig);
    await execa('tar', ['-C', rig.path('tree'), '-cf', rig.path('base.tar'), '.']);
    await rig.write('stacker.yaml', { app: { from: { type: 'tar', url: 'base.tar' } } });
    await rig.ok(['build', '--no-verity']);
    await rig.ok(['mount', 'app', 'm']);
    await rig.ok(['umount', 'm']);
    const [layer] = (await readManifest(rig.path('oci'), 'app')).layers;
    const file = blobPath(rig.path('oci'), layer!.digest);
    const bytes = await readFile(file);
    bytes[bytes.length >> 1]! ^= 1;
    await writeFile(file, bytes);
    for (const flags of [[], ['--verify', 'off']]) {
      const refused = await rig.stk(['mount', 'app', 'm', ...flags]);
      expect([refused.exitCode, refused.stderr]).toEqual([EXIT.integrity, expect.stringContaining('do not match')]);
    }
    await rig.write('stacker.yaml', { b: { from: { type: 'oci', url: 'oci:oci:app' }, run: ':' } });
    expect((await rig.stk(['build', 'b'])).exitCode).toBe(EXIT.integrity);
  });

  it('is refused an image that lies about a layer which was packed here', async () => {
    await using rig = await StkRig.open();
    await packShell(rig);
    await execa('tar', ['-C', rig.path('tree'), '-cf', rig.path('base.tar'), '.']);
    await rig.write('stacker.yaml', { app: { from: { type: 'tar', url: 'base.tar' } } });
    await rig.ok(['build']);
    const [layer] = (await readManifest(rig.path('oci'), 'app')).layers;
    const bytes = await readFile(blobPath(rig.path('oci'), layer!.digest));
    await writeImage(rig.path('oci'), 'liar', [{ bytes, annotations: { [ROOT]: 'ab'.repeat(32) } }]);
    const { exitCode, stderr } = await rig.stk(['mount', 'liar', 'm']);
    expect([exitCode, stderr]).toEqual([EXIT.integrity, expect.stringContaining('lies about layer')]);
  });
});
