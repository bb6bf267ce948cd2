import { Option, type Command } from 'commander';
import type { Act } from '../../act.ts';
import { MOUNTED_IMAGE, platformOption, tlsVerify } from '../images/image-flags.ts';
import { lazyOptions } from '../mount/lazy-options.ts';
import { signatureOptions } from '../signature/require-signature.ts';
import type { OptimizeFlags } from './optimize.ts';
import type { RunFlags } from './run.ts';
import { collect } from '../../repeatable.ts';

/** `stk run`, and what it keeps. */
export function addRunCommands(program: Command, act: Act): void {
  const run = program.command('run <ref> [command...]');
  lazyOptions(signatureOptions(run))
    .description("run an image's command on the mounted image, with a writable layer of its own")
    .addOption(platformOption())
    .option('-i, --interactive', 'hand over standard input')
    .option('-t, --tty', 'give it a terminal of its own')
    .option('-e, --env <name=value>', 'set a variable; NAME alone passes on the value here (repeatable)', collect, [])
    .option('--env-file <file>', 'set the variables of a file (repeatable)', collect, [])
    .option(
      '-v, --volume <source:target>',
      'show a file or directory of the host; :ro read-only (repeatable)',
      collect,
      [],
    )
    .option('--tmpfs <path>', 'an empty directory in memory (repeatable)', collect, [])
    .option('-w, --workdir <path>', 'where it starts')
    .option('-u, --user <user>', "USER or USER:GROUP in place of the image's")
    .option('--network <network>', 'host or none', 'host')
    .option('--hostname <name>', 'its host name')
    .option('--entrypoint <program>', "in place of the image's entry point; empty for none")
    .option('--read-only', 'nothing can be written but to volumes')
    .option('--name <name>', 'name of the container')
    .option('--keep', 'keep what it writes under its name; the next run of that name goes on with it')
    .addOption(new Option('--rm', 'remove it when it ends, as is done anyhow').hideHelp())
    .addOption(new Option('--kernel', 'mount layers with the kernel, also unknown ones').conflicts('fuse'))
    .option('--fuse', 'mount layers with FUSE')
    .addOption(
      new Option('--verify <mode>', 'check blocks while they are read')
        .choices(['auto', 'require', 'off'])
        .default('auto'),
    )
    .addHelpText(
      'after',
      `
${MOUNTED_IMAGE} COMMAND takes the place of the image's Cmd.
The exit status is the command's; 126: it cannot be executed; 127: it is not there; 128+N: ended by signal N.

Examples:
  stk run app
  stk run docker://registry.example/app:1.0
  stk run -it app sh
  stk run --rm -v ./data:/data:ro -e DEBUG=1 app ls /data
  stk run --name work --keep app apt-get install -y hello && stk commit work app-hello`,
    )
    .action(
      act(async (session, ref: string, command: readonly string[], flags: RunFlags) => {
        const { runRun } = await import('./run.ts');
        return runRun(session, ref, command, flags);
      }),
    );
  addOptimize(program, act);
  program
    .command('containers')
    .alias('ps')
    .description('list the containers that were kept')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExamples:\n  stk containers\n  stk containers --json')
    .action(
      act(async (session, flags: { readonly json?: boolean }) => {
        const { runContainers } = await import('./containers.ts');
        return runContainers(session, flags);
      }),
    );
  program
    .command('rm <name...>')
    .description('remove kept containers with what they wrote')
    .addHelpText(
      'after',
      `
NAME is what stk run --name called a container; stk containers lists them.

Examples:
  stk rm work
  stk rm work test`,
    )
    .action(
      act(async (session, names: readonly string[]) => {
        const { runRm } = await import('./containers.ts');
        return runRm(session, names);
      }),
    );
}

function addOptimize(program: Command, act: Act): void {
  program
    .command('optimize <ref> [command...]')
    .description('run a command of an image in a registry once, and keep there what it read, for faster starts')
    .addOption(platformOption())
    .addOption(tlsVerify())
    .addOption(new Option('--no-tls-verify', 'same as --tls-verify=false').hideHelp())
    .option('--name <name>', 'name of the workload, one of several', 'default')
    .option('-e, --env <name=value>', 'set a variable; NAME alone passes on the value here (repeatable)', collect, [])
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
The image is docker://HOST/REPOSITORY:TAG. What is read is kept beside it as a trace that refers to it; mount and run fetch
that ahead. A command that fails leaves no trace.

Examples:
  stk optimize docker://registry.example/app:1.0
  stk optimize --name import docker://registry.example/python:3 -- python3 -c 'import json'`,
    )
    .action(
      act(async (session, ref: string, command: readonly string[], flags: OptimizeFlags) => {
        const { runOptimize } = await import('./optimize.ts');
        return runOptimize(session, ref, command, flags);
      }),
    );
}
