import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { findLeftovers, unmountBelow } from '../../rig/leftovers.ts';
import { campaign, keepFailure, wholeNumber, type Campaign, type Figures } from '../campaign.ts';
import { wrongInLayout } from '../layout-oracle.ts';
import { randomNumbers } from '../random.ts';
import { succeed, writeSampleRecipe } from '../sample-images.ts';
import { Stk } from '../stk.ts';

const AT_ONCE = 8;
const GRACE_MS = 10_000;
/** Done, gone because another one removed or replaced it, or held by another one. */
const RIGHT_STATUSES: ReadonlySet<number | undefined> = new Set([0, 8, 12]);

const COMMANDS: readonly (readonly string[])[] = [
  ['build'],
  ['build', '--no-cache', 's1'],
  ['build', 'app'],
  ['commit', 'changes', 'committed', '--base', 'app'],
  ['convert', 'oci:oci:app', 'oci:oci:copy'],
  ['convert', 'oci:oci:app', 'oci:tar:app', '--layer-type', 'tar'],
  ['gc'],
  ['inspect', '--json'],
  ['ls', '-R', 'app:/'],
  ['run', 'app', 'true'],
  ['update', 'app', '--apply', 's1=s2'],
  ['update', '--all', '--apply', 's1'],
  ['verify', 'app'],
];

async function run({ home, program, seed, signal, options }: Campaign): Promise<Figures> {
  const rounds = wholeNumber('rounds', options['rounds'] ?? '');
  const directory = await mkdtemp(path.join(home, 'case-'));
  const stk = new Stk(directory, program, signal);
  const random = randomNumbers(seed);
  const count = { rounds: 0, commands: 0, done: 0, wrong: 0 };
  try {
    await writeSampleRecipe(stk);
    await succeed(stk, [['build']]);
    for (let number = 1; number <= rounds && !signal.aborted; number++) {
      const chosen = Array.from({ length: AT_ONCE }, () => COMMANDS[Math.floor(random() * COMMANDS.length)]!);
      const ended = await Promise.all(chosen.map(words => stk.run(...words)));
      count.rounds++;
      count.commands += ended.length;
      count.done += ended.filter(({ exitCode }) => exitCode === 0).length;
      const problems = ended.flatMap(({ exitCode, output }, index) =>
        RIGHT_STATUSES.has(exitCode)
          ? []
          : [`${chosen[index]!.join(' ')} ended with ${exitCode}: ${output.slice(-500)}`],
      );
      problems.push(
        ...(await wrongInLayout(path.join(directory, 'oci'))),
        ...(await findLeftovers(directory, GRACE_MS)),
      );
      const { exitCode, output } = await stk.run('build');
      if (exitCode !== 0) problems.push(`a build afterwards ended with ${exitCode}: ${output.slice(-500)}`);
      if (problems.length === 0) continue;
      count.wrong++;
      const file = await keepFailure(home, `${seed}-${number}.json`, { chosen, problems });
      console.log(`${number}: ${problems[0]} ${file}`);
    }
  } catch (cause) {
    if (!signal.aborted) throw cause;
  } finally {
    await unmountBelow(directory);
    await rm(directory, { recursive: true, force: true });
  }
  return { counts: count, failed: count.wrong > 0 };
}

await campaign('together', { rounds: '100' }, run);
