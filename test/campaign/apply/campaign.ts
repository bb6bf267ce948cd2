import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { campaign, keepFailure, wholeNumber, type Campaign, type Figures } from '../campaign.ts';
import { pick, randomNumbers } from '../random.ts';
import { PACKAGES, type CampaignPackage } from './packages.ts';
import { Stk } from '../stk.ts';
import { compareReports, removalScript, reportScript } from './report.ts';

const INSTALL = 'apt-get install -y --no-install-recommends --no-remove';
const QUIET = 'export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8';

/** As steps of a build have it: packages look at it when they are configured. */
const SHARED_MEMORY = ['--tmpfs', '/dev/shm'] as const;

type Verdict = 'same' | 'different' | 'refused' | 'refused as by apt';

async function run({ home, program, seed, signal, options }: Campaign): Promise<Figures> {
  const pairs = wholeNumber('pairs', options['pairs'] ?? '');
  const stk = new Stk(home, program, signal);
  await prepare(stk);
  const random = randomNumbers(seed);
  const count: Record<Verdict, number> = { same: 0, different: 0, refused: 0, 'refused as by apt': 0 };
  const usable = await buildImages(stk, PACKAGES);
  const only = options['only'] === '' ? undefined : options['only']!.split(',').map(named);
  for (let number = 1; number <= (only?.length ?? pairs) && !signal.aborted; number++) {
    const chosen = only ? only[number - 1]! : pick(usable, random() < 0.2 ? 3 : 2, random);
    const name = chosen.map(each => each.name).join('+');
    try {
      const { verdict, details } = await compare(stk, chosen);
      count[verdict]++;
      const bad = verdict === 'different' || verdict === 'refused';
      const file = bad ? await keepFailure(home, `${seed}-${number}-${name}.json`, { verdict, ...details }) : '';
      console.log(`${number} ${name}: ${verdict}${bad ? ` ${file}` : ''}`);
    } catch (cause) {
      if (!signal.aborted) throw cause;
    }
  }
  const { same, different, refused } = count;
  return {
    counts: {
      packages: usable.length,
      sets: same + different + refused + count['refused as by apt'],
      same,
      different,
      refused,
      'refused as by apt': count['refused as by apt'],
    },
    failed: different + refused > 0,
  };
}

/** The packages of a set as the campaign prints it: `vim+vim-tiny`. */
function named(set: string): readonly CampaignPackage[] {
  return set.split('+').map(name => {
    const found = PACKAGES.find(each => each.name === name);
    if (found === undefined) throw new Error(`no package of the campaign is called ${name}`);
    return found;
  });
}

/** A Debian with apt, made once and kept. */
async function prepare(stk: Stk): Promise<void> {
  await mkdir(path.join(archivesOf(stk), 'partial'), { recursive: true });
  const tar = path.join(stk.home, 'debian.tar');
  if (await stat(tar).catch(() => undefined)) return;
  const known = `/var/tmp/stk-test-${process.getuid?.() ?? 0}/bookworm-minbase.tar`;
  const unfinished = `${tar}.unfinished.tar`;
  if (await stat(known).catch(() => undefined)) await copyFile(known, unfinished);
  else await execa('mmdebstrap', ['--quiet', '--variant=minbase', 'bookworm', unfinished]);
  await execa('mv', [unfinished, tar]);
}

const archivesOf = ({ home }: Stk) => path.join(home, 'archives');
const tagOf = ({ name }: CampaignPackage) => `p-${name}`;
const installed = ({ name, install = name }: CampaignPackage) => install;

/** An image for each package, built once; those that do not build are left out and named. */
async function buildImages(stk: Stk, packages: readonly CampaignPackage[]): Promise<readonly CampaignPackage[]> {
  const recipe: Record<string, object> = {
    debian: {
      from: 'debian.tar',
      run: [
        'echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/campaign',
        'printf "#!/bin/sh\\nexit 101\\n" > /usr/sbin/policy-rc.d',
        'chmod 755 /usr/sbin/policy-rc.d',
        'apt-get update',
      ],
    },
  };
  for (const each of packages) {
    const run = [QUIET, `${INSTALL} ${installed(each)}`, 'apt-get clean'];
    recipe[tagOf(each)] = { from: 'debian', run };
  }
  const file = await stk.write('images.json', recipe);
  const usable: CampaignPackage[] = [];
  for (const each of packages) {
    const wanted = JSON.stringify([recipe['debian'], recipe[tagOf(each)]]);
    const known = path.join(stk.home, 'images', each.name);
    if ((await readFile(known, 'utf8').catch(() => undefined)) !== wanted) {
      const { exitCode, output } = await stk.run('build', '-f', file, tagOf(each), '--progress', 'plain');
      if (exitCode !== 0) {
        console.log(`${each.name} does not build: ${output.slice(-600)}`);
        continue;
      }
      await mkdir(path.dirname(known), { recursive: true });
      await writeFile(known, wanted);
    }
    usable.push(each);
  }
  return usable;
}

