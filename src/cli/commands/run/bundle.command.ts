import type { Command } from 'commander';
import type { Act } from '../../act.ts';
import type { BundleFlags } from './bundle.ts';
import { MOUNTED_IMAGE } from '../images/image-flags.ts';
import { mountOptions } from '../mount/mount.command.ts';

/** As commander gives them. */
type BundleArguments = [ref: string, directory: string, command: readonly string[], flags: BundleFlags];

/** `stk bundle`. */
export function addBundleCommand(program: Command, act: Act): void {
  mountOptions(program.command('bundle <ref> <dir> [command...]'))
    .description('make an OCI runtime bundle for runc and others: config.json, and the image mounted on rootfs')
    .option('-t, --tty', 'give the container a terminal')
    .option('-u, --user <user>', "USER or USER:GROUP in place of the image's")
    .option('--hostname <name>', 'host name in the container')
    .addHelpText(
      'after',
      `
${MOUNTED_IMAGE} COMMAND takes the place of the image's Cmd.
stk umount DIR takes the mount away again.

Examples:
  stk bundle app b && runc run -b b app1
  stk bundle app b --rw -t -- sh`,
    )
    .action(
      act(async (session, ...[ref, directory, command, flags]: BundleArguments) => {
        const { runBundle } = await import('./bundle.ts');
        return runBundle(session, { ref, directory, command, flags });
      }),
    );
}
