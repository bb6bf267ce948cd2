import type { Command } from 'commander';
import type { Act } from '../../act.ts';
import type { InspectFlags } from './inspect.ts';
import { tlsVerify } from '../images/tls-verify.ts';

/** The commands that look at and tidy up a layout: inspect, ls, gc, clean. */
export function addLayoutCommands(program: Command, act: Act): void {
  program
    .command('inspect [ref]')
    .description('show the layers, configuration and origin of an image, or all images of the layout')
    .option('--json', 'print JSON')
    .addOption(tlsVerify())
    .addHelpText(
      'after',
      '\nExamples:\n  stk inspect                  all images of ./oci\n  stk inspect app\n  stk inspect oci:dir:app --json\n  stk inspect docker://registry.example/app:1.0',
    )
    .action(
      act(async (session, ref: string | undefined, flags: InspectFlags) => {
        const { runInspect } = await import('./inspect.ts');
        return runInspect(session, ref, flags);
      }),
    );
  program
    .command('ls [ref]')
    .description('list the files of an image, without mounting it: REF or REF:/path')
    .option('-l, --long', 'mode, owner, size and time too')
    .option('-R, --recursive', 'everything below')
    .option('--layer <digest>', 'one layer only, whiteouts included')
    .option('--json', 'print one JSON object per line')
    .addHelpText(
      'after',
      '\nExamples:\n  stk ls                       names of the images\n  stk ls app:/etc\n  stk ls -lR oci:dir:app:/usr/bin',
    )
    .action(
      act(
        async (
          session,
          ref: string | undefined,
          flags: {
            readonly long?: boolean;
            readonly recursive?: boolean;
            readonly layer?: string;
            readonly json?: boolean;
          },
        ) => {
          const { runLs } = await import('./ls.ts');
          return runLs(session, ref, flags);
        },
      ),
    );
  program
    .command('gc')
    .description('remove blobs that no image and no cache record needs')
    .option('--no-keep-cache', 'forget the build cache, too')
    .option('-n, --dry-run', 'only say what would go')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExamples:\n  stk gc -n\n  stk gc --no-keep-cache')
    .action(
      act(
        async (session, flags: { readonly keepCache: boolean; readonly dryRun?: boolean; readonly json?: boolean }) => {
          const { runGc } = await import('./gc.ts');
          return runGc(session, flags);
        },
      ),
    );
  program
    .command('clean')
    .description('remove the caches and the work directory; with --all the layout, too')
    .option('--all', 'remove the OCI layout as well')
    .addHelpText(
      'after',
      '\nNothing is removed while it is in use, or while containers are kept in it.\n\nExamples:\n  stk clean\n  stk clean --all',
    )
    .action(
      act(async (session, flags: { readonly all?: boolean }) => {
        const { runClean } = await import('./clean.ts');
        return runClean(session, flags);
      }),
    );
}
