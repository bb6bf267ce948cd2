import { RecipeError, codeFrame, type Diagnostic } from '../core/diagnostics.ts';
import { StkError, isStkError, redact } from '../core/errors.ts';
import { isSystemError } from './system-error.ts';

export interface RenderOptions {
  readonly color: boolean;
  /** Adds causes and stacks. */
  readonly debug: boolean;
  /** Repeat the last lines of a failed step's output. */
  readonly quoteOutput: boolean;
}

/** The text for a failed command: what failed, why, and what to do next. Ends with a newline. */
export function renderError(error: unknown, options: RenderOptions): string {
  const lines: string[] = [];
  if (error instanceof RecipeError) {
    for (const diagnostic of error.diagnostics) lines.push(renderDiagnostic(diagnostic, error.sources, options));
    const count = error.diagnostics.filter(diagnostic => diagnostic.severity === 'error').length;
    lines.push(`${count} ${count === 1 ? 'problem' : 'problems'} found`);
  } else if (isStkError(error)) {
    lines.push(`${paint('error:', 31, options)} ${error.message}`);
    const output = error.facts['output'];
    if (options.quoteOutput && Array.isArray(output)) lines.push(...output.map(line => `  ${redact(String(line))}`));
    if (error.hint !== undefined) lines.push(`${paint('hint:', 36, options)} ${error.hint}`);
  } else if (isSystemError(error)) {
    lines.push(`${paint('error:', 31, options)} ${redact(error.message)}`);
  } else {
    lines.push(`${paint('internal error:', 31, options)} ${error instanceof Error ? error.message : String(error)}`);
    lines.push('hint: this is a bug of stk; please report it with the output of the same command and --debug');
  }
  if (options.debug) lines.push(...debugLines(error));
  return `${lines.join('\n')}\n`;
}

/** `file:line:column: error: message`, a code frame, and what to write instead. */
export function renderDiagnostic(
  diagnostic: Diagnostic,
  sources: ReadonlyMap<string, string>,
  options: Pick<RenderOptions, 'color'>,
): string {
  const { span, severity, message, suggestion } = diagnostic;
  const where = span ? `${span.file}:${span.line}:${span.column}: ` : '';
  const lines = [`${where}${paint(`${severity}:`, severity === 'error' ? 31 : 33, options)} ${redact(message)}`];
  const text = span && sources.get(span.file);
  if (text !== undefined) lines.push(codeFrame(text, span!));
  if (suggestion !== undefined) lines.push(`${paint('help:', 36, options)} ${suggestion}`);
  return lines.filter(line => line !== '').join('\n');
}

/** Error as JSON for `--json` listings and `--progress=json`. */
export function errorToJson(error: unknown): Readonly<Record<string, unknown>> {
  if (error instanceof RecipeError) return { code: error.code, message: error.message, diagnostics: error.diagnostics };
  if (isSystemError(error)) return { code: 'system', message: redact(error.message), facts: { errno: error.code } };
  if (!isStkError(error)) return { code: 'bug', message: error instanceof Error ? error.message : String(error) };
  return { code: error.code, message: error.message, ...(error.hint ? { hint: error.hint } : {}), facts: error.facts };
}

function debugLines(error: unknown): string[] {
  const lines: string[] = [];
  for (let cause = error, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth++) {
    lines.push(`${depth === 0 ? 'at' : 'caused by'}: ${redact(cause.stack ?? cause.message)}`);
    if (cause instanceof StkError && Object.keys(cause.facts).length > 0) lines.push(JSON.stringify(cause.facts));
  }
  return lines;
}

function paint(text: string, code: number, options: Pick<RenderOptions, 'color'>): string {
  return options.color ? `\u001b[1;${code}m${text}\u001b[0m` : text;
}
