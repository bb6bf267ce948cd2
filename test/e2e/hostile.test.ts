import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/core/digest.ts';
import { MediaType } from '../../src/oci/media-types.ts';
import { FakeRegistry } from '../rig/fake-registry.ts';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';

/** Exit statuses that users rely on. */
const EXIT = { usage: 2, recipe: 3, registry: 5, integrity: 7, notFound: 8, input: 9, storage: 10 } as const;

async function expectFailure(rig: StkRig, args: readonly string[], exitCode: number, text: RegExp | string) {
  const result = await rig.stk(args);
  expect(result.stderr).toMatch(text);
  expect(result.exitCode).toBe(exitCode);
  expect(result.stderr).not.toContain('internal error');
  return result;
}

describe('recipes', () => {
  it.each<[string, string, number, RegExp]>([
    ['malformed YAML', 'app: {from: scratch', EXIT.recipe, /stacker\.yaml:1:\d+: error/],
    [
      'an unknown directive',
      'app:\n  from: scratch\n  rnu: x\n',
      EXIT.recipe,
      /unknown directive rnu[^]*\| {3}rnu: x[^]*run/,
    ],
    [
      'a cycle',
      'a: {from: {type: built, tag: b}}\nb: {from: {type: built, tag: a}}',
      EXIT.recipe,
      /couldn't find dependencies for [ab]: .*->/,
    ],
    ['a missing base', 'a: {from: {type: built, tag: nope}}', EXIT.recipe, /nope/],
    ['no base', 'a: {run: x}', EXIT.recipe, /no base \(from directive\)/],
    [
      'a missing import',
      'a: {from: scratch, imports: [nowhere]}',
      EXIT.notFound,
      /no such file or directory: .*nowhere/,
    ],
    [
      'a wrong hash',
      `a: {from: scratch, imports: [{path: stacker.yaml, hash: ${'0'.repeat(64)}}]}`,
      EXIT.integrity,
      /sha256:0000.*sha256:[0-9a-f]/,
    ],
    ['a missing layout', 'a: {from: "oci:nowhere:tag"}', EXIT.notFound, /no OCI layout at .*nowhere/],
    ['a missing tar', 'a: {from: nowhere.tar}', EXIT.notFound, /nowhere\.tar/],
    ['no substitution', 'a: {from: scratch, run: "${{NAME}}"}', EXIT.recipe, /no value for substitution NAME/],
  ])('%s', async (_name, recipe, exitCode, text) => {
    await using rig = await StkRig.open();
    await rig.write('stacker.yaml', recipe);
    await expectFailure(rig, ['build'], exitCode, text);
  });

  it('all problems of a file are reported together', async () => {
    await using rig = await StkRig.open();
    await rig.write('stacker.yaml', 'a: {rnu: x}\nb: {from: {type: docker}, runn: y}\n');
    const { stderr } = await expectFailure(rig, ['build'], EXIT.recipe, /problems found/);
    for (const text of ['rnu', 'runn', 'no base']) expect(stderr).toContain(text);
  });

  it.each([
    [['bulid'], /Did you mean build/],
    [['build', '--layer-type', 'zip'], /unknown layer type: zip/],
    [['build', 'nope'], /has no image nope/],
    [['build', '--compression', 'brotli'], /unknown compression/],
    [['build', '--jobs', '0'], /--jobs/],
    [['build', '--secret', 'src=x'], /no id/],
  ])('command line %j', async (args, text) => {
    await using rig = await StkRig.open();
    await rig.write('stacker.yaml', 'a: {from: scratch}');
    await expectFailure(rig, args, EXIT.usage, text);
  });
});

