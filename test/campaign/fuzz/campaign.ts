import { randomBytes } from 'node:crypto';
import { readFile, readdir, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { StkError } from '../../../src/core/errors.ts';
import { campaign, keepFailure, wholeNumber, type Campaign, type Figures } from '../campaign.ts';
import { randomNumbers } from '../random.ts';
import { mutate } from './mutate.ts';
import { targets, type Target } from './targets.ts';

/** Nothing that small may keep a reader busy for so long. */
const MOST_MS = 5000;

async function run({ home, seed, signal, options }: Campaign): Promise<Figures> {
  const inputs = wholeNumber('inputs', options['inputs'] ?? '');
  const all = await samples(home);
  const random = randomNumbers(seed);
  const chosen = all.flatMap(target => Array.from({ length: target.weight }, () => target));
  const count = { inputs: 0, taken: 0, refused: 0, wrong: 0 };
  for (let number = 1; number <= inputs && !signal.aborted; number++) {
    const target = chosen[Math.floor(random() * chosen.length)]!;
    const sample = target.samples[Math.floor(random() * target.samples.length)]!;
    const bytes = mutate(sample, random);
    const { verdict, problem } = await attempt(target, bytes);
    count.inputs++;
    count[verdict]++;
    if (problem === undefined) continue;
    const content = { target: target.name, problem, base64: bytes.toString('base64') };
    const file = await keepFailure(home, `${seed}-${number}-${target.name.replaceAll(' ', '-')}.json`, content);
    console.log(`${number} ${target.name}: ${problem} ${file}`);
  }
  return { counts: { targets: all.length, ...count }, failed: count.wrong > 0 };
}

async function attempt(
  target: Target,
  bytes: Buffer,
): Promise<{ readonly verdict: 'taken' | 'refused' | 'wrong'; readonly problem?: string }> {
  const start = performance.now();
  let verdict: 'taken' | 'refused' = 'taken';
  try {
    await target.read(bytes);
  } catch (error) {
    if (!(error instanceof StkError)) return { verdict: 'wrong', problem: String(error) };
    verdict = 'refused';
  }
  const ms = performance.now() - start;
  return ms > MOST_MS ? { verdict: 'wrong', problem: `took ${Math.round(ms)} ms` } : { verdict };
}

/** Real files: what other programs write, and the recipes of the examples. */
async function samples(home: string): Promise<readonly Target[]> {
  const directory = await mkdtemp(path.join(home, 'samples-'));
  try {
    const tree = path.join(directory, 'tree');
    await mkdir(path.join(tree, 'etc/deep'), { recursive: true });
    await writeFile(path.join(tree, 'etc/deep/random'), randomBytes(70_000));
    await writeFile(path.join(tree, 'text'), 'line of text\n'.repeat(4000));
    for (let index = 0; index < 40; index++) await writeFile(path.join(tree, `etc/f${index}`), `file ${index}\n`);
    await execa('ln', ['-s', '../text', path.join(tree, 'etc/link')]);
    await execa('ln', [path.join(tree, 'text'), path.join(tree, 'hard')]);
    await execa('setfattr', ['-n', 'user.name', '-v', 'value', path.join(tree, 'text')], { reject: false });
    const read = (name: string) => readFile(path.join(directory, name));
    const squashfs: Buffer[] = [];
    for (const compressor of ['zstd', 'gzip', 'xz', 'lz4']) {
      const image = path.join(directory, compressor);
      await execa('mksquashfs', [tree, image, '-comp', compressor, '-b', '16K', '-noappend', '-quiet', '-no-progress']);
      squashfs.push(await readFile(image));
    }
    const tars: Buffer[] = [];
    const formats = { ustar: [], gnu: ['--sparse'], pax: ['--sparse', '--xattrs'] };
    for (const [format, more] of Object.entries(formats)) {
      await execa('tar', ['-c', ...more, `--format=${format}`, '-f', path.join(directory, format), '-C', tree, '.']);
      tars.push(await read(format));
    }
    const zstd: Buffer[] = [];
    for (const level of ['-1', '-19']) {
      await execa('zstd', ['-q', '-f', level, path.join(tree, 'text'), '-o', path.join(directory, 'text.zst')]);
      zstd.push(await read('text.zst'));
    }
    await execa('truncate', ['-s', '64K', path.join(directory, 'zstd')]);
    const format = await execa(
      'veritysetup',
      ['format', path.join(directory, 'zstd'), path.join(directory, 'hashes')],
      { reject: false },
    );
    const verity = format.failed ? Buffer.alloc(512) : (await read('hashes')).subarray(0, 512);
    const recipes = await Promise.all(
      (await readdir('examples', { recursive: true }))
        .filter(name => name.endsWith('stacker.yaml'))
        .map(name => readFile(path.join('examples', name))),
    );
    return targets({ squashfs, tar: tars, zstd, verity: [verity], recipes, documents: documents() });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** As image-spec and stk write them. */
function documents(): Record<'manifest' | 'index' | 'config' | 'applied', readonly Buffer[]> {
  const digest = `sha256:${'ab'.repeat(32)}`;
  const oci = (type: string) => `application/vnd.oci.image.${type}`;
  const descriptor = (type: string) => ({ mediaType: oci(type), digest, size: 1234, annotations: { a: 'b' } });
  const json = (value: object) => [Buffer.from(JSON.stringify(value))];
  return {
    manifest: json({
      schemaVersion: 2,
      mediaType: oci('manifest.v1+json'),
      config: descriptor('config.v1+json'),
      layers: [descriptor('layer.v1.tar+gzip'), descriptor('layer.v1.tar')],
      annotations: { c: 'd' },
      subject: descriptor('manifest.v1+json'),
    }),
    index: json({
      schemaVersion: 2,
      mediaType: oci('index.v1+json'),
      manifests: [
        { ...descriptor('manifest.v1+json'), platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
      ],
    }),
    config: json({
      architecture: 'amd64',
      os: 'linux',
      created: '2023-11-14T22:13:20Z',
      config: { Env: ['A=b'], Cmd: ['x'], Labels: { l: 'm' }, Volumes: { '/v': {} } },
      rootfs: { type: 'layers', diff_ids: [digest, digest] },
      history: [{ created_by: 'x' }, { empty_layer: true }],
    }),
    applied: json([
      {
        name: 'ssl',
        ref: 'docker://h/ssl:1',
        digest,
        anyBase: false,
        conflicts: [['/etc/*', 'last']],
        held: { shared: 1, own: [digest] },
      },
    ]),
  };
}

await campaign('fuzz', { inputs: '100000' }, run);
