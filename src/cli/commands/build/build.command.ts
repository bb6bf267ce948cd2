import { Option, type Command } from 'commander';
import type { Act } from '../../act.ts';
import type { ChrootFlags } from './chroot.ts';
import type { BuildFlags } from './build-flags.ts';
import { attachOptions } from '../attest/attach-flags.ts';
import { signatureOptions } from '../signature/require-signature.ts';
import { collect } from '../../repeatable.ts';

/** The commands that read recipes: build, recursive-build, lint. */
export function addBuildCommands(program: Command, act: Act): void {
  buildFlags(program.command('build [names...]'))
    .description('build the images of a recipe into the OCI layout')
    .option('-f, --stacker-file <file>', 'the recipe: a path, an http(s) URL, or - for stdin', 'stacker.yaml')
    .addHelpText(
      'after',
      `
Examples:
  stk build                                    build every image of ./stacker.yaml
  stk build app                                build app and what it needs
  stk build -f web.yaml --substitute VERSION=2 build another recipe, with a value for \${{VERSION}}
  stk build --layer-type squashfs --layer-type tar
                                               tag app (squashfs) and app-tar (tar+gzip)
  stk build --secret id=token,src=./token      give a secret that no layer will hold
  stk build --platform linux/amd64,linux/arm64 an index of both; foreign steps run in an emulator
  stk build --sbom --provenance --sign-key k   keep what is in it and how it was built beside it, signed
  SOURCE_DATE_EPOCH=0 stk build                byte-identical output for identical input`,
    )
    .action(
      act(async (session, names: string[], flags: BuildFlags & { readonly stackerFile: string }) => {
        const { runBuild } = await import('./build.ts');
        return runBuild(session, [flags.stackerFile], names, flags);
      }),
    );
  buildFlags(program.command('recursive-build'))
    .description('build every recipe below a directory, in dependency order')
    .option('-d, --search-dir <dir>', 'where to look', '.')
    .option('-p, --stacker-file-pattern <regex>', 'names of recipes', '/stacker\\.yaml$')
    .addHelpText('after', '\nExamples:\n  stk recursive-build -d images')
    .action(
      act(async (session, flags: BuildFlags & { readonly searchDir: string; readonly stackerFilePattern: string }) => {
        const { findBuildFiles, runBuild } = await import('./build.ts');
        return runBuild(session, await findBuildFiles(session, flags), [], flags);
      }),
    );
  program
    .command('chroot [name] [command...]')
    .alias('exec')
    .description('look around in an image of a recipe, with what its steps have')
    .option('-f, --stacker-file <file>', 'the recipe: a path, an http(s) URL, or - for stdin', 'stacker.yaml')
    .option('--substitute <NAME=VALUE>', 'value for ${{NAME}} (repeatable)', collect, [])
    .option('--substitute-file <file>', 'YAML map of such values (repeatable)', collect, [])
    .option('--secret <spec>', 'id=NAME,src=FILE or id=NAME,env=VARIABLE (repeatable)', collect, [])
    .addHelpText(
      'after',
      `
Opens a shell, or runs COMMAND, on top of an image, build_only ones included, with its imports, binds and build
environment; NAME is the first image of the recipe by default. One word is a line for the shell. The image is built if it
has to be. What is written to it is thrown away, what is written to binds is not. The exit status is the command's.

Examples:
  stk chroot                           a shell in the first image
  stk chroot builder 'make -n install'
  echo 'ls /stacker/imports' | stk chroot builder`,
    )
    .action(
      act(async (session, name: string | undefined, command: string[], flags: ChrootFlags) => {
        const { runChroot } = await import('./chroot.ts');
        return runChroot(session, name, command, flags);
      }),
    );
  program
    .command('lint [files...]')
    .description('check recipes without building anything')
    .option('-f, --stacker-file <file>', 'a recipe, like one that is named as argument (repeatable)', collect, [])
    .option('--substitute <NAME=VALUE>', 'value for ${{NAME}}', collect, [])
    .option('--substitute-file <file>', 'YAML map of such values', collect, [])
    .option('--json', 'print problems as JSON')
    .addHelpText('after', '\nExamples:\n  stk lint\n  stk lint -f web.yaml\n  stk lint images/*/stacker.yaml')
    .action(
      act(
        async (
          session,
          files: string[],
          flags: Pick<BuildFlags, 'substitute' | 'substituteFile'> & {
            readonly json?: boolean;
            readonly stackerFile: readonly string[];
          },
        ) => {
          const { runLint } = await import('./lint.ts');
          const named = [...flags.stackerFile, ...files];
          return runLint(session, named.length === 0 ? ['stacker.yaml'] : named, flags);
        },
      ),
    );
}

function buildFlags(command: Command): Command {
  return attachOptions(signatureOptions(command, 'bases and applied images'))
    .option('--no-cache', 'do every step again')
    .option('--substitute <NAME=VALUE>', 'value for ${{NAME}} (repeatable)', collect, [])
    .option('--substitute-file <file>', 'YAML map of such values (repeatable)', collect, [])
    .addOption(
      new Option('--layer-type <type>', 'squashfs or tar (repeatable; the first is tagged NAME, others NAME-TYPE)')
        .argParser(layerType)
        .default([]),
    )
    .option('--compression <how>', 'zstd[:LEVEL], gzip, xz or lz4, with ,block=SIZE')
    .option('--no-verity', 'append no dm-verity tree to layers')
    .addOption(new Option('--no-squashfs-verity', 'same as --no-verity').hideHelp())
    .option('--platform <list>', 'build for these, such as linux/amd64,linux/arm64 (repeatable)', collect, [])
    .option('--require-hash', 'refuse http imports without a hash')
    .option('--order-only', 'print the build order and stop')
    .option('--on-run-failure <command>', 'run a command in the root of a failed step')
    .option('--shell-fail', 'open a shell in the root of a failed step')
    .option('-j, --jobs <n>', 'images to build side by side', '2')
    .option('--secret <spec>', 'id=NAME,src=FILE or id=NAME,env=VARIABLE (repeatable)', collect, [])
    .option('--metadata-file <file>', 'write tags, digests and layers of the result as JSON')
    .option(
      '--cache-from <store>',
      'look finished steps up there, too: docker://HOST/REPOSITORY or oci:DIR',
      collect,
      [],
    )
    .option('--cache-to <store>', 'store finished steps there', collect, [])
    .option('--no-stable-ids', 'leave accounts that steps make the ids that the tools gave them')
    .option('--renumber-limit <size>', 'most bytes of files to copy for accounts whose ids clash (default: 64M)')
    .option('--sign-key <file>', 'sign the images with this private key')
    .option('--kernel', 'mount all layers with the kernel, also of unknown bases (root)')
    .option('--annotations-namespace <prefix>', 'prefix of the recipe annotations', 'io.stackeroci');
}

function layerType(value: string, before: unknown): string[] {
  const types = Array.isArray(before) ? (before as string[]) : [];
  return types.includes(value) ? types : [...types, value];
}
