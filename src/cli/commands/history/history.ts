import { readHistory, readLog, type HistoryEntry } from '../../../builder/build-history.ts';
import { stateDirectories } from '../../../builder/state-directories.ts';
import { StkError } from '../../../core/errors.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { OutputLines } from '../../ui/output-lines.ts';
import { printableLine } from '../../ui/printable-line.ts';

export interface HistoryFlags {
  readonly number: string;
  readonly json?: boolean;
}

/** `stk history [IMAGE]`: builds, the newest first. */
export async function runHistory(session: Session, image: string | undefined, flags: HistoryFlags): Promise<number> {
  if (!/^[1-9]\d{0,5}$/.test(flags.number)) {
    throw new StkError('usage', `--number ${flags.number} is no count`, { hint: 'a whole number from 1 on' });
  }
  const entries = await readHistory(historyHome(session));
  const wanted = entries.filter(entry => image === undefined || isAbout(entry, image)).slice(0, Number(flags.number));
  const lines = new OutputLines(session.stdout);
  for (const entry of wanted) {
    if (flags.json) await lines.write(jsonText(entry));
    else for (const line of shown(entry, image)) await lines.write(printableLine(line));
  }
  await lines.flush();
  return 0;
}

/** `stk logs IMAGE [STEP]`: what was written by the last build in which the step ran. */
export async function runLogs(session: Session, image: string, step: string | undefined): Promise<number> {
  const home = historyHome(session);
  let wasQuiet = false;
  for (const entry of await readHistory(home)) {
    const tasks = entry.tasks.filter(task => task.image === image && (step === undefined || task.label === step));
    const texts: Buffer[] = [];
    for (const task of tasks) {
      const text = await readLog(home, entry, task);
      if (text) texts.push(text);
    }
    for (const text of texts) session.stdout.write(text);
    if (texts.length > 0) return 0;
    wasQuiet ||= tasks.length > 0 && tasks.every(({ log }) => log === undefined);
    if (wasQuiet && step !== undefined) break;
  }
  if (wasQuiet) {
    session.stderr.write(`${step ?? 'every step'} of ${image} wrote nothing\n`);
    return 0;
  }
  throw new StkError('not-found', `no build that is remembered ran ${step ?? 'a step'} of ${image}`, {
    hint: 'stk history shows what is remembered',
  });
}

function historyHome({ global }: Session) {
  return stateDirectories(global.stkDir).history;
}

function isAbout({ images, tasks }: HistoryEntry, image: string): boolean {
  return images.some(({ name }) => name === image) || tasks.some(task => task.image === image);
}

function shown({ startedAt, durationMs, images, tasks }: HistoryEntry, image: string | undefined): readonly string[] {
  const time = startedAt.slice(0, 19).replace('T', ' ');
  const about = images.filter(({ name }) => image === undefined || name === image);
  const summary = about.map(({ name, outcome }) => `${name} ${outcome}`).join(', ');
  const did = tasks.filter(task => image === undefined || task.image === image);
  return [
    `${time} ${seconds(durationMs)} ${summary === '' ? 'interrupted' : summary}`,
    ...did.map(({ image: name, kind, label, outcome, durationMs: took }) => {
      const what = kind === label ? kind : `${kind} ${label}`;
      return `  ${name} ${what}: ${outcome}, ${seconds(took)}`;
    }),
  ];
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)}s`;
}
