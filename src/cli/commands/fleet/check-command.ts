import { StkError, isStkError } from '../../../core/errors.ts';
import { say, withTask, type Emit } from '../../../core/events.ts';
import type { CheckImage } from '../../../fleet/roll.ts';
import { startTool } from '../../../host/exec.ts';
import { shellSplit } from '../../../recipe/shell-split.ts';
import type { Session } from '../../session.ts';

/**
 * Runs a command with the reference of a new version in place of `{}`, or behind its last word; what it says is shown. Throws
 * `step-failed` where it does not end with 0. Throws `usage` at once for a command that cannot be split into words.
 */
export function checkCommand({ environment, workingDirectory }: Session, command: string, emit: Emit): CheckImage {
  const words = shellSplit(command);
  if ('message' in words || words.length === 0) {
    throw new StkError('usage', `--check ${command}: ${'message' in words ? words.message : 'names no command'}`);
  }
  const env = Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
  return async (image, reference, signal) => {
    const filled = words.map(word => word.replaceAll('{}', reference));
    const [file = '', ...args] = words.some(word => word.includes('{}')) ? filled : [...words, reference];
    const show = (line: string) => say(emit, 'info', `check of ${image}: ${line}`);
    await withTask(
      emit,
      { group: 'update', kind: 'check', label: `checking ${image}` },
      async () => {
        try {
          const options = { cwd: workingDirectory, env, signal, onStderr: show };
          const tool = await startTool(file, args, { ...options, stdout: 'pipe', onStdout: show });
          await tool.done;
        } catch (error) {
          if (!isStkError(error, 'tool-failed')) throw error;
          throw new StkError('step-failed', `the check of ${image} failed: ${error.message}`, {
            cause: error,
            hint: 'its tag stands for what it did; look at the new version by its digest',
            facts: { ...error.facts, image, reference },
          });
        }
      },
      signal,
    );
  };
}
