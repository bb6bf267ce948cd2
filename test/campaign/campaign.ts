import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';

/** What every campaign is given; its own options come on top. */
export interface Campaign {
  /** Where it keeps what it makes, from one run to the next. */
  readonly home: string;
  /** The built command line. */
  readonly program: string;
  readonly seed: number;
  /** Aborted at the end of its time, or by a signal: it prints the figures that it has. */
  readonly signal: AbortSignal;
  /** Values of the options that it asked for, as they were written. */
  readonly options: Readonly<Record<string, string | undefined>>;
}

export interface Figures {
  /** Printed in their order, on one line. */
  readonly counts: Readonly<Record<string, number | string>>;
  /** Whether what was found means that something is wrong. */
  readonly failed: boolean;
}

/** Reads the command line, runs the campaign and ends the process: 0 where nothing failed, 1 otherwise, 2 for wrong usage. */
export async function campaign(
  name: string,
  defaults: Readonly<Record<string, string>>,
  run: (campaign: Campaign) => Promise<Figures>,
): Promise<never> {
  const started = Date.now();
  const [home, program] = [process.env['CAMPAIGN_HOME'], process.env['CAMPAIGN_PROGRAM']];
  if (home === undefined || program === undefined) throw new Error('start it with: npm run campaign');
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort());
  let values: Record<string, string | undefined>;
  let seed: number;
  let minutes: number | undefined;
  try {
    const names = ['seed', 'minutes', ...Object.keys(defaults)];
    const options = Object.fromEntries(names.map(option => [option, { type: 'string' as const }]));
    values = { ...defaults, ...parseArgs({ options, strict: true }).values };
    seed = wholeNumber('seed', values['seed'] ?? '1');
    minutes = values['minutes'] === undefined ? undefined : wholeNumber('minutes', values['minutes']);
  } catch (cause) {
    console.error(`${name}: ${(cause as Error).message}`);
    process.exit(2);
  }
  if (minutes !== undefined) setTimeout(() => stop.abort(), minutes * 60_000).unref();
  const figures = await run({ home, program, seed, signal: stop.signal, options: values });
  const took = ((Date.now() - started) / 60_000).toFixed(1);
  const counts = Object.entries(figures.counts).map(([what, count]) => `${count} ${what}`);
  console.log(`${name}: ${counts.join(', ')}; seed ${seed}, ${took} minutes`);
  process.exit(figures.failed ? 1 : 0);
}

export function wholeNumber(option: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`--${option} takes a whole number`);
  return Number(text);
}

/** Keeps what failed as a small file, so that it can be looked at and tried again. Returns its path. */
export async function keepFailure(home: string, file: string, content: object): Promise<string> {
  const target = path.join(home, 'failed', file);
  await mkdir(path.dirname(target), { recursive: true });
  await writeFile(target, `${JSON.stringify(content, null, 2)}\n`);
  return target;
}
