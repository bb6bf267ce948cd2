import { rm } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { FakeRegistry } from '../rig/fake-registry.ts';
import { requires } from '../rig/gates.ts';
import { buildSample, inspect, rawManifest } from '../rig/sample-build.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('overlay', 'registry', 'tool:skopeo');

const INSECURE = ['--tls-verify=false'];

describe('publishing what a recipe builds', () => {
  it('sends each image to a repository of its name, layers once, and nothing the second time', async () => {
    await using rig = await StkRig.open();
    await using registry = await rig.registry();
    await buildSample(rig);
    const args = [
      'publish',
      `docker://${registry.host}/team/x`,
      '--tag',
      '1.0',
      '--tag',
      'latest',
      '--progress',
      'plain',
    ];
    const first = await rig.stk(args);
    expect(first).toMatchObject({ exitCode: 0 });
    expect(first.stdout.trim().split('\n')).toHaveLength(4);
    for (const name of ['app', 'tool']) {
      const remote = await inspect(`docker://${registry.host}/team/x/${name}:1.0`, INSECURE);
      const local = await inspect(`oci:${rig.path('oci')}:${name}`);
      expect(remote['Digest']).toBe(local['Digest']);
      expect(remote['RepoTags']).toEqual(expect.arrayContaining(['1.0', 'latest']));
    }
    // The base's layer went to the first repository; the second took it from there.
    expect(first.stderr).toMatch(/tool │ published: .* in 1 blobs sent, 1 already there/);
    const second = await rig.stk(args);
    expect(second.stderr).toMatch(/app │ published: 0 B in 0 blobs sent, 3 already there/);
  });

  it('takes layers from where an earlier command has sent them, for as long as they are there', async () => {
    await using rig = await StkRig.open();
    await using registry = await rig.registry();
    await buildSample(rig);
    const publish = (image: string, repository: string) =>
      rig.stk(['publish', image, `docker://${registry.host}/team/${repository}:1`, '--progress', 'plain']);
    expect((await publish('app', 'one')).stderr).toMatch(/published: .* in 3 blobs sent, 0 already there/);
    const second = await publish('tool', 'two');
    expect(second.stderr).toMatch(/published: \d+ B in 1 blobs sent, 1 already there/);
    await rm(`${registry.directory}/data/docker/registry/v2/repositories/team`, { recursive: true });
    const third = await publish('tool', 'three');
    expect(third).toMatchObject({ exitCode: 0 });
    expect(third.stderr).toMatch(/published: .* in 2 blobs sent, 0 already there/);
  });

  it('refuses images that are build_only, unknown, or no longer what the recipe says', async () => {
    await using rig = await StkRig.open();
    await buildSample(rig);
    expect(await rig.stk(['publish', 'oci:out', '--image', 'base'])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('base is build_only') as string,
    });
    expect(await rig.stk(['publish', 'oci:out', '--image', 'nope'])).toMatchObject({ exitCode: 2 });
    await rig.write('file', 'changed\n');
    expect(await rig.stk(['publish', 'oci:out'])).toMatchObject({ exitCode: 12 });
    expect(await rig.stk(['publish', 'oci:out', '--image', 'tool'])).toMatchObject({ exitCode: 0 });
    expect(await rig.ok(['publish', 'oci:out', '--force', '--image', 'app', '--tag', '2'])).toMatch(
      /^oci:out:app_2 sha256/,
    );
  });

  it('takes the images of either layer type', async () => {
    await using rig = await StkRig.open();
    const types = ['--layer-type', 'tar', '--layer-type', 'squashfs'];
    await buildSample(rig, types);
    const lines = (await rig.ok(['publish', 'oci:out', ...types])).trim().split('\n');
    expect(lines.map(line => line.split(' ')[0])).toEqual(
      ['app', 'app-squashfs', 'tool', 'tool-squashfs'].map(tag => `oci:out:${tag}`),
    );
    const tagged = await rig.ok(['publish', 'oci:out', ...types, '--tag', '1', '--image', 'app']);
    expect(tagged).toMatch(/^oci:out:app_1 .*\noci:out:app_1-squashfs /);
  });

  it('with a user name and password of its own, this once, and says what it leaves out', async () => {
    await using rig = await StkRig.open();
    const login = { username: 'ci', password: 'pass-of-ci' };
    await using fake = await FakeRegistry.start({ auth: { kind: 'basic', ...login } });
    await buildSample(rig);
    const publish = ['publish', '--url', `docker://${fake.host}/team`, '--image', 'app', '--username', 'ci'];
    const ways: [readonly string[], Parameters<StkRig['stk']>[1]][] = [
      [['--password', login.password], {}],
      [['--password-stdin'], { stdin: `${login.password}\n` }],
      [[], { env: { STK_PASSWORD: login.password } }],
    ];
    for (const [flags, options] of ways) {
      const { exitCode, stderr } = await rig.stk([...publish, ...flags, '--tag', 'v1'], options);
      expect([exitCode, stderr.includes(login.password)]).toEqual([0, false]);
    }
    expect(await rig.stk([...publish, '--password', 'wrong'])).toMatchObject({ exitCode: 5 });
    expect(await rig.stk(['publish', 'oci:out', '--username', 'ci', '--password', 'x'])).toMatchObject({ exitCode: 2 });
    const { stderr } = await rig.stk(['publish', 'oci:out', '--progress', 'plain']);
    expect(stderr).toContain('base is build_only: it is not published');
  });

  it('publishes nothing where there is nothing but images that are build_only, and what is there whatever it was made of', async () => {
    await using rig = await StkRig.open();
    await rig.write('stacker.yaml', 'hidden:\n  from: scratch\n  build_only: true\n  labels: {l: "${{WORD}}"}\n');
    await rig.ok(['build', '--substitute', 'WORD=x']);
    expect(await rig.ok(['publish', 'oci:out', '--substitute', 'WORD=y'])).toBe('');
    await rig.write('stacker.yaml', 'app:\n  from: scratch\n  labels: {l: "${{WORD}}"}\n');
    await rig.ok(['build', '--substitute', 'WORD=x']);
    expect(await rig.stk(['publish', 'oci:out'])).toMatchObject({ exitCode: 3 });
    expect(await rig.ok(['publish', 'oci:out', '--force'])).toMatch(/^oci:out:app sha256/);
  });

  it('shows what it would do', async () => {
    await using rig = await StkRig.open();
    await buildSample(rig);
    const shown = await rig.ok([
      'publish',
      'docker://registry.invalid/a',
      '--show-only',
      '--tag',
      'v1',
      '--image',
      'app',
    ]);
    expect(shown).toBe('would publish: app to docker://registry.invalid/a/app:v1\n');
  });
});

