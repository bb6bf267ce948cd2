import type { Command } from 'commander';
import type { Act } from '../../act.ts';
import type { InspectFlags } from './inspect.ts';
import type { LsFlags } from './ls.ts';
import { ANY_IMAGE, platformOption, tlsVerify } from '../images/image-flags.ts';

/** The commands that look at and tidy up a layout: inspect, ls, gc, clean. */
export function addLayoutCommands(program: Command, act: Act): void {
  program
    .command('inspect [ref]')
    .description('show the layers, configuration and origin of an image, or all images of the layout')
    .addOption(platformOption())
    .option('--json', 'print JSON')
    .addOption(tlsVerify())
    .addHelpText(
      'after',
      `
${ANY_IMAGE}
oci:DIR and an archive of several images, alone, list what they have.

Examples:
  stk inspect                  all images of ./oci
  stk inspect app
  stk inspect oci:dir:app --json
  stk inspect docker://registry.example/app:1.0 --platform linux/arm64`,
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
    .addOption(platformOption())
    .option('--json', 'print one JSON object per line')
    .addOption(tlsVerify())
    .addHelpText(
      'after',
      `
${ANY_IMAGE}
:/PATH after any of them names a path in it. Files of a registry are read there, nothing is downloaded whole.

Examples:
  stk ls                       names of the images
  stk ls app:/etc
  stk ls -lR oci:dir:app:/usr/bin
  stk ls docker://registry.example/app:1.0:/etc`,
    )
    .action(
      act(async (session, ref: string | undefined, flags: LsFlags) => {
        const { runLs } = await import('./ls.ts');
        return runLs(session, ref, flags);
      }),
    );
  program
    .command('grab <file> [dest]')
    .description('copy a file or directory out of an image that was built, build_only ones included')
    .addHelpText(
      'after',
      `
FILE is NAME:/path, where NAME is an image of the recipe as the last build left it, or a tag of the layout. DEST is a
name for the copy, or a directory for it; by default it goes into the working directory. Modes are kept, owners are not.

Examples:
  stk grab app:/etc/passwd
  stk grab builder:/out/server ./bin/`,
    )
    .action(
      act(async (session, file: string, dest: string | undefined) => {
        const { runGrab } = await import('./grab.ts');
        return runGrab(session, file, dest);
      }),
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
