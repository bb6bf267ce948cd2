import { Option, type Command } from 'commander';
import type { Act } from '../../act.ts';
import type { ConvertFlags } from './convert.ts';
import type { LoginFlags } from './login.ts';
import type { PublishFlags } from './publish.ts';
import { attachOptions } from '../attest/attach-flags.ts';
import { signatureOptions } from '../signature/require-signature.ts';
import type { SignFlags } from './sign.ts';
import { ANY_IMAGE, platformOption, tlsVerify } from '../images/image-flags.ts';
import { collect } from '../../repeatable.ts';

/** The commands that move images between stores: publish, convert, sign, login, logout. */
export function addPublishCommands(program: Command, act: Act): void {
  addPublish(program, act);
  addConvert(program, act);
  addSign(program, act);
  addLogin(program, act);
}

function addPublish(program: Command, act: Act): void {
  attachOptions(signatureOptions(program.command('publish [args...]'), 'what is published'))
    .usage('[options] DEST | SRC DEST')
    .description('copy built images, or any image, to a registry or a layout')
    .option('-f, --stacker-file <file>', 'the recipe: a path or an http(s) URL', 'stacker.yaml')
    .option('-d, --search-dir <dir>', 'publish the images of every recipe below')
    .option('-p, --stacker-file-pattern <regex>', 'names of recipes', '/stacker\\.yaml$')
    .option('--substitute <NAME=VALUE>', 'value for ${{NAME}} (repeatable)', collect, [])
    .option('--substitute-file <file>', 'YAML map of such values (repeatable)', collect, [])
    .option('--image <name>', 'only this image of the recipe (repeatable)', collect, [])
    .option('--tag <tag>', 'tag in the destination (repeatable)', collect, [])
    .option('--layer-type <type>', 'which of the built images: squashfs or tar (repeatable)', collectOnce, [])
    .option('--platform <list>', 'as for the build (repeatable)', collect, [])
    .option('--compression <how>', 'as for the build')
    .option('--no-verity', 'as for the build')
    .option('--no-stable-ids', 'as for the build')
    .option('--annotations-namespace <prefix>', 'as for the build', 'io.stackeroci')
    .option('--force', 'publish what is there, even if the recipe has changed since')
    .option('--show-only', 'print what would be published and stop')
    .option('--referrers', 'copy signatures and whatever else refers to the image, too')
    .option('--sign-key <file>', 'sign with this private key before the tag moves')
    .option('-u, --username <name>', 'who to be at the registry, this once')
    .option('--password-stdin', 'read the password from standard input; otherwise it is $STK_PASSWORD, or asked for')
    .addOption(new Option('--password <password>', 'which others can read: see --password-stdin').hideHelp())
    .addOption(tlsVerify())
    .addOption(new Option('--url <dest>', 'same as DEST').hideHelp())
    .addOption(new Option('--skip-tls', 'same as --tls-verify=false').hideHelp())
    .addHelpText(
      'after',
      `
DEST is docker://HOST[/PATH] or oci:DIR for the images of a recipe, docker://HOST/REPOSITORY[:TAG] or oci:DIR[:TAG] for
one image, TAG too. SRC is one image, or oci:DIR for all of a layout. ${ANY_IMAGE}

Examples:
  stk publish docker://registry.example/team --tag 1.0
                                       each image as registry.example/team/NAME:1.0
  stk publish app docker://registry.example/app:1.0
  stk publish docker://a.example/app:1.0 docker://b.example/app:1.0 --referrers
  stk publish app docker://registry.example/app:1.0 --sbom spdx --provenance --sign-key release.key`,
    )
    .action(
      act(async (session, args: string[], flags: PublishFlags) => {
        const { runPublish } = await import('./publish.ts');
        return runPublish(session, args, flags);
      }),
    );
}

function addConvert(program: Command, act: Act): void {
  signatureOptions(program.command('convert <source> <destination>'), 'SRC')
    .description('turn an image into one with squashfs layers, or back into one with tar layers')
    .addOption(
      new Option('--layer-type <type>', 'kind of layers to make').choices(['squashfs', 'tar']).default('squashfs'),
    )
    .option('--compression <how>', 'of squashfs: zstd[:LEVEL], gzip, xz or lz4, with ,block=SIZE')
    .option('--no-verity', 'append no dm-verity tree to layers')
    .addOption(platformOption())
    .option('--all', 'every image of an index, as an index')
    .addOption(tlsVerify())
    .addHelpText(
      'after',
      `
${ANY_IMAGE}
<destination> is TAG, oci:DIR[:TAG] or docker://HOST/REPOSITORY[:TAG].

Examples:
  stk convert docker://docker.io/library/debian:12 oci:oci:debian
  stk convert saved.tar oci:oci:app
  stk convert oci:oci:app docker://registry.example/app:tar --layer-type tar`,
    )
    .action(
      act(async (session, source: string, destination: string, flags: ConvertFlags) => {
        const { runConvert } = await import('./convert.ts');
        return runConvert(session, source, destination, flags);
      }),
    );
}

function addSign(program: Command, act: Act): void {
  program
    .command('sign <ref>')
    .description('sign an image with a private key; the signature is kept beside it')
    .requiredOption('--key <file>', 'private key, PEM (ECDSA P-256; PKCS #8, or encrypted as cosign does)')
    .option('--identity <name>', 'what the signature says the image is called (default: where it lies)')
    .option('--recursive', 'sign every image of an index, too')
    .addOption(tlsVerify())
    .addHelpText(
      'after',
      `
${ANY_IMAGE}
An archive is read only: what it holds is signed where it is copied to.
The password of an encrypted key comes from STK_KEY_PASSWORD or COSIGN_PASSWORD, or is asked for.

Examples:
  stk sign docker://registry.example/app:1.0 --key release.key
  stk sign app --key release.key --identity registry.example/app`,
    )
    .action(
      act(async (session, ref: string, flags: SignFlags) => {
        const { runSign } = await import('./sign.ts');
        return runSign(session, ref, flags);
      }),
    );
}

function addLogin(program: Command, act: Act): void {
  program
    .command('login <host>')
    .description('check a user name and password with a registry and remember them')
    .option('-u, --username <name>', 'who to be; asked for where it is not given')
    .option('--password-stdin', 'read the password from standard input')
    .addOption(tlsVerify())
    .addHelpText(
      'after',
      '\nExamples:\n  stk login registry.example\n  stk login registry.example -u ci --password-stdin < token',
    )
    .action(
      act(async (session, host: string, flags: LoginFlags) => {
        const { runLogin } = await import('./login.ts');
        return runLogin(session, host, flags);
      }),
    );
  program
    .command('logout <host>')
    .description('forget the password for a registry')
    .addHelpText('after', '\nExamples:\n  stk logout registry.example')
    .action(
      act(async (session, host: string) => {
        const { runLogout } = await import('./login.ts');
        return runLogout(session, host);
      }),
    );
}

function collectOnce(value: string, before: readonly string[]): string[] {
  return before.includes(value) ? [...before] : [...before, value];
}
