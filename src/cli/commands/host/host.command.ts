import type { Command } from 'commander';
import type { Act } from '../../act.ts';

/** The commands about this host and this program: check, completion, and the table that manual pages are made of. */
export function addHostCommands(program: Command, act: Act): void {
  program
    .command('check')
    .description('say what this host can do, what is missing, and the line that mends it')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExit status: 0 if everything that `stk build` needs is there, 6 otherwise.')
    .action(
      act(async (session, flags: { readonly json?: boolean }) => {
        const { runCheck } = await import('./check.ts');
        return runCheck(session, flags);
      }),
    );
  program
    .command('completion <shell>')
    .description('print a completion script for bash, zsh or fish')
    .addHelpText(
      'after',
      '\nExamples:\n  source <(stk completion bash)\n  stk completion fish > ~/.config/fish/completions/stk.fish',
    )
    .action(
      act(async (session, shell: string) => {
        const { completionScript } = await import('./completion.ts');
        session.stdout.write(completionScript(program, shell));
        return 0;
      }),
    );
  program
    .command('command-table', { hidden: true })
    .description('print all commands with their options as JSON')
    .action(
      act(async session => {
        const { commandTable } = await import('./command-table.ts');
        session.stdout.write(`${JSON.stringify(commandTable(program), undefined, 2)}\n`);
        return 0;
      }),
    );
}