interface Comparison {
  readonly verdict: Verdict;
  readonly details: object;
}

async function compare(stk: Stk, packages: readonly CampaignPackage[]): Promise<Comparison> {
  const work = await mkdtemp(path.join(stk.home, 'work-'));
  const containers: string[] = [];
  try {
    const file = path.join(work, 'stacker.json');
    const apply = packages.map(each => `oci:oci:${tagOf(each)}`);
    await writeFile(file, JSON.stringify({ applied: { from: 'oci:oci:debian', apply } }));
    const build = await stk.run('build', '-f', file, 'applied', '--progress', 'plain');
    const container = (name: string) => {
      containers.push(name);
      return name;
    };
    const later = packages.slice(1).map(installed);
    const inTurn = container('campaign-in-turn');
    const archives = ['-v', `${archivesOf(stk)}:/var/cache/apt/archives`];
    const script = [QUIET, 'set -e', ...later.map(name => `${INSTALL} ${name}`)].join('\n');
    await stk.run('rm', inTurn);
    const turn = await stk.run(
      'run',
      '--name',
      inTurn,
      '--keep',
      ...SHARED_MEMORY,
      ...archives,
      tagOf(packages[0]!),
      'sh',
      '-c',
      script,
    );
    if (build.exitCode !== 0) {
      const details = { output: build.output.split('\n').slice(-80), inTurn: turn.output.split('\n').slice(-20) };
      return { verdict: turn.exitCode === 0 ? 'refused' : 'refused as by apt', details };
    }
    if (turn.exitCode !== 0) {
      return { verdict: 'different', details: { inTurn: turn.output.split('\n').slice(-40) } };
    }
    const applied = container('campaign-applied');
    await stk.run('rm', applied);
    const look = [
      reportScript(packages.map(({ name, check }) => ({ name, check }))),
      removalScript(installed(packages.at(-1)!)),
    ];
    const reports: ReadonlyMap<string, string>[] = [];
    for (const [name, image] of [
      [applied, 'applied'],
      [inTurn, tagOf(packages[0]!)],
    ] as const) {
      reports.push(await report(stk, path.join(work, name), [name, image], look.join('\n')));
    }
    const differing = compareReports(reports[0]!, reports[1]!);
    const failing = [...reports[0]!].filter(([name, text]) => name.startsWith('works-') && text !== '0\n');
    if (failing.length > 0) console.log(`  ${failing.map(([name]) => name.slice(6)).join(', ')} does not work in it`);
    const tried = failing.map(([name]) => [name, reports[0]!.get(`try-${name.slice(6)}.txt`)?.slice(-2000)]);
    const verdict = Object.keys(differing).length === 0 ? 'same' : 'different';
    const texts = ['configure.txt', 'pending.txt'].map(name => [name, reports[0]!.get(name)?.slice(-2000)]);
    return { verdict, details: { differing, tried, ...Object.fromEntries(texts) } };
  } finally {
    for (const name of containers) await stk.run('rm', name).catch(() => undefined);
    await rm(work, { recursive: true, force: true });
  }
}

/** Runs the script in a kept container, without a network, and reads what it reported. */
async function report(
  stk: Stk,
  directory: string,
  [container, image]: readonly [string, string],
  script: string,
): Promise<ReadonlyMap<string, string>> {
  await mkdir(directory);
  const file = path.join(directory, 'script.txt');
  await writeFile(file, script);
  const args = ['--network', 'none', ...SHARED_MEMORY, '-v', `${directory}:/report`];
  const { exitCode, output } = await stk.run(
    'run',
    '--name',
    container,
    '--keep',
    ...args,
    image,
    'sh',
    '/report/script.txt',
  );
  if (exitCode !== 0) throw new Error(`the report of ${image} ended with ${exitCode}: ${output.slice(-600)}`);
  const found = new Map<string, string>();
  for (const name of await readdir(directory)) found.set(name, await readFile(path.join(directory, name), 'utf8'));
  found.delete('script.txt');
  return found;
}

/**
 * Random pairs and triples of Debian packages: each package in an image of its own, the images applied together, and the
 * result compared with a container in which the packages were installed in turn. What stk refuses has to be what apt
 * refuses, too.
 */
await campaign('apply', { pairs: '20', only: '' }, run);
