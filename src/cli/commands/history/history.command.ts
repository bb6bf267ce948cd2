import type { Command } from 'commander';
import type { Act } from '../../act.ts';
import type { HistoryFlags } from './history.ts';

/** What builds did: `history` and `logs`. */
export function addHistoryCommands(program: Command, act: Act): void {
  program
    .command('history [image]')
    .description('list the builds that did something: when, what, how long')
    .option('-n, --number <count>', 'so many, the newest', '20')
    .option('--json', 'print one JSON object per build')
    .addHelpText(
      'after',
      `
IMAGE is the name of an image in a recipe. The last 100 builds are remembered, with what their steps wrote, in --stk-dir.

Examples:
  stk history
  stk history app -n 1 --json`,
    )
    .action(
      act(async (session, image: string | undefined, flags: HistoryFlags) => {
        const { runHistory } = await import('./history.ts');
        return runHistory(session, image, flags);
      }),
    );
  program
    .command('logs <image> [step]')
    .description('print what the steps of an image wrote when they were done last')
    .addHelpText(
      'after',
      `
IMAGE is the name of an image in a recipe, STEP the label of a step as stk history shows it, such as run. Values of secrets
are hidden in it, as they were on the screen.

Examples:
  stk logs app
  stk logs app run`,
    )
    .action(
      act(async (session, image: string, step: string | undefined) => {
        const { runLogs } = await import('./history.ts');
        return runLogs(session, image, step);
      }),
    );
}
