import type { OnFailure } from '../../../builder/run-script.ts';
import type { SecretMask } from '../../../builder/secret-mask.ts';
import { runStep, type StepRun } from '../../../sandbox/run-step.ts';
import type { StepRoot } from '../../../sandbox/step-root.ts';
import type { Session } from '../../session.ts';
import type { Ui } from '../../ui/open-ui.ts';

/** Whose eyes. */
export interface Audience {
  readonly session: Session;
  readonly ui: Ui;
}

export interface FailureFlags {
  readonly onRunFailure?: string;
  readonly shellFail?: boolean;
}

/** `--on-run-failure CMD` and `--shell-fail`. */
export function failureHook(flags: FailureFlags, audience: Audience): OnFailure | undefined {
  const command = flags.shellFail ? '/bin/sh' : flags.onRunFailure;
  if (command === undefined) return undefined;
  return async (root, run, mask) => {
    await runBeforeUser(root, { ...run, command: ['/bin/sh', '-c', command] }, mask, audience);
  };
}

/**
 * Runs a command in a step's root before the user's eyes: the terminal belongs to it until it ends. Where the step has
 * secrets, what it shows passes by us, so that it shows none. Returns its exit status.
 */
export async function runBeforeUser(
  root: StepRoot,
  step: StepRun,
  mask: SecretMask,
  { session, ui }: Audience,
): Promise<number> {
  const resume = await ui.suspend();
  const run = { ...step, signal: session.signal };
  const { stdout } = session;
  const terminal = !mask.isEmpty && process.stdin.isTTY && stdout.isTTY ? mask.stream() : undefined;
  try {
    if (mask.isEmpty) return await runStep(root, { ...run, stdio: 'inherit' });
    if (!terminal) return await runStep(root, { ...run, stdio: 'watch', onOutput: maskedOutput(mask, session) });
    const onTerminal = (bytes: Uint8Array) => void stdout.write(terminal.push(bytes));
    return await runStep(root, { ...run, stdio: 'terminal', onTerminal });
  } finally {
    if (terminal) stdout.write(terminal.end());
    await resume();
  }
}

function maskedOutput(mask: SecretMask, session: Session): StepRun['onOutput'] {
  return (stream, line) => void session[stream].write(`${mask.line(stream, line)}\n`);
}
