import { isStkError, type ErrorCode } from '../core/errors.ts';
import { isSystemError } from './system-error.ts';

/** Exit statuses, documented in the README; each family of failures has its own. */
export const EXIT = {
  ok: 0,
  bug: 1,
  usage: 2,
  recipe: 3,
  step: 4,
  registry: 5,
  capability: 6,
  integrity: 7,
  notFound: 8,
  input: 9,
  storage: 10,
  tool: 11,
  conflict: 12,
  /** A difference was asked for and found: `diff` and `outdated` with `--exit-code`, `update --report`. */
  differs: 13,
  /** `stk run` could not run the command; other statuses are the command's. */
  notRun: 125,
  interrupted: 130,
} as const;

const STATUS: Readonly<Record<ErrorCode, number>> = {
  usage: EXIT.usage,
  'recipe-invalid': EXIT.recipe,
  'step-failed': EXIT.step,
  registry: EXIT.registry,
  network: EXIT.registry,
  unauthorized: EXIT.registry,
  'missing-capability': EXIT.capability,
  integrity: EXIT.integrity,
  'not-found': EXIT.notFound,
  'invalid-input': EXIT.input,
  unsupported: EXIT.input,
  storage: EXIT.storage,
  'tool-failed': EXIT.tool,
  conflict: EXIT.conflict,
  interrupted: EXIT.interrupted,
};

export function exitStatusOf(error: unknown): number {
  if (isStkError(error)) return STATUS[error.code];
  return isSystemError(error) ? EXIT.storage : EXIT.bug;
}
