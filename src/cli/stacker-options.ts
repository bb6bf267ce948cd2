import { Option, type Command } from 'commander';

/** Of the values of `--progress`; stacker's option of that name takes none. */
export const PROGRESS_MODES = ['auto', 'tty', 'plain', 'json', 'quiet'] as const;

/**
 * Global options of stacker, so that command lines and configuration files that were written for it go on working. Apart
 * from `--stacker-dir` and `--no-progress` they have nothing to decide here: stk keeps no root filesystems, has one kind
 * of storage, and gives times where a log needs them.
 */
export function addStackerOptions(program: Command): void {
  for (const option of [
    new Option('--stacker-dir <dir>', 'same as --stk-dir'),
    new Option('--roots-dir <dir>', 'nothing: accepted for stacker'),
    new Option('--storage-type <type>', 'nothing: accepted for stacker'),
    new Option('--log-timestamp', 'nothing: accepted for stacker'),
    new Option('--no-progress', 'same as --progress plain'),
  ]) {
    program.addOption(option.hideHelp());
  }
}

/**
 * Gives a `--progress` that stands alone, as stacker has it, the mode that it means, so that the command after it is not
 * taken for one. What follows `--` is a command's own.
 */
export function adaptProgress(args: readonly string[], commands: readonly string[]): readonly string[] {
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  return args.map((word, index) => {
    const next = args[index + 1];
    const isAlone = next === undefined || next.startsWith('-') || commands.includes(next);
    return word === '--progress' && index < end && isAlone ? '--progress=auto' : word;
  });
}
