import { InvalidArgumentError, Option, type Command } from 'commander';
import { StkError } from '../../../core/errors.ts';
import type { Act } from '../../act.ts';
import type { DiffFlags } from './diff.ts';
import { attachOptions } from '../attest/attach-flags.ts';
import { signatureOptions } from '../signature/require-signature.ts';
import { ANY_IMAGE, platformOption, tlsVerify } from '../images/image-flags.ts';
import type { AdoptFlags } from './adopt.ts';
import type { HoldersFlags } from './holders.ts';
import type { ReportFlags } from '../fleet/report-update.ts';
import type { RollFlags } from '../fleet/roll.ts';
import { collect } from '../../repeatable.ts';

/** As commander gives them. */
type DiffArguments = [before: string, after: string, paths: string[], flags: DiffFlags];

/** The commands that compare images and swap parts of them: diff, update, adopt, holders. */
export function addUpdateCommands(program: Command, act: Act): void {
  addUpdate(program, act);
  addAdopt(program, act);
  addDiff(program, act);
  addHolders(program, act);
}

function addUpdate(program: Command, act: Act): void {
  const command = program
    .command('update [image]')
    .description('swap applied layers or the base of images, without building them again')
    .option('--apply <name[=ref]>', 'entry of `apply` to swap, and where its new version is (repeatable)', collect, [])
    .option('--base [ref]', 'swap the base')
    .option('--rebase', 'put an image that does not know stk on another base')
    .option('--old-base <ref>', 'with --rebase: what it stands on (default: what its annotations name)')
    .option('--new-base <ref>', 'with --rebase: what it is to stand on (default: what that name means now)')
    .option(
      '--replace-layers <old=ref>',
      'put the layers of REF in the place of a layer (digest), or of those of an image (repeatable)',
      collect,
      [],
    )
    .option('--platform <os/arch>', 'which image of an index: OS/ARCH[/VARIANT] (default: all that apply it)')
    .option(
      '--all',
      'every image of the layout, repository or registry that applies it; alone: everything that it applies',
    )
    .option('--tag <tag>', 'tag of the new version (default: the one that the image has)')
    .option('--conflict <glob=how>', 'settle conflicts so: first, last, newer, merge, … (repeatable)', collect, [])
    .option('--renumber-limit <size>', 'most bytes of files to copy for accounts whose ids clash (default: 64M)')
    .addOption(
      new Option('--layer-type <type>', 'what new layers are (default: as those of the image)').choices([
        'squashfs',
        'tar',
      ]),
    )
    .option('--fleet <file>', 'every image of a fleet file that is behind')
    .option('--plan', 'with --fleet: only say which images are behind and would be updated')
    .option('--only <glob>', 'with --fleet: TAG or REPOSITORY:TAG, those that wait included (repeatable)', collect, [])
    .option('--limit <n>', 'with --fleet: most images that are updated; run again for the others', positiveNumber)
    .option('--canary <n>', 'with --fleet: images that --check looks at before the others follow', positiveNumber)
    .option('--check <command>', 'with --fleet: gets the reference of a new version before its tag moves')
    .option('--rollback', 'with --fleet: puts every tag that the last roll moved back')
    .option(
      '--report <file>',
      'swap what carries fixes for what Trivy (json, sarif) or Grype (json, sarif) found (repeatable)',
      collect,
      [],
    )
    .option('--vex <file>', 'with --report: write what is fixed and what stays as OpenVEX')
    .option(
      '--write-back <file>',
      'replace references in a YAML file where a comment says stk: IMAGE (repeatable)',
      collect,
      [],
    )
    .option('-n, --dry-run', 'only say what would change')
    .option('--sign-key <file>', 'sign the new version with this private key before the tag moves')
    .option('--kernel', 'where a program of the image has to run: mount its layers with the kernel, also unknown ones')
    .option('--json', 'print JSON')
    .addOption(tlsVerify());
  attachOptions(command);
  signatureOptions(command, 'what is swapped in').addHelpText(
    'after',
    `
IMAGE is a tag of the layout, oci:DIR:TAG or docker://HOST/REPOSITORY:TAG; of an index each image that applies what is
swapped, or that of --platform, and its tag moves once. With --all it may be oci:DIR,
docker://HOST/REPOSITORY, docker://HOST/PATH/ or docker://HOST. Nothing of the images is run; on a registry nothing that
stays is downloaded.

Examples:
  stk update app --apply ssl
  stk update docker://registry.example/app:1.0 --apply ssl=docker://registry.example/ssl:2 --dry-run
  stk update --all --apply ssl
  stk update app --report trivy.json --vex app.vex.json
  stk update --all --apply ssl --sbom --provenance --sign-key release.key
  stk update --fleet fleet.yaml --canary 2 --check './smoke-test {}' --write-back deploy/app.yaml
  stk update docker://registry.example/app:1.0 --rebase --old-base docker://registry.example/debian:12.1 \
    --new-base docker://registry.example/debian:12.2
  stk update app --replace-layers docker://registry.example/jre:1=docker://registry.example/jre:2`,
  );
  command.action(
    act(async (session, image: string | undefined, flags: ReportFlags) => {
      if (flags.report.length > 0) {
        const { runReportUpdate } = await import('../fleet/report-update.ts');
        return runReportUpdate(session, image, flags);
      }
      if (flags.vex !== undefined) throw new StkError('usage', '--vex tells of what --report found: add --report FILE');
      if (flags.fleet !== undefined) {
        const { runRoll } = await import('../fleet/roll.ts');
        return runRoll(session, image, { ...flags, fleet: flags.fleet });
      }
      assertNoFleetFlags(flags);
      const { runUpdate } = await import('./update.ts');
      return runUpdate(session, image, flags);
    }),
  );
}

