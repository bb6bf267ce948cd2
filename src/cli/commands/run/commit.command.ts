import type { Command } from 'commander';
import type { Act } from '../../act.ts';
import { platformOption } from '../images/image-flags.ts';
import type { CommitFlags } from './commit.ts';

/** `stk commit`. */
export function addCommitCommand(program: Command, act: Act): void {
  program
    .command('commit <what> <ref>')
    .description('make an image of what a kept container, or a mount with --upper, has written')
    .option('-m, --message <text>', 'comment in the history of the image')
    .option('-a, --author <name>', 'author of the image (default: stk)')
    .option(
      '-c, --change <instruction>',
      'CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME or WORKDIR, and a value (repeatable)',
      (value: string, before: readonly string[]) => [...before, value],
      [],
    )
    .option('--base <ref>', 'image that an upper directory was written on, where nothing says so')
    .addOption(platformOption())
    .option('--compression <spec>', 'zstd, gzip, xz or lz4, with level and block size: zstd:9,block=256K')
    .option('--no-verity', 'leave out the verity tree')
    .addHelpText(
      'after',
      `
WHAT is the name of a container that stk run --keep made, or an upper directory. Neither may be in use.
REF is the name of the new image: TAG in the default layout, or oci:DIR:TAG. With --base and the name of an index the base is
its image for --platform.

Examples:
  stk commit work app:tuned -m "set the limits"
  stk commit ./changes app2 --change 'CMD ["/bin/app"]' --change "ENV MODE=production"
  stk commit ./changes app2 --base app`,
    )
    .action(
      act(async (session, what: string, ref: string, flags: CommitFlags) => {
        const { runCommit } = await import('./commit.ts');
        return runCommit(session, what, ref, flags);
      }),
    );
}
