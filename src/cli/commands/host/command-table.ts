import type { Command } from 'commander';

/** One command as its help tells it. */
export interface CommandEntry {
  /** With the names of the commands that it belongs to: `atomfs mount`. */
  readonly name: string;
  readonly usage: string;
  readonly description: string;
  readonly options: readonly { readonly flags: string; readonly description: string }[];
  /** What help says after the options: notes, exit statuses, examples. */
  readonly notes: string;
}

/** All commands that help shows, depth first, the program itself first. */
export function commandTable(program: Command): CommandEntry[] {
  const entries: CommandEntry[] = [];
  const visit = (command: Command, path: readonly string[]): void => {
    const help = command.createHelp();
    entries.push({
      name: path.join(' '),
      usage: command.usage(),
      description: command.description(),
      options: help
        .visibleOptions(command)
        .map(option => ({ flags: help.optionTerm(option), description: help.optionDescription(option) })),
      notes: notesOf(command),
    });
    for (const child of help.visibleCommands(command)) {
      if (child.name() !== 'help') visit(child, [...path, child.name()]);
    }
  };
  visit(program, []);
  return entries;
}

/** The help of a command without what `helpInformation` says. */
function notesOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: part => (text += part) });
  command.outputHelp();
  return text.slice(command.helpInformation().length).trim();
}
