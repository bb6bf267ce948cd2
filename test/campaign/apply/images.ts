import { copyFile, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import type { Stk } from '../stk.ts';
import type { CampaignPackage } from './packages.ts';
import { REPOSITORY, Repository } from './repository.ts';

export const INSTALL = 'apt-get install -y --no-install-recommends --no-remove';
export const QUIET = 'export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8';

/** What apt-get is to install for a package of the campaign. */
export const installed = ({ name, install = name }: CampaignPackage) => install;

/** An image for each package, all on one Debian, built when a set asks for it and kept. */
export class Images {
  readonly repository: Repository;
  readonly #stk: Stk;
  readonly #recipe: Readonly<Record<string, object>>;
  readonly #built = new Map<string, Promise<void>>();

  private constructor(stk: Stk, repository: Repository, recipe: Readonly<Record<string, object>>) {
    this.#stk = stk;
    this.repository = repository;
    this.#recipe = recipe;
  }

  static async open(stk: Stk, packages: readonly CampaignPackage[]): Promise<Images> {
    await prepare(stk);
    await succeed(stk, 'build', '-f', await stk.write('debian.json', { full: { from: 'debian.tar' } }));
    const repository = await Repository.open(stk, 'full', packages.map(installed));
    const recipe = recipeOf(repository, packages);
    await stk.write('images.json', recipe);
    // Once: two builds at the same time would make two, which images do not share.
    await succeed(stk, 'build', '-f', 'images.json', 'debian', '--progress', 'plain');
    return new Images(stk, repository, recipe);
  }

  /** The tag of a package's image; throws where it does not build. */
  async tag({ name }: CampaignPackage): Promise<string> {
    const tag = `p-${name}`;
    const built = this.#built.get(tag) ?? this.#build(tag);
    this.#built.set(tag, built);
    await built;
    return tag;
  }

  async #build(tag: string): Promise<void> {
    const wanted = JSON.stringify([this.#recipe['debian'], this.#recipe[tag]]);
    const known = path.join(this.#stk.home, 'images', tag);
    if ((await readFile(known, 'utf8').catch(() => undefined)) === wanted) return;
    await succeed(this.#stk, 'build', '-f', 'images.json', tag, '--progress', 'plain');
    await mkdir(path.dirname(known), { recursive: true });
    await writeFile(known, wanted);
  }
}

/** A Debian with apt, made once and kept. */
async function prepare(stk: Stk): Promise<void> {
  const tar = path.join(stk.home, 'debian.tar');
  if (await stat(tar).catch(() => undefined)) return;
  const known = `/var/tmp/stk-test-${process.getuid?.() ?? 0}/bookworm-minbase.tar`;
  const unfinished = `${tar}.unfinished.tar`;
  if (await stat(known).catch(() => undefined)) await copyFile(known, unfinished);
  else await execa('mmdebstrap', ['--quiet', '--variant=minbase', 'bookworm', unfinished]);
  await rename(unfinished, tar);
}

function recipeOf(repository: Repository, packages: readonly CampaignPackage[]): Readonly<Record<string, object>> {
  const binds = [{ source: repository.directory, dest: REPOSITORY, cache: 'ignore' }];
  const recipe: Record<string, object> = {
    debian: {
      from: 'debian.tar',
      binds,
      run: [
        `: ${repository.version}`,
        'echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/campaign',
        'printf "#!/bin/sh\\nexit 101\\n" > /usr/sbin/policy-rc.d',
        'chmod 755 /usr/sbin/policy-rc.d',
        'rm -f /etc/apt/sources.list.d/*',
        `echo "deb [trusted=yes] file:${REPOSITORY} ./" > /etc/apt/sources.list`,
        'apt-get update',
      ],
    },
  };
  for (const each of packages) {
    const run = [QUIET, `${INSTALL} ${installed(each)}`, 'apt-get clean'];
    recipe[`p-${each.name}`] = { from: 'debian', binds, run };
  }
  return recipe;
}

async function succeed(stk: Stk, ...words: readonly string[]): Promise<void> {
  const { exitCode, output } = await stk.run(...words);
  if (exitCode !== 0) throw new Error(`stk ${words.join(' ')}: ${output.slice(-600)}`);
}
