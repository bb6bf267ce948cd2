import { createHash } from 'node:crypto';
import { appendFile, readFile } from 'node:fs/promises';
import path from 'node:path';

export type Verdict = 'same' | 'different' | 'refused' | 'refused as by apt';

/** Which sets need not be tried again: those that passed with this very program, or with any. */
export type Passed = 'again' | 'same' | 'any';

/** What sets came to, from one run of the campaign to the next, a line each. */
export class Records {
  readonly #file: string;
  readonly #version: string;
  readonly #passed: ReadonlySet<string>;

  private constructor(file: string, version: string, passed: ReadonlySet<string>) {
    this.#file = file;
    this.#version = version;
    this.#passed = passed;
  }

  /** @param programs files of which a change makes another version */
  static async open(home: string, programs: readonly string[], passed: Passed): Promise<Records> {
    const file = path.join(home, 'tried.jsonl');
    const hash = createHash('sha256');
    for (const program of programs) hash.update(await readFile(program));
    const version = hash.digest('hex').slice(0, 12);
    const known = new Set<string>();
    const lines = passed === 'again' ? '' : await readFile(file, 'utf8').catch(() => '');
    for (const line of lines.split('\n').filter(text => text !== '')) {
      const { set, version: with_, verdict } = JSON.parse(line) as { set: string; version: string; verdict: Verdict };
      if (passed === 'same' && with_ !== version) continue;
      // What counts is the last time.
      if (isGood(verdict)) known.add(set);
      else known.delete(set);
    }
    return new Records(file, version, known);
  }

  hasPassed(set: string): boolean {
    return this.#passed.has(set);
  }

  async add(set: string, verdict: Verdict): Promise<void> {
    await appendFile(this.#file, `${JSON.stringify({ set, version: this.#version, verdict })}\n`);
  }
}

export function isGood(verdict: Verdict): boolean {
  return verdict === 'same' || verdict === 'refused as by apt';
}
