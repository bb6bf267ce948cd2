import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { FakeRegistry } from '../../rig/fake-registry.ts';
import { findLeftovers, unmountBelow } from '../../rig/leftovers.ts';
import { campaign, keepFailure, wholeNumber, type Campaign, type Figures } from '../campaign.ts';
import { randomNumbers } from '../random.ts';
import { succeed, writeSampleRecipe } from '../sample-images.ts';
import { Stk } from '../stk.ts';
import { wrongInLayout } from '../layout-oracle.ts';

/** How long what a killed process leaves behind may take to go. */
const GRACE_MS = 10_000;

interface Operation {
  readonly name: string;
  /** Before each case: what it needs to have something to do. */
  readonly before?: readonly (readonly string[])[];
  readonly command: readonly string[];
  /** Afterwards, whether it was killed or not. */
  readonly after?: readonly (readonly string[])[];
}

async function run({ home, program, seed, signal, options }: Campaign): Promise<Figures> {
  const kills = wholeNumber('kills', options['kills'] ?? '');
  const directory = await mkdtemp(path.join(home, 'case-'));
  const stk = new Stk(directory, program, signal);
  await using registry = await FakeRegistry.start();
  const random = randomNumbers(seed);
  const operations = await prepare(stk, `docker://${registry.host}`);
  const took = new Map<string, number>();
  const count = { kills: 0, late: 0, wrong: 0 };
  try {
    for (let number = 1; number <= kills && !signal.aborted; number++) {
      const operation = operations[Math.floor(random() * operations.length)]!;
      const { name } = operation;
      for (const words of operation.before ?? []) await stk.run(...words);
      const afterMs = took.has(name) ? random() * took.get(name)! * 1.1 : undefined;
      const { killed, ms } = await killed9([process.execPath, program, ...operation.command], directory, afterMs);
      if (!killed) took.set(name, ms);
      if (afterMs === undefined) {
        for (const words of operation.after ?? []) await stk.run(...words);
        continue;
      }
      count[killed ? 'kills' : 'late']++;
      const problems = await lookAround(stk, operation);
      if (problems.length === 0) continue;
      count.wrong++;
      const file = await keepFailure(home, `${seed}-${number}-${name}.json`, { afterMs, ...operation, problems });
      console.log(`${number} ${name} killed after ${Math.round(afterMs)} ms: ${problems[0]} ${file}`);
    }
  } catch (cause) {
    if (!signal.aborted) throw cause;
  } finally {
    await unmountBelow(directory);
    await rm(directory, { recursive: true, force: true });
  }
  const counts = { operations: operations.length, kills: count.kills, 'ended before': count.late, wrong: count.wrong };
  return { counts, failed: count.wrong > 0 };
}

/** Images with something to copy and to pack, and what is done with them. */
async function prepare(stk: Stk, registry: string): Promise<readonly Operation[]> {
  await writeSampleRecipe(stk);
  await succeed(stk, [
    ['build'],
    ['convert', 'oci:oci:app', 'oci:tar:app', '--layer-type', 'tar'],
    ['publish', 's2', `${registry}/s2:1`],
  ]);
  return [
    { name: 'build', command: ['build', '--no-cache'] },
    { name: 'commit', command: ['commit', 'changes', 'committed', '--base', 'app'] },
    {
      name: 'convert',
      before: [['clean']],
      command: ['convert', 'oci:tar:app', 'oci:oci:converted', '--compression', 'zstd:9'],
    },
    { name: 'gc', command: ['gc', '--no-keep-cache'] },
    {
      name: 'mount',
      command: ['mount', 'app', 'root'],
      after: [
        ['umount', 'root'],
        ['mounts', '--repair'],
      ],
    },
    { name: 'publish', command: ['publish', 'app', `${registry}/team/app:1`] },
    { name: 'run', command: ['run', 'app', 'true'], after: [['mounts', '--repair']] },
    { name: 'update', before: [['build', 'app']], command: ['update', 'app', '--apply', 's1=s2'] },
    {
      name: 'update on a registry',
      before: [
        ['build', 'app'],
        ['publish', 'app', `${registry}/team/app:1`],
      ],
      command: ['update', `${registry}/team/app:1`, '--apply', `s1=${registry}/s2:1`],
    },
  ];
}

/** Ends a process by SIGKILL after a time, unless it ends before; without a time it ends by itself. */
async function killed9(
  [file = '', ...args]: readonly string[],
  cwd: string,
  afterMs: number | undefined,
): Promise<{ readonly killed: boolean; readonly ms: number }> {
  const start = performance.now();
  const child = spawn(file, args, { cwd, stdio: 'ignore' });
  const timer = afterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), afterMs);
  const killed = await new Promise<boolean>(resolve => child.on('exit', (_, signal) => resolve(signal === 'SIGKILL')));
  clearTimeout(timer);
  return { killed, ms: performance.now() - start };
}

/** What is wrong after a kill: the layout, what goes on living, the same command once more. */
async function lookAround(stk: Stk, { command, after = [] }: Operation): Promise<string[]> {
  const problems = await wrongInLayout(path.join(stk.home, 'oci'));
  const again = await stk.run(...command);
  // What is mounted already stays so, and what is gone need not be removed.
  if (again.exitCode !== 0) problems.push(`the next run ended with ${again.exitCode}: ${again.output.slice(-500)}`);
  for (const words of after) await stk.run(...words);
  problems.push(...(await wrongInLayout(path.join(stk.home, 'oci'))));
  problems.push(...(await findLeftovers(stk.home, GRACE_MS)));
  return problems;
}

await campaign('kill', { kills: '1000' }, run);
