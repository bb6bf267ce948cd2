import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { FakeRegistry } from '../../rig/fake-registry.ts';
import type { Failure } from '../../rig/fake-registry-failures.ts';
import { campaign, keepFailure, wholeNumber, type Campaign, type Figures } from '../campaign.ts';
import { wrongInLayout } from '../layout-oracle.ts';
import { randomNumbers } from '../random.ts';
import { succeed, writeSampleRecipe } from '../sample-images.ts';
import { Stk } from '../stk.ts';

/** What a registry that breaks may make of a command: done, or a failure of registry, bytes, name or answer. */
const RIGHT_STATUSES: ReadonlySet<number | undefined> = new Set([0, 5, 7, 8, 9]);
const REQUESTS = [
  /^GET .*\/blobs\//,
  /^GET .*\/manifests\//,
  /^HEAD /,
  /^POST /,
  /^PATCH /,
  /^PUT /,
  /^GET /,
  /./,
] as const;

interface Operation {
  readonly name: string;
  readonly before?: readonly (readonly string[])[];
  readonly command: readonly string[];
}

async function run({ home, program, seed, signal, options }: Campaign): Promise<Figures> {
  const faults = wholeNumber('faults', options['faults'] ?? '');
  const directory = await mkdtemp(path.join(home, 'case-'));
  const stk = new Stk(directory, program, signal);
  await using registry = await FakeRegistry.start();
  const random = randomNumbers(seed);
  const count = { faults: 0, done: 0, refused: 0, wrong: 0 };
  try {
    const operations = await prepare(stk, `docker://${registry.host}`);
    for (let number = 1; count.faults < faults && !signal.aborted; number++) {
      const operation = operations[Math.floor(random() * operations.length)]!;
      for (const words of operation.before ?? []) await stk.run(...words);
      const planned = Array.from({ length: 1 + Math.floor(random() * 3) }, () => ({
        match: REQUESTS[Math.floor(random() * REQUESTS.length)]!,
        with: failure(random),
        times: 1 + Math.floor(random() * 3),
      }));
      for (const rule of planned) registry.failNext(rule);
      const { exitCode, output } = await stk.run(...operation.command);
      count.faults += planned.length - Math.min(planned.length, registry.pendingFailures);
      registry.forgetFailures();
      count[exitCode === 0 ? 'done' : 'refused']++;
      const problems = RIGHT_STATUSES.has(exitCode) ? [] : [`ended with ${exitCode}: ${output.slice(-500)}`];
      const again = await stk.run(...operation.command);
      if (again.exitCode !== 0) problems.push(`the next run ended with ${again.exitCode}: ${again.output.slice(-500)}`);
      for (const layout of ['oci', 'pulled']) problems.push(...(await wrongInLayout(path.join(directory, layout))));
      if (problems.length === 0) continue;
      count.wrong++;
      const rules = planned.map(rule => ({ ...rule, match: rule.match.source }));
      const file = await keepFailure(home, `${seed}-${number}-${operation.name}.json`, {
        rules,
        ...operation,
        problems,
      });
      console.log(`${number} ${operation.name}: ${problems[0]} ${file}`);
    }
  } catch (cause) {
    if (!signal.aborted) throw cause;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const { done, refused, wrong } = count;
  return { counts: { faults: count.faults, 'commands done': done, refused, wrong }, failed: wrong > 0 };
}

/** Anything but silence, which would take as long as stk is patient. */
function failure(random: () => number): Failure {
  const below = (most: number) => Math.floor(random() * most);
  const kinds: readonly (() => Failure)[] = [
    () => ({ kind: 'drop', afterBytes: below(5000) }),
    () => ({ kind: 'wrong-bytes' }),
    () => ({ kind: 'truncate', toBytes: below(2000), chunked: random() < 0.5 }),
    () => ({ kind: 'overlong', extraBytes: 1 + below(1000) }),
    () => ({ kind: 'redirect-loop' }),
    () => ({ kind: 'status', status: [400, 403, 404, 429, 500, 502, 503][below(7)]! }),
    () => ({ kind: 'html' }),
    () => ({ kind: 'ignore-range' }),
    () => ({ kind: 'lose-upload' }),
    () => ({ kind: 'drop-answer' }),
    () => ({ kind: 'gzip', chunked: random() < 0.5 }),
  ];
  return kinds[below(kinds.length)]!();
}

async function prepare(stk: Stk, registry: string): Promise<readonly Operation[]> {
  await writeSampleRecipe(stk);
  const pull = (tag: string) => ['convert', `${registry}/${tag}:1`, `oci:pulled:${tag}`];
  await succeed(stk, [
    ['build'],
    ['publish', 's2', `${registry}/s2:1`],
    ['publish', 'app', `${registry}/app:1`],
    ['convert', 'oci:oci:app', `${registry}/tar:1`, '--layer-type', 'tar'],
    pull('app'),
  ]);
  const forget = [['--oci-dir', 'pulled', 'gc'], ['clean']];
  return [
    { name: 'pull', before: forget, command: pull('app') },
    { name: 'convert', before: forget, command: pull('tar') },
    { name: 'publish', command: ['publish', 'app', `${registry}/team/app:1`] },
    { name: 'ls', command: ['ls', '-R', `${registry}/app:1:/`] },
    { name: 'verify', command: ['verify', `${registry}/app:1`] },
    {
      name: 'update',
      before: [
        ['build', 'app'],
        ['publish', 'app', `${registry}/team/app:1`],
      ],
      command: ['update', `${registry}/team/app:1`, '--apply', `s1=${registry}/s2:1`],
    },
  ];
}

await campaign('faults', { faults: '500' }, run);