describe('publishing one image', () => {
  it.each([
    ['SRC is a tag of the layout', 'app', 'docker://HOST/one:v1', 'docker://HOST/one:v1'],
    ['DEST has no tag', 'oci:oci:app', 'docker://HOST/one', 'docker://HOST/one:latest'],
    ['both are layouts', 'oci:oci:app', 'oci:copy:a:b', 'oci:DIR/copy:a:b'],
  ])('where %s', async (_, from, to, check) => {
    await using rig = await StkRig.open();
    await using registry = await rig.registry();
    await buildSample(rig);
    const fill = (text: string) => text.replace('HOST', registry.host).replace('DIR', rig.directory);
    await rig.ok(['publish', from, fill(to)]);
    if (check.endsWith('a:b')) {
      // skopeo takes what follows the second colon for the tag as well.
      expect(await rawManifest(fill(check))).toBe(await rawManifest(`oci:${rig.path('oci')}:app`));
      return;
    }
    expect(await rawManifest(fill(check), INSECURE)).toBe(await rawManifest(`oci:${rig.path('oci')}:app`));
  });

  it('copies an index, its images and what refers to them verbatim, between registries', async () => {
    await using rig = await StkRig.open();
    await using from = await rig.registry();
    await using to = await rig.registry();
    await buildSample(rig, ['--layer-type', 'tar']);
    const push = (tag: string) => rig.ok(['publish', tag, `docker://${from.host}/multi:${tag}`]);
    const digests = [(await push('app')).trim().split(' ')[1]!, (await push('tool')).trim().split(' ')[1]!];
    const entries = digests.map((digest, index) => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest,
      size: 0,
      platform: { os: 'linux', architecture: index === 0 ? 'amd64' : 'arm64' },
    }));
    for (const entry of entries) {
      entry.size = (await rawManifest(`docker://${from.host}/multi@${entry.digest}`, INSECURE)).length;
    }
    const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: entries };
    const put = await fetch(`http://${from.host}/v2/multi/manifests/all`, {
      method: 'PUT',
      headers: { 'content-type': index.mediaType },
      body: JSON.stringify(index),
    });
    expect(put.status).toBe(201);
    await rig.ok(['publish', `docker://${from.host}/multi:all`, `docker://${to.host}/copy:all`, '--referrers']);
    expect(await rawManifest(`docker://${to.host}/copy:all`, INSECURE)).toBe(JSON.stringify(index));
    await execa('skopeo', [
      'copy',
      '--all',
      '--src-tls-verify=false',
      `docker://${to.host}/copy:all`,
      `oci:${rig.path('back')}:all`,
    ]);
  });

  it('leaves the old tag where it was when it dies half-way, and goes on where it stopped', async () => {
    await using rig = await StkRig.open();
    await using fake = await FakeRegistry.start();
    await buildSample(rig);
    const target = `docker://${fake.host}/app:v1`;
    const old = (await rig.ok(['publish', 'tool', target])).trim().split(' ')[1];
    const die = { kind: 'status', status: 507 } as const;
    fake.failNext({ match: /PUT \/v2\/app\/manifests\/v1/, with: die });
    expect(await rig.stk(['publish', 'app', target])).toMatchObject({ exitCode: 5 });
    expect(fake.state.manifest('app', 'v1')?.digest).toBe(old);
    const again = await rig.stk(['publish', 'app', target, '--progress', 'plain']);
    expect(again.stderr).toContain('0 B in 0 blobs sent');
    expect(fake.state.manifest('app', 'v1')?.digest).toBe(again.stdout.trim().split(' ')[1]);
  });

  it.each<[string, Parameters<FakeRegistry['failNext']>[0], number]>([
    ['answers HTML with 200', { match: /GET \/v2\/app\/manifests/, with: { kind: 'html' }, times: 9 }, 5],
    ['serves wrong bytes', { match: /GET \/v2\/app\/blobs/, with: { kind: 'wrong-bytes' }, times: 9 }, 7],
    [
      'serves a manifest of 10 MB',
      { match: /GET \/v2\/app\/manifests/, with: { kind: 'overlong', extraBytes: 10_000_000 }, times: 9 },
      5,
    ],
    [
      'lies about its type',
      {
        match: /GET \/v2\/app\/manifests/,
        with: { kind: 'headers', headers: { 'content-type': 'application/vnd.oci.image.index.v1+json' } },
        times: 9,
      },
      9,
    ],
  ])('from a registry that %s ends with a status that says so, and no tag', async (_, failure, exitCode) => {
    await using rig = await StkRig.open();
    await using fake = await FakeRegistry.start();
    await buildSample(rig);
    await rig.ok(['publish', 'app', `docker://${fake.host}/app:v1`]);
    fake.failNext(failure);
    const result = await rig.stk(['publish', `docker://${fake.host}/app:v1`, 'oci:copy:v1']);
    expect(result).toMatchObject({ exitCode });
    const { stdout } = await execa('jq', ['-c', '.manifests', rig.path('copy/index.json')]);
    expect(stdout).toBe('[]');
  });
});

describe('verifying an image in a registry', () => {
  it('reads every byte, and finds the one that is wrong and the blob that is gone', async () => {
    await using rig = await StkRig.open();
    await using fake = await FakeRegistry.start();
    await buildSample(rig);
    const place = `docker://${fake.host}/app:1`;
    await rig.ok(['publish', 'app', place]);
    expect(await rig.ok(['verify', place])).toContain('is intact: 3 blobs');
    expect(JSON.parse(await rig.ok(['verify', place, '--json']))).toMatchObject({ ok: true, blobs: 3, layers: 2 });
    fake.failNext({ match: /^GET .*\/blobs\//, with: { kind: 'wrong-bytes' } });
    const flipped = await rig.stk(['verify', place]);
    expect(flipped).toMatchObject({ exitCode: 7, stdout: '' });
    expect(await rig.stk(['verify', `docker://${fake.host}/app:2`])).toMatchObject({ exitCode: 8 });
  });
});
