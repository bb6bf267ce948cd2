import { Option, type Command } from 'commander';
import type { Act } from '../../act.ts';
import { signatureOptions } from '../signature/require-signature.ts';
import { lazyOptions } from './lazy-options.ts';
import type { MountFlags } from './mount.ts';
import type { VerifyFlags } from './verify.ts';
import { ANY_IMAGE, MOUNTED_IMAGE, platformOption, tlsVerify } from '../images/image-flags.ts';

/** The commands that mount images; `stk atomfs` has the same ones under the names that atomfs users know. */
export function addMountCommands(program: Command, act: Act): void {
  addTo(program, act, 'stk');
  program
    .command('mounts')
    .description('list the mounted images, and whether their mounts really stand')
    .option('--json', 'print JSON')
    .option('--repair', 'clear away what crashed or was unmounted by others')
    .addHelpText('after', '\nExamples:\n  stk mounts\n  stk mounts --repair')
    .action(
      act(async (session, flags: { readonly json?: boolean; readonly repair?: boolean }) => {
        const { runMounts } = await import('./mounts.ts');
        return runMounts(session, flags);
      }),
    );
  program
    .command('serve', { hidden: true })
    .description('serve verified files to the mounts of a user; started by mount')
    .action(
      act(async session => {
        const { runServe } = await import('./serve.ts');
        return runServe(session);
      }),
    );
  const atomfs = program.command('atomfs').description('mount, umount and verify, as atomfs names them');
  addTo(atomfs, act, 'stk atomfs');
  for (const command of atomfs.commands) command.exitOverride();
}

function addTo(parent: Command, act: Act, name: string): void {
  mountOptions(parent.command('mount <ref> <target>'))
    .description('mount an image on a directory, without unpacking it')
    .addHelpText(
      'after',
      `\n${MOUNTED_IMAGE}\n\nExamples:\n  ${name} mount app /mnt\n  ${name} mount oci:dir:app /mnt --upper changes\n  ${name} mount docker://registry.example/app:1.0 /mnt`,
    )
    .action(
      act(async (session, ref: string, target: string, flags: MountFlags) => {
        const { runMount } = await import('./mount.ts');
        return runMount(session, ref, target, flags);
      }),
    );
  parent
    .command('umount <target>')
    .alias('unmount')
    .description('unmount an image, and those of its layers that no other mount uses')
    .addHelpText('after', `\nExamples:\n  ${name} umount /mnt`)
    .action(
      act(async (session, target: string) => {
        const { runUmount } = await import('./umount.ts');
        return runUmount(session, target);
      }),
    );
  signatureOptions(parent.command('verify <ref>'))
    .description('check every blob of an image against its digest, and every layer against its verity root')
    .option('--attestation <type>', 'check that a key of --key signed such a statement about the image, instead')
    .option('--predicate-has <file>', 'with --attestation: JSON whose members the statement must have')
    .option('--json', 'print JSON')
    .addOption(platformOption())
    .addOption(tlsVerify())
    .addOption(new Option('--no-tls-verify', 'same as --tls-verify=false').hideHelp())
    .addHelpText(
      'after',
      `\n${ANY_IMAGE}\nOne in a registry is read in full without being kept; with --key or --policy only its signature is.\n\nExamples:\n  ${name} verify app\n  ${name} verify docker://registry.example/app:1.0 --key release.pub\n  ${name} verify app --attestation slsaprovenance1 --key release.pub`,
    )
    .action(
      act(async (session, ref: string, flags: VerifyFlags) => {
        const { runVerify } = await import('./verify.ts');
        return runVerify(session, ref, flags);
      }),
    );
}

/** The options of whatever mounts an image to last: `MountFlags`. */
export function mountOptions(command: Command): Command {
  return lazyOptions(signatureOptions(command))
    .addOption(platformOption())
    .option('--rw', 'allow writing; what is written goes with the mount')
    .option('--upper <dir>', 'allow writing; what is written is kept in DIR')
    .option('--read-only', 'the default')
    .addOption(new Option('--kernel', 'kernel squashfs on loop devices (root)').conflicts('fuse'))
    .option('--fuse', 'squashfuse, also for root')
    .addOption(
      new Option('--verify <mode>', 'check blocks while they are read, where layers have a verity root')
        .choices(['auto', 'require', 'off'])
        .default('auto'),
    );
}
