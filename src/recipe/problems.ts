import type { Diagnostic, SourceSpan } from '../core/diagnostics.ts';
import type { SourceText } from './source-text.ts';
import type { TextRange } from './yaml-tree.ts';

/** So that a hostile file cannot fill memory with complaints about itself. */
const MOST_DIAGNOSTICS = 200;

/** Collects what is wrong with one file; ranges are those of the parsed (substituted) text. */
export class Problems {
  readonly #source: SourceText;
  readonly #diagnostics: Diagnostic[] = [];
  #errors = 0;

  constructor(source: SourceText) {
    this.#source = source;
  }

  get diagnostics(): readonly Diagnostic[] {
    return this.#diagnostics;
  }

  get hasErrors(): boolean {
    return this.#errors > 0;
  }

  span(range: TextRange): SourceSpan {
    return this.#source.span(range.start, range.end);
  }

  error(rule: string, message: string, range: TextRange, suggestion?: string): void {
    this.#errors++;
    this.#add({ severity: 'error', rule, message, span: this.span(range) }, suggestion);
  }

  warning(rule: string, message: string, range: TextRange, suggestion?: string): void {
    this.warningAt(rule, message, this.span(range), suggestion);
  }

  warningAt(rule: string, message: string, span: SourceSpan, suggestion?: string): void {
    this.#add({ severity: 'warning', rule, message, span }, suggestion);
  }

  #add(problem: Omit<Diagnostic, 'suggestion'>, suggestion?: string): void {
    if (this.#diagnostics.length >= MOST_DIAGNOSTICS) return;
    this.#diagnostics.push({ ...problem, ...(suggestion === undefined ? {} : { suggestion }) });
  }
}
