import type { Command } from 'commander';
import type { Act } from '../act.ts';
import type { DiffFlags } from './diff.ts';
import { tlsVerify } from './tls-verify.ts';

/** The commands that compare images and swap parts of them: diff, update. */
export function addUpdateCommands(program: Command, act: Act): void {
  addDiff(program, act);
}

function addDiff(program: Command, act: Act): void {
  program
    .command('diff <old> <new> [paths...]')
    .description(
      'show which layers, settings and files differ between two images, without mounting or downloading them',
    )
    .option('--stat', 'only layers, settings and counts')
    .option('--exit-code', 'end with status 1 where settings or files differ')
    .option('--json', 'print JSON')
    .addOption(tlsVerify())
    .addHelpText(
      'after',
      `
Images are tags of the layout, oci:DIR:TAG or docker://…. Lines begin with A (added), D (removed) or M (changed). Times
are not compared, and layers that both images have are not read.

Examples:
  stk diff app:1.0 app:1.1
  stk diff docker://registry.example/app:1.0 app /etc /usr/lib --exit-code`,
    )
    .action(
      act(async (session, before: string, after: string, paths: string[], flags: DiffFlags) => {
        const { runDiff } = await import('./diff.ts');
        return runDiff(session, [before, after], paths, flags);
      }),
    );
}
