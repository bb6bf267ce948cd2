import type { Command, Option } from 'commander';

/** What a command line says to stk itself, as far as that is known before it is parsed, or where it cannot be. */
export interface OwnOptions {
  /** The name of the command; `undefined` where there is none of that name. */
  readonly command: string | undefined;
  /** Whether errors are to be JSON: with `--progress=json`, and with `--json` where the command has that. */
  readonly json: boolean;
  readonly debug: boolean;
}

/**
 * Puts `--` before the words of a command that such as `stk run REF COMMAND…` starts, so that options in it are that command's
 * and not stk's, while options of stk may stand anywhere before it. Other command lines come back as they are.
 */
export function separateCommand(args: readonly string[], program: Command, name: string): readonly string[] {
  const command = program.commands.find(one => one.name() === name || one.aliases().includes(name));
  const at = operandIndex(args, 0, program.options);
  if (command === undefined || at === undefined || args[at] !== name) return args;
  const options = [...command.options, ...program.options];
  const ref = operandIndex(args, at + 1, options);
  const first = ref === undefined ? undefined : operandIndex(args, ref + 1, options);
  return first === undefined ? args : [...args.slice(0, first), '--', ...args.slice(first)];
}

/** Looks at the words of `separateCommand` that are stk's own: values of options and what stands behind `--` are not. */
export function ownOptions(words: readonly string[], program: Command): OwnOptions {
  let command: Command = program;
  let options: readonly Option[] = program.options;
  let json = false;
  let debug = false;
  for (let index = 0; index < words.length && words[index] !== '--'; index++) {
    const word = words[index]!;
    if (!word.startsWith('-') || word === '-') {
      const next = command.commands.find(one => one.name() === word || one.aliases().includes(word));
      if (next) [command, options] = [next, [...options, ...next.options]];
      continue;
    }
    const value = word.startsWith('--progress=') ? word.slice('--progress='.length) : undefined;
    if (value === 'json' || (word === '--progress' && words[index + 1] === 'json')) json = true;
    if (word === '--json' && options.some(option => option.long === '--json')) json = true;
    if (word === '--debug') debug = true;
    if (takesNext(word, options)) index++;
  }
  return { command: command === program ? undefined : command.name(), json, debug };
}

/** The first word from there on that is neither an option nor an option's value; `undefined` at the end or at `--`. */
function operandIndex(args: readonly string[], from: number, options: readonly Option[]): number | undefined {
  for (let index = from; index < args.length; index++) {
    const word = args[index]!;
    if (word === '--') return undefined;
    if (!word.startsWith('-') || word === '-') return index;
    if (takesNext(word, options)) index++;
  }
  return undefined;
}

function takesNext(word: string, options: readonly Option[]): boolean {
  if (word.startsWith('--')) return options.some(option => option.long === word && option.required);
  // Short options may stand together; only the last of them can take the next word.
  for (const [index, letter] of word.slice(1).split('').entries()) {
    const option = options.find(one => one.short === `-${letter}`);
    if (option?.required === true) return index === word.length - 2;
  }
  return false;
}
