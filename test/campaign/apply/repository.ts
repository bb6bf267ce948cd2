import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { execa } from 'execa';
import type { Stk } from '../stk.ts';

/** Where images and containers see the repository. */
export const REPOSITORY = '/repository';

/**
 * A repository of Debian packages for apt, with everything that the wanted ones ask for, made once and kept: small lists
 * that apt reads in no time, files that nothing has to download or to decompress.
 */
export class Repository {
  readonly directory: string;
  /** Another where the packages are others. */
  readonly version: string;

  private constructor(directory: string, version: string) {
    this.directory = directory;
    this.version = version;
  }

  /**
   * @param image a Debian with lists of packages, by its tag
   * @param wanted names for apt-get install, a set of them each
   */
  static async open(stk: Stk, image: string, wanted: readonly string[]): Promise<Repository> {
    const directory = path.join(stk.home, 'repository');
    const made = path.join(directory, 'made.json');
    const index = path.join(directory, 'Packages');
    await mkdir(path.join(directory, 'partial'), { recursive: true });
    const known = JSON.parse(await readFile(made, 'utf8').catch(() => '[]')) as string[];
    const missing = wanted.filter(each => !known.includes(each));
    if (missing.length > 0) {
      await download(stk, image, directory, missing);
      await writeFile(index, await indexOf(directory));
      await writeFile(made, JSON.stringify([...known, ...missing]));
    }
    const version = createHash('sha256')
      .update(await readFile(index))
      .digest('hex');
    return new Repository(directory, version.slice(0, 12));
  }
}

async function download(stk: Stk, image: string, directory: string, wanted: readonly string[]): Promise<void> {
  const get = `apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives=${REPOSITORY}`;
  const script = ['set -e', 'apt-get update', ...wanted.map(each => `${get} -o APT::Sandbox::User=root ${each}`)];
  const place = `${directory}:${REPOSITORY}`;
  const { exitCode, output } = await stk.run('run', '-v', place, image, 'sh', '-c', script.join('\n'));
  if (exitCode !== 0) throw new Error(`packages cannot be downloaded: ${output.slice(-600)}`);
}

/** The `Packages` of a directory (Debian's repository format), whose packages are stored uncompressed from now on. */
async function indexOf(directory: string): Promise<string> {
  const stanzas: string[] = [];
  for (const name of (await readdir(directory)).filter(each => each.endsWith('.deb')).toSorted()) {
    const file = path.join(directory, name);
    const stored = file.replace(/[^/]*$/, plainName(name));
    if (stored !== file) await storePlain(file, stored);
    const { stdout } = await execa('dpkg-deb', ['-f', stored]);
    const hash = createHash('sha256');
    await pipeline(createReadStream(stored), hash);
    const { size } = await stat(stored);
    const more = [`Filename: ./${plainName(name)}`, `Size: ${size}`, `SHA256: ${hash.digest('hex')}`];
    stanzas.push([stdout, ...more, ''].join('\n'));
  }
  return stanzas.join('\n');
}

function plainName(name: string): string {
  return name.replace(/(?:[.]plain)?[.]deb$/, '.plain.deb');
}

const HEADER_BYTES = 60;

/** Writes a package (deb(5), an ar(5) archive) with its data uncompressed, and removes the original. */
async function storePlain(file: string, target: string): Promise<void> {
  const unfinished = `${target}.unfinished`;
  const data = `${target}.data`;
  const members: { readonly name: string; readonly start: number; readonly size: number }[] = [];
  await using input = await open(file);
  const { size: total } = await input.stat();
  for (let at = 8; at + HEADER_BYTES <= total;) {
    const header = (await input.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, at)).buffer.toString('latin1');
    const size = Number(header.slice(48, 58));
    members.push({ name: header.slice(0, 16).trim().replace(/\/$/, ''), start: at + HEADER_BYTES, size });
    at += HEADER_BYTES + size + (size % 2);
  }
  const output = createWriteStream(unfinished);
  output.write('!<arch>\n');
  for (const { name, start, size } of members) {
    let from = { file, start, end: start + size - 1 };
    if (name === 'data.tar.xz') {
      await execa('xz', ['-dc'], {
        input: createReadStream(file, { start: from.start, end: from.end }),
        stdout: { file: data },
        buffer: false,
      });
      from = { file: data, start: 0, end: (await stat(data)).size - 1 };
    }
    const length = from.end - from.start + 1;
    const stored = name === 'data.tar.xz' ? 'data.tar' : name;
    output.write(
      `${stored.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}100644  ${String(length).padEnd(10)}\`\n`,
    );
    await pipeline(createReadStream(from.file, { start: from.start, end: from.end }), output, { end: false });
    if (length % 2 === 1) output.write('\n');
  }
  await new Promise<void>((resolve, reject) =>
    output.end((error?: Error | null) => (error ? reject(error) : resolve())),
  );
  await rename(unfinished, target);
  await rm(data, { force: true });
  await rm(file);
}
