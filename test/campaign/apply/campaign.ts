import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { campaign, keepFailure, wholeNumber, type Campaign, type Figures } from '../campaign.ts';
import { pick, randomNumbers } from '../random.ts';
import { Images, INSTALL, installed, QUIET } from './images.ts';
import { REPOSITORY } from './repository.ts';
import { isGood, Records, type Passed, type Verdict } from './records.ts';
import { PACKAGES, type CampaignPackage } from './packages.ts';
import { Stk } from '../stk.ts';
import { compareReports, removalScript, reportScript } from './report.ts';

async function run({ home, program, seed, signal, options }: Campaign): Promise<Figures> {
  const number = (name: string) => wholeNumber(name, options[name] ?? '');
  const [pairs, from, jobs] = [number('pairs'), number('from'), Math.max(1, number('jobs'))];
  const passed = options['passed'] ?? '';
  if (!isPassed(passed)) throw new Error('--passed takes again, same or any');
  const stk = new Stk(home, program, signal);
  const records = await Records.open(home, [program, process.argv[1]!], passed);
  const only = options['only'] === '' ? undefined : options['only']!.split(',').map(named);
  const images = await Images.open(stk, only ? [...new Set(only.flat())] : PACKAGES);
  const random = randomNumbers(seed);
  const sets = only ?? Array.from({ length: pairs }, () => pick(PACKAGES, random() < 0.2 ? 3 : 2, random));
  const count: Record<Verdict, number> = { same: 0, different: 0, refused: 0, 'refused as by apt': 0 };
  let known = 0;
  const pending = [...sets.entries()].slice(from - 1);
  await inJobs(jobs, pending, async ([index, chosen], job) => {
    if (signal.aborted) return;
    const name = chosen.map(each => each.name).join('+');
    if (records.hasPassed(name)) {
      known++;
      return;
    }
    try {
      const started = Date.now();
      const { verdict, details } = await compare({ stk, images, job }, chosen);
      count[verdict]++;
      await records.add(name, verdict);
      const file = isGood(verdict)
        ? ''
        : ` ${await keepFailure(home, `${seed}-${index + 1}-${name}.json`, { verdict, ...details })}`;
      console.log(`${index + 1} ${name}: ${verdict}, ${Math.round((Date.now() - started) / 1000)} s${file}`);
    } catch (cause) {
      if (!signal.aborted) throw cause;
    }
  });
  const { same, different, refused } = count;
  return {
    counts: {
      packages: PACKAGES.length,
      sets: same + different + refused + count['refused as by apt'],
      ...(known > 0 ? { 'passed before': known } : {}),
      same,
      different,
      refused,
      'refused as by apt': count['refused as by apt'],
    },
    failed: different + refused > 0,
  };
}

function isPassed(text: string): text is Passed {
  return ['again', 'same', 'any'].includes(text);
}

/** Works through the items side by side, in their order. */
async function inJobs<T>(
  jobs: number,
  items: readonly T[],
  work: (item: T, job: number) => Promise<void>,
): Promise<void> {
  const left = [...items];
  const worker = async (job: number) => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item, job);
  };
  await Promise.all(Array.from({ length: jobs }, (_, job) => worker(job)));
}

/** The packages of a set as the campaign prints it: `vim+vim-tiny`. */
function named(set: string): readonly CampaignPackage[] {
  return set.split('+').map(name => {
    const found = PACKAGES.find(each => each.name === name);
    if (found === undefined) throw new Error(`no package of the campaign is called ${name}`);
    return found;
  });
}

interface Comparison {
  readonly verdict: Verdict;
  readonly details: object;
}

/** What one of the sets that are tried side by side works with. */
interface Job {
  readonly stk: Stk;
  readonly images: Images;
  readonly job: number;
}

async function compare(job: Job, packages: readonly CampaignPackage[]): Promise<Comparison> {
  const { stk, images } = job;
  const work = await mkdtemp(path.join(stk.home, 'work-'));
  try {
    const file = path.join(work, 'stacker.json');
    const result = `applied-${job.job}`;
    const tags: string[] = [];
    for (const each of packages) tags.push(await images.tag(each));
    const apply = tags.map(tag => `oci:oci:${tag}`);
    await writeFile(file, JSON.stringify({ [result]: { from: 'oci:oci:debian', apply } }));
    const build = await stk.run('build', '-f', file, result, '--progress', 'plain');
    const install = [QUIET, ...packages.slice(1).map(each => `${INSTALL} ${installed(each)} || exit 1`)].join('\n');
    const first = tags[0]!;
    if (build.exitCode !== 0) {
      const turn = await inContainer(job, path.join(work, 'refused'), first, install);
      const details = { output: build.output.split('\n').slice(-80), inTurn: turn.output.split('\n').slice(-20) };
      return { verdict: turn.exitCode === 0 ? 'refused' : 'refused as by apt', details };
    }
    const look = [
      reportScript(packages.map(({ name, check }) => ({ name, check }))),
      removalScript(installed(packages.at(-1)!)),
    ].join('\n');
    const turn = await inContainer(job, path.join(work, 'in-turn'), first, `(${install}\n) || exit 1\n${look}`);
    if (turn.exitCode !== 0) {
      return { verdict: 'different', details: { inTurn: turn.output.split('\n').slice(-40) } };
    }
    const { exitCode, output, reports } = await inContainer(job, path.join(work, 'applied'), result, look);
    if (exitCode !== 0) throw new Error(`the report of ${result} ended with ${exitCode}: ${output.slice(-600)}`);
    return judge(reports, turn.reports);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

type Reports = ReadonlyMap<string, string>;

function judge(applied: Reports, inTurn: Reports): Comparison {
  const differing = compareReports(applied, inTurn);
  const failing = [...applied].filter(([name, text]) => name.startsWith('works-') && text !== '0\n');
  if (failing.length > 0) console.log(`  ${failing.map(([name]) => name.slice(6)).join(', ')} does not work in it`);
  const tried = failing.map(([name]) => [name, applied.get(`try-${name.slice(6)}.txt`)?.slice(-2000)]);
  const verdict = Object.keys(differing).length === 0 ? 'same' : 'different';
  const texts = ['configure.txt', 'pending.txt'].map(name => [name, applied.get(name)?.slice(-2000)]);
  return { verdict, details: { differing, tried, ...Object.fromEntries(texts) } };
}

/** Runs the script in a container, without a network, and reads what it reported. */
async function inContainer(
  { stk, images: { repository } }: Job,
  directory: string,
  image: string,
  script: string,
): Promise<{ readonly exitCode: number | undefined; readonly output: string; readonly reports: Reports }> {
  await mkdir(directory);
  await writeFile(path.join(directory, 'script.txt'), script);
  const volumes = ['-v', `${directory}:/report`, '-v', `${repository.directory}:${REPOSITORY}:ro`];
  const ran = await stk.run('run', '--network', 'none', ...volumes, image, 'sh', '/report/script.txt');
  const reports = new Map<string, string>();
  for (const name of await readdir(directory)) reports.set(name, await readFile(path.join(directory, name), 'utf8'));
  reports.delete('script.txt');
  return { ...ran, reports };
}

/**
 * Random pairs and triples of Debian packages: each package in an image of its own, the images applied together, and the
 * result compared with a container in which the packages were installed in turn. What stk refuses has to be what apt
 * refuses, too.
 */
await campaign('apply', { pairs: '20', only: '', from: '1', passed: 'again', jobs: '1' }, run);
