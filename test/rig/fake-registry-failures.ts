/** What goes wrong with one answer. */
export type Failure =
  /** The connection breaks after so many bytes of the answer's body, or, for an upload, of the request's. */
  | { readonly kind: 'drop'; readonly afterBytes: number }
  /** As many bytes as promised, but others. */
  | { readonly kind: 'wrong-bytes' }
  /** A body that ends in order but early, with a length that fits it or none. */
  | { readonly kind: 'truncate'; readonly toBytes: number; readonly chunked?: boolean }
  /** A body that goes on after its end. */
  | { readonly kind: 'overlong'; readonly extraBytes: number }
  | { readonly kind: 'redirect-loop' }
  | { readonly kind: 'redirect'; readonly location: string; readonly status?: number }
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  | { readonly kind: 'html' }
  /** The right answer under other headers, `undefined` leaves one out, or another status. */
  | {
      readonly kind: 'headers';
      readonly headers: Readonly<Record<string, string | undefined>>;
      readonly status?: number;
    }
  /** The right answer, coded with gzip although nobody asked for that, with its length or without. */
  | { readonly kind: 'gzip'; readonly chunked?: boolean }
  /** The whole blob, whatever range was asked for. */
  | { readonly kind: 'ignore-range' }
  /** The upload that the request names is forgotten before it is answered. */
  | { readonly kind: 'lose-upload' }
  /** The request takes effect, its answer is lost. */
  | { readonly kind: 'drop-answer' }
  /** Never answered. */
  | { readonly kind: 'hang' };

export interface FailureRule {
  /** Tested against `METHOD /path?query`. */
  readonly match: RegExp;
  readonly with: Failure;
  /** How many requests it hits; default 1. */
  readonly times?: number;
}

/** Failures in the order they were ordered; each serves its number of requests. */
export class FailureQueue {
  readonly #rules: { readonly rule: FailureRule; left: number }[] = [];

  add(rule: FailureRule): void {
    this.#rules.push({ rule, left: rule.times ?? 1 });
  }

  take(request: string): Failure | undefined {
    const at = this.#rules.findIndex(({ rule }) => rule.match.test(request));
    const found = this.#rules[at];
    if (!found) return undefined;
    if (--found.left <= 0) this.#rules.splice(at, 1);
    return found.rule.with;
  }

  clear(): void {
    this.#rules.length = 0;
  }

  /** Rules that were not used up. */
  get pending(): number {
    return this.#rules.length;
  }
}