function addAdopt(program: Command, act: Act): void {
  program
    .command('adopt <image>')
    .description('write into an image that other builders made what its layers are, so that they can be swapped')
    .option('--apply <[name=]ref>', 'the next layers are those of this image (repeatable, bottom up)', collect, [])
    .option('--base <ref>', 'the lowest layers are those of this image (default: as the applied image says)')
    .option('--platform <os/arch>', 'which image of an index: OS/ARCH[/VARIANT] (default: all of them)')
    .option('--tag <tag>', 'tag of the result (default: the one that the image has)')
    .option('-n, --dry-run', 'only say what would change')
    .option('--sign-key <file>', 'sign the result with this private key before the tag moves')
    .option('--json', 'print JSON')
    .addOption(tlsVerify())
    .addHelpText(
      'after',
      `
IMAGE is a tag of the layout, oci:DIR:TAG or docker://HOST/REPOSITORY:TAG. Layers and configuration stay as they are; only
annotations of the manifest change, and only where the layers are those of the images that are named, in their order and
with nothing between. From then on stk update --apply NAME and --base work on it.

Examples:
  stk adopt docker://registry.example/app:1 --base docker://registry.example/debian:12
  stk adopt app --apply jre=docker://registry.example/jre:17.1 --base docker://registry.example/debian:12`,
    )
    .action(
      act(async (session, image: string, flags: AdoptFlags) => {
        const { runAdopt } = await import('./adopt.ts');
        return runAdopt(session, image, flags);
      }),
    );
}

function addDiff(program: Command, act: Act): void {
  program
    .command('diff <old> <new> [paths...]')
    .description(
      'show which layers, settings and files differ between two images, without mounting or downloading them',
    )
    .addOption(platformOption())
    .option('--stat', 'only layers, settings and counts')
    .option('--exit-code', 'end with status 13 where settings or files differ')
    .option('--json', 'print JSON')
    .addOption(tlsVerify())
    .addHelpText(
      'after',
      `
${ANY_IMAGE}
Lines begin with A (added), D (removed) or M (changed). Times
are not compared, and files of layers that both images have are not read.

Examples:
  stk diff app:1.0 app:1.1
  stk diff docker://registry.example/app:1.0 app /etc /usr/lib --exit-code`,
    )
    .action(
      act(async (session, ...[before, after, paths, flags]: DiffArguments) => {
        const { runDiff } = await import('./diff.ts');
        return runDiff(session, [before, after], paths, flags);
      }),
    );
}

function addHolders(program: Command, act: Act): void {
  program
    .command('holders <layer>')
    .description('list the images that hold a layer, or any layer that an image has above its base')
    .option('--all <place>', 'where to look: oci:DIR, docker://HOST/REPOSITORY, docker://HOST/PATH/ or docker://HOST')
    .addOption(platformOption())
    .option('--json', 'print JSON')
    .addOption(tlsVerify())
    .addHelpText(
      'after',
      `
LAYER is the digest of a layer, or an image. ${ANY_IMAGE}
Without --all, the images of the default layout are looked at. Manifests alone are read.

Examples:
  stk holders ssl
  stk holders sha256:4a3078d60e89... --all docker://registry.example/team/
  stk holders docker://registry.example/ssl:1 --all docker://registry.example --json`,
    )
    .action(
      act(async (session, layer: string, flags: HoldersFlags) => {
        const { runHolders } = await import('./holders.ts');
        return runHolders(session, layer, flags);
      }),
    );
}

function positiveNumber(value: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('a whole number of 1 or more');
}

function assertNoFleetFlags(flags: Omit<RollFlags, 'fleet'>): void {
  const { plan, only, limit, canary, check, rollback, writeBack } = flags;
  if (
    plan ||
    rollback ||
    only.length + writeBack.length > 0 ||
    [limit, canary, check].some(each => each !== undefined)
  ) {
    throw new StkError('usage', 'an option belongs to --fleet, which is not there', { hint: 'add --fleet FILE' });
  }
}
