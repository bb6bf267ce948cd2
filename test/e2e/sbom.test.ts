import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { built } from '../rig/debian-layers.ts';
import { DockerRegistry } from '../rig/docker-registry.ts';
import { requires } from '../rig/gates.ts';
import { packDirectory, writeImage } from '../rig/squashfs-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { blobPath, readManifest } from '../rig/tree-listing.ts';

/** A layer of text files, without any code of stk's. */
async function layer(rig: StkRig, name: string, files: Readonly<Record<string, string>>) {
  for (const [file, content] of Object.entries(files)) {
    await mkdir(path.dirname(rig.path(name, file)), { recursive: true });
    await writeFile(rig.path(name, file), content);
  }
  return { bytes: await packDirectory(rig.path(name)) };
}

const npm = (name: string, version: string) => ({
  [`app/node_modules/${name}/package.json`]: JSON.stringify({ name, version }),
});

describe('an image', () => {
  it('has the same bill of materials in a layout, in an archive and from memory', async () => {
    await using rig = await StkRig.open();
    const lower = await layer(rig, 'lower', { ...npm('a', '1'), ...npm('b', '1'), 'app/note': '' });
    const upper = await layer(rig, 'upper', npm('a', '2'));
    await writeImage(rig.path('oci'), 'app', [lower, upper]);
    expect(await rig.ok(['sbom', 'app', '--format', 'list'])).toBe('npm a 2\nnpm b 1\n');
    expect(await rig.ok(['sbom', 'app', '--format', 'list', '--layer', '1'])).toBe('npm a 1\nnpm b 1\n');
    expect(await rig.ok(['sbom', 'app', '--unowned'])).toBe('/app/note\n');
    const first = await rig.ok(['sbom', 'app']);
    expect(await rig.ok(['sbom', 'app'])).toBe(first);
    await execa('tar', ['-C', rig.path('oci'), '-cf', rig.path('app.tar'), '.']);
    expect(await rig.ok(['sbom', 'oci-archive:app.tar:app', '--format', 'list'])).toBe('npm a 2\nnpm b 1\n');
    const rows = (await rig.ok(['sbom', 'app', '--format', 'list', '--json'])).trim().split('\n');
    expect(rows.map(row => (JSON.parse(row) as { purl: string }).purl)).toEqual(['pkg:npm/a@2', 'pkg:npm/b@1']);
  });

  it('with a damaged database has the rest of it, with a warning', async () => {
    await using rig = await StkRig.open();
    const damaged = await layer(rig, 'l', { 'var/lib/dpkg/status': 'Package: half', ...npm('a', '1') });
    await writeImage(rig.path('oci'), 'app', [damaged]);
    const { exitCode, stdout, stderr } = await rig.stk(['sbom', 'app', '--format', 'spdx']);
    expect([exitCode, stderr]).toEqual([0, expect.stringMatching(/^warning: \/var\/lib\/dpkg\/status in layer/)]);
    expect(JSON.parse(stdout)).toMatchObject({
      annotations: [{ comment: expect.stringContaining('cut off') as string }],
    });
  });

  it('is refused where a layer is no squashfs, is missing, or there is none of the number', async () => {
    await using rig = await StkRig.open();
    const good = await layer(rig, 'l', npm('a', '1'));
    await writeImage(rig.path('oci'), 'app', [good]);
    await writeImage(rig.path('oci'), 'tar', [{ ...good, mediaType: 'application/vnd.oci.image.layer.v1.tar' }]);
    await writeImage(rig.path('oci'), 'junk', [{ bytes: Buffer.alloc(5000, 'x') }]);
    expect(await rig.stk(['sbom', 'tar'])).toMatchObject({
      exitCode: 9,
      stderr: expect.stringContaining('stk convert') as string,
    });
    expect((await rig.stk(['sbom', 'junk'])).exitCode).toBe(9);
    expect((await rig.stk(['sbom', 'nothing'])).exitCode).toBe(8);
    expect(await rig.stk(['sbom', 'app', '--layer', '2'])).toMatchObject({
      exitCode: 8,
      stderr: expect.stringContaining('they are: 1 ') as string,
    });
  });
});

describe('images of Debian', () => {
  requires('root', 'overlay', 'registry', 'debian-base');
  let rig: StkRig;

  beforeAll(async () => {
    rig = await StkRig.open({ as: 'root' });
    await rig.write('stacker.yaml', {
      base: { from: { type: 'tar', url: inject('stk').debianBase } },
      with: built('base', { run: ['apt-get update', 'apt-get install -y --no-install-recommends hello attr'] }),
      without: built('with', { run: ['apt-get remove -y hello', 'rm /usr/share/doc/attr/copyright'] }),
    });
    await rig.ok(['build', '--progress', 'plain']);
  }, 600_000);

  afterAll(async () => rig?.[Symbol.asyncDispose]());

  it.each(['base', 'with', 'without'])('%s: has every package that dpkg-query knows of', async tag => {
    const admin = rig.path(`dpkg-${tag}`);
    await mkdir(admin, { recursive: true });
    const { layers } = await readManifest(rig.path('oci'), tag);
    const blob = blobPath(rig.path('oci'), layers.at(-1)!.digest);
    await writeFile(
      path.join(admin, 'status'),
      (await execa('unsquashfs', ['-cat', blob, 'var/lib/dpkg/status'])).stdout,
    );
    const format = '${db:Status-Status} deb ${Package} ${Version} ${Architecture}\\n';
    const { stdout } = await execa('dpkg-query', ['--admindir', admin, '-W', '-f', format]);
    const expected = stdout.split('\n').flatMap(line => (line.startsWith('installed ') ? line.slice(10) : []));
    const listed = (await rig.ok(['sbom', tag, '--format', 'list'])).trim().split('\n');
    expect(listed.toSorted()).toEqual(expected.toSorted());
    expect(listed.some(line => line.startsWith('deb hello'))).toBe(tag === 'with');
  });

  it('say of each package which layer brought it, and of files that none did', async () => {
    const { layers } = await readManifest(rig.path('oci'), 'without');
    const rows = (await rig.ok(['sbom', 'without', '--format', 'list', '--json'])).trim().split('\n');
    const brought = rows.map(row => JSON.parse(row) as { name: string; layer: string });
    expect(brought.find(({ name }) => name === 'attr')?.layer).toBe(layers[1]!.digest);
    expect(brought.find(({ name }) => name === 'dpkg')?.layer).toBe(layers[0]!.digest);
    const unowned = (await rig.ok(['sbom', 'without', '--unowned'])).trim().split('\n');
    expect(unowned).toContain('/etc/passwd');
    // What dpkg says of itself it counts as nobody's; all else of these directories came in packages.
    expect(
      unowned
        .filter(line => /^\/(usr\/)?(bin|sbin|lib\/x86_64-linux-gnu)\/[^/]+$/.test(line))
        .filter(line => !/alternatives|awk|which|pager|rmt/.test(line)),
    ).toEqual([]);
  });

  it('are read by ranges on a registry, to the same packages', async () => {
    await using registry = await DockerRegistry.start();
    const image = `docker://${registry.host}/debian:1`;
    await rig.ok(['publish', 'without', image, '--tls-verify', 'false']);
    const env = { XDG_CACHE_HOME: rig.path('fresh') };
    const there = await rig.ok(['sbom', image, '--format', 'list', '--tls-verify', 'false'], { env });
    expect(there).toBe(await rig.ok(['sbom', 'without', '--format', 'list']));
  });
});
