import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { findLeftovers, unmountBelow } from '../../rig/leftovers.ts';
import { campaign, keepFailure, wholeNumber, type Campaign, type Figures } from '../campaign.ts';
import { wrongInLayout } from '../layout-oracle.ts';
import { randomNumbers } from '../random.ts';
import { succeed, writeSampleRecipe } from '../sample-images.ts';
import { Stk } from '../stk.ts';

const GRACE_MS = 10_000;
/** Of what can be full: as much as a whole build needs. */
const MOST_KIB = 6_000;

/** What lies on the small disk, below the directory of a case. */
const PLACES = ['oci', '.stk', 'tmp'] as const;

const COMMANDS: readonly (readonly string[])[] = [
  ['build', '--no-cache'],
  ['commit', 'changes', 'committed', '--base', 'app'],
  ['convert', 'oci:whole:app', 'oci:oci:copy', '--compression', 'zstd:1'],
  ['update', 'app', '--apply', 's1=oci:whole:s2'],
];

async function run({ home, program, seed, signal, options }: Campaign): Promise<Figures> {
  const disks = wholeNumber('disks', options['disks'] ?? '');
  const directory = await mkdtemp(path.join(home, 'case-'));
  const stk = new Stk(directory, program, signal);
  const random = randomNumbers(seed);
  const count = { disks: 0, full: 0, wrong: 0 };
  try {
    await writeSampleRecipe(stk);
    process.env['TMPDIR'] = path.join(directory, 'tmp');
    for (const place of PLACES) await mkdir(path.join(directory, place), { recursive: true });
    await succeed(stk, [['--oci-dir', 'whole', 'build']]);
    for (let number = 1; number <= disks && !signal.aborted; number++) {
      const place = PLACES[Math.floor(random() * PLACES.length)]!;
      const kib = 64 + Math.floor(random() ** 2 * MOST_KIB);
      const command = COMMANDS[Math.floor(random() * COMMANDS.length)]!;
      const target = path.join(directory, place);
      await rm(path.join(directory, 'oci'), { recursive: true, force: true });
      await execa('cp', ['-a', path.join(directory, 'whole'), path.join(directory, 'oci')]);
      if (place !== 'oci') await rm(target, { recursive: true, force: true });
      else await rm(path.join(directory, '.stk'), { recursive: true, force: true });
      for (const each of PLACES) await mkdir(path.join(directory, each), { recursive: true });
      const problems = await onSmallDisk(stk, { target, kib, command, isLayout: place === 'oci' });
      count.disks++;
      if (problems.full) count.full++;
      if (problems.found.length === 0) continue;
      count.wrong++;
      const file = await keepFailure(home, `${seed}-${number}-${place}.json`, {
        place,
        kib,
        command,
        problems: problems.found,
      });
      console.log(`${number} ${place} of ${kib} KiB, ${command.join(' ')}: ${problems.found[0]} ${file}`);
    }
  } catch (cause) {
    if (!signal.aborted) throw cause;
  } finally {
    await unmountBelow(directory);
    await rm(directory, { recursive: true, force: true });
  }
  return { counts: count, failed: count.wrong > 0 };
}

interface Case {
  readonly target: string;
  readonly kib: number;
  readonly command: readonly string[];
  readonly isLayout: boolean;
}

/** Runs a command with a place on a filesystem of a size, then, with more room, once more. */
async function onSmallDisk(
  stk: Stk,
  { target, kib, command, isLayout }: Case,
): Promise<{ readonly full: boolean; readonly found: readonly string[] }> {
  const layout = path.join(stk.home, 'oci');
  const found: string[] = [];
  const before = isLayout ? path.join(stk.home, 'oci-before') : undefined;
  if (before !== undefined) {
    await rm(before, { recursive: true, force: true });
    await execa('mv', [layout, before]);
    await mkdir(layout);
  }
  const used = before === undefined ? 0 : Number((await execa('du', ['-sk', before])).stdout.split('\t')[0]);
  await execa('mount', ['-t', 'tmpfs', '-o', `size=${kib + used}k`, 'none', target]);
  try {
    if (before !== undefined) await execa('cp', ['-a', `${before}/.`, layout]);
    const first = await stk.run(...command);
    // A step that cannot write fails by itself; stk says why.
    if (first.exitCode !== 0 && first.exitCode !== 10)
      found.push(`ended with ${first.exitCode}: ${first.output.slice(-500)}`);
    found.push(...(await wrongInLayout(layout)));
    await execa('mount', ['-o', 'remount,size=200M', target]);
    const again = await stk.run(...command);
    if (again.exitCode !== 0) found.push(`with room, ended with ${again.exitCode}: ${again.output.slice(-500)}`);
    found.push(...(await wrongInLayout(layout)));
    return { full: first.exitCode !== 0, found };
  } finally {
    await execa('umount', [target]);
    found.push(...(await findLeftovers(stk.home, GRACE_MS)));
  }
}

await campaign('disk', { disks: '100' }, run);
