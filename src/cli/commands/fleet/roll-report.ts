import { formatBytes } from '../../../core/bytes.ts';
import type { Fleet } from '../../../fleet/fleet-model.ts';
import type { RolledBack } from '../../../fleet/roll-back.ts';
import { dueParts, type RollPlan } from '../../../fleet/roll-plan.ts';
import type { RollOutcome } from '../../../fleet/roll.ts';
import type { SurveyedTag } from '../../../fleet/survey.ts';
import { errorToJson } from '../../render-error.ts';
import { jsonText } from '../../ui/json-text.ts';
import { printableLine } from '../../ui/printable-line.ts';

/** What is not one image. */
export interface RollTotals {
  /** Images that are on the newest versions. */
  readonly current: number;
  /** Images and places that could not be read. */
  readonly unread: number;
}

/** Tells of images as they end: lines, or one JSON list. */
export class RollReport {
  readonly #stdout: NodeJS.WriteStream;
  readonly #json: boolean;
  readonly #counts = new Map<string, number>();
  #bytes = 0;
  #state: 'empty' | 'open' | 'closed' = 'empty';

  constructor(stdout: NodeJS.WriteStream, json: boolean) {
    this.#stdout = stdout;
    this.#json = json;
  }

  add(outcome: RollOutcome): void {
    const { image, tag, outcome: what, from, to, parts, bytes, error } = outcome;
    this.#count(what);
    this.#bytes += bytes ?? 0;
    if (this.#json) {
      this.#item({ image, tag, outcome: what, from, to, parts, bytes, ...(error && errorToJson(error)) });
    } else if (what !== 'unchanged') {
      const moved = to === undefined ? '' : ` ${from.slice(7, 19)} -> ${to.slice(7, 19)}`;
      const why = error ? `: ${error.message}` : parts.length === 0 ? '' : ` (${parts.join(', ')})`;
      this.#line(`${what} ${image}${image.endsWith(`:${tag}`) ? '' : ` as ${tag}`}${moved}${why}`);
    }
  }

  addBack({ image, outcome, from, to, error }: RolledBack): void {
    this.#count(outcome);
    if (this.#json) this.#item({ image, outcome, from, to, ...(error && errorToJson(error)) });
    else if (outcome !== 'unchanged') {
      this.#line(`${outcome} ${image} ${from?.slice(7, 19) ?? '-'} -> ${to?.slice(7, 19) ?? '-'}`);
    }
  }

  plan({ due, later, waiting }: RollPlan, fleet: Fleet): void {
    const tell = (tags: readonly SurveyedTag[], what: string) => {
      for (const { selected, images } of tags) {
        const parts = [...new Set(images.flatMap(image => dueParts(image, fleet).map(part => part.name)))];
        this.#count(what);
        if (this.#json) this.#item({ image: selected.name, outcome: what, parts });
        else this.#line(`${what} ${selected.name} (${parts.join(', ')})`);
      }
    };
    tell(due, 'due');
    tell(later, 'later');
    tell(waiting, 'waits');
  }

  end({ current, unread }: RollTotals): void {
    if (this.#json) return;
    const counts = [...this.#counts]
      .filter(([what]) => what !== 'unchanged')
      .map(([what, count]) => `${count} ${what}`);
    const unchanged = current + (this.#counts.get('unchanged') ?? 0);
    const bytes = this.#bytes > 0 ? `; ${formatBytes(this.#bytes)}` : '';
    const lost = unread > 0 ? `, ${unread} not read` : '';
    this.#line(`${[...counts, `${unchanged} current`].join(', ')}${lost}${bytes}`);
  }

  endBack(done: readonly RolledBack[]): void {
    if (!this.#json) {
      const counts = [...this.#counts].map(([what, count]) => `${count} ${what}`);
      this.#line(done.length === 0 ? 'no roll is written down that could be taken back' : counts.join(', '));
    }
    this.close();
  }

  /** Ends a JSON list; once is enough. */
  close(): void {
    if (this.#json && this.#state !== 'closed') this.#stdout.write(this.#state === 'empty' ? '[]\n' : '\n]\n');
    this.#state = 'closed';
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  #item(value: object): void {
    this.#stdout.write(`${this.#state === 'empty' ? '[' : ','}\n${jsonText(value)}`);
    this.#state = 'open';
  }

  #line(text: string): void {
    this.#stdout.write(`${printableLine(text)}\n`);
  }
}
