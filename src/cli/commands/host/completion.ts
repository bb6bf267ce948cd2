import type { Command } from 'commander';
import { StkError } from '../../../core/errors.ts';

interface Entry {
  readonly name: string;
  readonly description: string;
  readonly options: readonly { readonly long: string; readonly description: string }[];
  /** Commands of the command. */
  readonly names: readonly string[];
}

/** A completion script made from the commands themselves. Throws `usage` for a shell that is not known. */
export function completionScript(program: Command, shell: string): string {
  const visible = new Set(program.createHelp().visibleCommands(program));
  const entries = program.commands.filter(command => visible.has(command)).map(toEntry);
  const global = toEntry(program);
  switch (shell) {
    case 'bash':
      return bash(entries, global);
    case 'zsh':
      return `autoload -U +X bashcompinit && bashcompinit\n${bash(entries, global)}`;
    case 'fish':
      return fish(entries, global);
    default:
      throw new StkError('usage', `no completion for ${shell}`, { hint: 'the shells are bash, zsh and fish' });
  }
}

function toEntry(command: Command): Entry {
  const options = command.options
    .filter(option => !option.hidden && option.long)
    .map(option => ({ long: option.long!, description: option.description }));
  // What belongs to the commands of a command is offered together.
  const inner = command.parent === null ? [] : command.commands.map(toEntry);
  const all = [...options, ...inner.flatMap(entry => entry.options)];
  const byName = new Map(all.toReversed().map(option => [option.long, option]));
  const names = inner.map(entry => entry.name);
  return {
    name: command.name(),
    description: command.description(),
    options: [...byName.values()].toReversed(),
    names,
  };
}

function bash(entries: readonly Entry[], global: Entry): string {
  const flags = (entry: Entry) => [...entry.options, ...global.options].map(option => option.long).join(' ');
  const names = (entry: Entry) => (entry.names.length === 0 ? '' : ` names="${entry.names.join(' ')}"`);
  const cases = entries.map(entry => `    ${entry.name}) words="${flags(entry)}"${names(entry)} ;;`).join('\n');
  return `_stk() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" word command="" words="" names=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) command="$word"; break ;; esac
  done
  case "$command" in
    "") words="${[...entries.map(entry => entry.name), ...global.options.map(option => option.long)].join(' ')}" ;;
${cases}
  esac
  case "$cur" in
    -*) COMPREPLY=($(compgen -W "$words" -- "$cur")) ;;
    *)
      if [ -z "$command" ]; then COMPREPLY=($(compgen -W "$words" -- "$cur"))
      elif [ -n "$names" ]; then COMPREPLY=($(compgen -W "$names" -- "$cur"))
      else COMPREPLY=($(compgen -W "$(stk ls 2>/dev/null)" -- "$cur") $(compgen -f -- "$cur")); fi ;;
  esac
}
complete -o filenames -F _stk stk
`;
}

function fish(entries: readonly Entry[], global: Entry): string {
  const quote = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const rows = ['complete -c stk -f'];
  for (const entry of entries) {
    rows.push(`complete -c stk -n __fish_use_subcommand -a ${entry.name} -d ${quote(entry.description)}`);
    for (const name of entry.names) {
      rows.push(`complete -c stk -n ${quote(`__fish_seen_subcommand_from ${entry.name}`)} -a ${name}`);
    }
    for (const { long, description } of entry.options) {
      const when = quote(`__fish_seen_subcommand_from ${entry.name}`);
      rows.push(`complete -c stk -n ${when} -l ${long.slice(2)} -d ${quote(description)}`);
    }
  }
  for (const { long, description } of global.options) {
    rows.push(`complete -c stk -l ${long.slice(2)} -d ${quote(description)}`);
  }
  return `${rows.join('\n')}\n`;
}