describe('registries', () => {
  /** Puts a small image into the registry and a recipe on it into the rig; returns the layer's digest. */
  async function serveImage(fake: FakeRegistry, rig: StkRig, diffId?: string): Promise<string> {
    await rig.write('root/etc/name', 'x'.repeat(10_000));
    const { stdout } = await execa('tar', ['-C', 'root', '-cf', '-', '.'], { cwd: rig.directory, encoding: 'buffer' });
    const layer = Buffer.from(stdout);
    const rootfs = { type: 'layers', diff_ids: [diffId ?? digestOf(layer)] };
    const describeBlob = (bytes: Buffer, mediaType: string) => {
      return { mediaType, digest: fake.state.putBlob('some/image', bytes), size: bytes.length };
    };
    const manifest = {
      schemaVersion: 2,
      mediaType: MediaType.manifest,
      config: describeBlob(
        Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs })),
        MediaType.config,
      ),
      layers: [describeBlob(layer, MediaType.layerTar)],
    };
    fake.state.putManifest('some/image', '1', Buffer.from(JSON.stringify(manifest)), MediaType.manifest);
    await rig.write('stacker.yaml', { app: { from: `docker://${fake.host}/some/image:1` } });
    return digestOf(layer);
  }

  it('a dropped connection is resumed', async () => {
    await using rig = await StkRig.open();
    await using fake = await FakeRegistry.start();
    const layer = await serveImage(fake, rig);
    fake.failNext({ match: new RegExp(`^GET .*/blobs/${layer}`), with: { kind: 'drop', afterBytes: 5000 } });
    await rig.ok(['build']);
    expect(fake.count(new RegExp(`^GET .*/blobs/${layer}`))).toBe(2);
    expect(await rig.ok(['ls', '-R', 'app:/'])).toBe('etc\netc/name\n');
  });

  it.each([
    ['other bytes', { kind: 'wrong-bytes' }, EXIT.integrity],
    ['an endless redirect', { kind: 'redirect-loop' }, EXIT.registry],
    ['a refusal', { kind: 'status', status: 401 }, EXIT.registry],
    ['a page instead of a blob', { kind: 'html' }, EXIT.registry],
  ] as const)('%s: a clear error and nothing kept', async (_name, failure, exitCode) => {
    await using rig = await StkRig.open();
    await using fake = await FakeRegistry.start();
    const layer = await serveImage(fake, rig);
    fake.failNext({ match: new RegExp(`/blobs/${layer}`), with: failure, times: 1000 });
    await expectFailure(rig, ['build'], exitCode, /error: /);
    expect(await rig.ok(['ls'])).toBe('');
    const blobs = await execa('find', ['oci', '-type', 'f'], { cwd: rig.directory });
    expect(blobs.stdout.split('\n').toSorted()).toEqual(['oci/index.json', 'oci/oci-layout']);
  });

  it('an unreachable one is named', async () => {
    await using rig = await StkRig.open();
    await rig.write('stacker.yaml', { app: { from: 'docker://127.0.0.1:1/image:1' } });
    await expectFailure(rig, ['build'], EXIT.registry, /127\.0\.0\.1:1/);
  });

  it('a forged diff ID is found', async () => {
    await using rig = await StkRig.open();
    await using fake = await FakeRegistry.start();
    await serveImage(fake, rig, digestOf('another tar'));
    await expectFailure(rig, ['build'], EXIT.integrity, /does not hold the tar/);
  });
});

