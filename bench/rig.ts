import { readFileSync, readdirSync } from 'node:fs';
import { spawn } from 'node:child_process';

/** One timed command. */
export interface Measurement {
  readonly name: string;
  readonly seconds: number;
  /** Largest sum of resident memory over all processes of the command, in bytes. */
  readonly peakBytes: number;
}

export interface Command {
  readonly name: string;
  /** Run by a shell; several may be given as one script. */
  readonly script: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Ordinary user to run as. */
  readonly user?: { readonly uid: number; readonly gid: number };
  /** Run before each timed round, not timed. */
  readonly prepare?: () => Promise<void>;
}

const SAMPLE_MS = 15;

/** Runs commands turn by turn, so that a change of the machine's mood meets all of them; the medians are returned. */
export async function sideBySide(commands: readonly Command[], rounds: number): Promise<readonly Measurement[]> {
  const all = new Map<string, Measurement[]>(commands.map(command => [command.name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const command of commands) {
      await command.prepare?.();
      all.get(command.name)!.push(await once(command));
    }
  }
  return [...all.values()].map(list => ({
    ...list[0]!,
    seconds: median(list.map(entry => entry.seconds)),
    peakBytes: median(list.map(entry => entry.peakBytes)),
  }));
}

/** Runs a shell script that must succeed. */
export async function shell(script: string, options: Pick<Command, 'cwd' | 'env' | 'user'> = {}): Promise<void> {
  await once({ name: script, script, ...options });
}

async function once(command: Command): Promise<Measurement> {
  const startedAt = process.hrtime.bigint();
  const child = spawn('sh', ['-ec', command.script], {
    cwd: command.cwd,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...command.env },
    stdio: ['ignore', 'ignore', 'pipe'],
    ...command.user,
  });
  let stderr = '';
  child.stderr.on('data', chunk => (stderr = (stderr + String(chunk)).slice(-2000)));
  let peakBytes = 0;
  const sampler = setInterval(() => (peakBytes = Math.max(peakBytes, residentBytes(child.pid ?? 0))), SAMPLE_MS);
  const status = await new Promise(resolve => child.on('close', resolve));
  clearInterval(sampler);
  const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
  if (status !== 0) throw new Error(`${command.name} ended with ${String(status)}:\n${stderr}`);
  return { name: command.name, seconds, peakBytes };
}

/** Resident memory of a process and all of its descendants. */
function residentBytes(root: number): number {
  const children = new Map<number, number[]>();
  const resident = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const fields = readFileSync(`/proc/${name}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      const parent = Number(fields[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
      resident.set(Number(name), Number(fields[21]) * 4096);
    } catch {
      // It ended between listing and reading.
    }
  }
  let sum = 0;
  const pending = [root];
  for (let pid = pending.pop(); pid !== undefined; pid = pending.pop()) {
    sum += resident.get(pid) ?? 0;
    pending.push(...(children.get(pid) ?? []));
  }
  return sum;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** Prints a table with each command's time as a ratio to the first one's. */
export function report(title: string, measurements: readonly Measurement[]): void {
  const first = measurements[0]!.seconds;
  process.stdout.write(`\n## ${title}\n\n| what | seconds | ratio | peak MB |\n| --- | --- | --- | --- |\n`);
  for (const { name, seconds, peakBytes } of measurements) {
    const cells = [name, seconds.toFixed(3), (seconds / first).toFixed(2), (peakBytes / 1e6).toFixed(0)];
    process.stdout.write(`| ${cells.join(' | ')} |\n`);
  }
}
