import os from 'node:os';
import { CommanderError } from 'commander';
import { StkError, isStkError } from '../core/errors.ts';
import { EXIT, exitStatusOf } from './exit-status.ts';
import type { Program } from './program.ts';
import { errorToJson, renderError } from './render-error.ts';
import type { Session } from './session.ts';
import { clarify } from './system-error.ts';

export interface CommandLineOptions {
  readonly stderr: Pick<NodeJS.WritableStream, 'write'>;
  readonly color: boolean;
  /** Aborted by a signal; its reason names it. */
  readonly signal: AbortSignal;
  readonly view: Session['view'];
}

/** Runs a command line and says what went wrong; returns the exit status. Throws nothing. */
export async function runCommandLine(
  program: Program,
  args: readonly string[],
  { stderr, color, signal, view }: CommandLineOptions,
): Promise<number> {
  const words = program.separate(args);
  const own = program.ownOptions(words);
  if (own.json) program.silence();
  try {
    const status = await program.run(words);
    return signal.aborted && !view.statusStands ? abortStatus(signal) : status;
  } catch (caught) {
    const error = await clarify(caught);
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok;
    const failure = signal.aborted && isStkError(error, 'interrupted') ? interruption(signal) : asFailure(error);
    if (own.json || view.errorsAsJson) stderr.write(`${JSON.stringify({ type: 'error', ...errorToJson(failure) })}\n`);
    else if (!(error instanceof CommanderError)) {
      stderr.write(renderError(failure, { color, debug: own.debug, quoteOutput: !view.stepOutputShown }));
    }
    if (signal.aborted) return abortStatus(signal);
    // Every other status is the command's own.
    return own.command === 'run' ? EXIT.notRun : exitStatusOf(failure);
  }
}

/** commander has said it already, unless it was silenced. */
function asFailure(error: unknown): unknown {
  if (!(error instanceof CommanderError)) return error;
  return new StkError('usage', error.message.replace(/^error: /, ''), { hint: 'run the command with --help' });
}

function abortStatus(signal: AbortSignal): number {
  const name = /SIG[A-Z]+/.exec(String(signal.reason))?.[0] as NodeJS.Signals | undefined;
  return name && name in os.constants.signals ? 128 + os.constants.signals[name] : EXIT.interrupted;
}

function interruption(signal: AbortSignal): StkError {
  const name = /SIG[A-Z]+/.exec(String(signal.reason))?.[0] ?? 'a signal';
  return new StkError('interrupted', `interrupted by ${name}; what was running has been stopped and cleaned up`);
}