describe('tar files', () => {
  /** Each script makes `evil.tar` with python's tarfile, which lets one write what tar refuses to. */
  const python = (body: string) =>
    `import tarfile,io\nt=tarfile.open('evil.tar','w')\ndef add(name,**k):\n  i=tarfile.TarInfo(name)\n  data=k.pop('data',None)\n  [setattr(i,a,b) for a,b in k.items()]\n  if data: i.size=len(data)\n  t.addfile(i, io.BytesIO(data) if data else None)\n${body}\nt.close()\n`;

  it.each<[string, string, number | 'fine']>([
    ['climbing out with ..', "add('../../../etc/evil',data=b'x')", EXIT.input],
    ['an absolute name', "add('/etc/inside',data=b'x')", 'fine'],
    [
      'a symlink out, then a file through it',
      "add('l',type=tarfile.SYMTYPE,linkname='/tmp')\nadd('l/evil',data=b'x')",
      'fine',
    ],
    [
      'a loop of symlinks',
      "add('a',type=tarfile.SYMTYPE,linkname='b')\nadd('b',type=tarfile.SYMTYPE,linkname='a')\nadd('a/x',data=b'x')",
      EXIT.input,
    ],
    [
      'hard links in a circle',
      "add('a',type=tarfile.LNKTYPE,linkname='b')\nadd('b',type=tarfile.LNKTYPE,linkname='a')",
      EXIT.input,
    ],
    ['a hard link to nothing', "add('a',type=tarfile.LNKTYPE,linkname='nowhere')", EXIT.input],
    ['a whiteout of nothing', "add('.wh.gone')\nadd('f',data=b'x')", 'fine'],
    ['the same file twice', "add('f',data=b'one')\nadd('f',data=b'two!')", 'fine'],
    ['10,000 directories deep', "add('d/'*10000+'f',data=b'x')", 'fine'],
  ])('%s', async (_name, body, outcome) => {
    await using rig = await StkRig.open();
    await execa('python3', ['-c', python(body)], { cwd: rig.directory });
    await rig.write('stacker.yaml', { app: { from: 'evil.tar' } });
    if (outcome === 'fine') await rig.ok(['build']);
    else await expectFailure(rig, ['build'], outcome, /error: /);
    const escaped = await execa('find', ['/etc/evil', '/tmp/evil'], { reject: false });
    expect(escaped.stdout).toBe('');
  });

  it('a sparse bomb of a terabyte is refused', async () => {
    await using rig = await StkRig.open();
    await execa('sh', ['-ec', 'truncate -s 1T bomb && tar -Scf evil.tar bomb && rm bomb'], { cwd: rig.directory });
    await rig.write('stacker.yaml', { app: { from: 'evil.tar' } });
    await expectFailure(rig, ['build'], EXIT.input, /holds more than \d+ bytes/);
    const used = await execa('du', ['-sm', 'oci', '.stk'], { cwd: rig.directory, reject: false });
    for (const row of used.stdout.split('\n')) expect(Number(row.split('\t')[0])).toBeLessThan(100);
  });

  it('truncated gzip is refused', async () => {
    await using rig = await StkRig.open();
    await execa('sh', ['-ec', 'head -c 1M /dev/urandom > f && tar -czf a.tgz f && head -c 500K a.tgz > evil.tar.gz'], {
      cwd: rig.directory,
    });
    await rig.write('stacker.yaml', { app: { from: 'evil.tar.gz' } });
    await expectFailure(rig, ['build'], EXIT.input, /error: /);
  });
});

describe('a full disk', () => {
  requires('root');

  it('is told as such, loses nothing, and the build works once there is room', async () => {
    await using rig = await StkRig.open();
    await rig.write('big', Buffer.alloc(0));
    await execa(
      'sh',
      ['-ec', 'head -c 30M /dev/urandom > big && mkdir small && mount -t tmpfs -o size=8m none small'],
      {
        cwd: rig.directory,
      },
    );
    try {
      await rig.write('stacker.yaml', {
        little: { from: 'scratch', imports: [{ path: 'stacker.yaml', dest: '/f' }] },
        app: { from: 'scratch', imports: [{ path: 'big', dest: '/big' }] },
      });
      await rig.ok(['build', '--oci-dir', 'small/oci', 'little']);
      await expectFailure(rig, ['build', '--oci-dir', 'small/oci'], EXIT.storage, /free some disk space/);
      expect(await rig.ok(['ls', '--oci-dir', 'small/oci'])).toBe('little\n');
      await execa('mount', ['-o', 'remount,size=80m', rig.path('small')]);
      await rig.ok(['build', '--oci-dir', 'small/oci']);
    } finally {
      await execa('umount', [rig.path('small')]);
    }
  });
});
