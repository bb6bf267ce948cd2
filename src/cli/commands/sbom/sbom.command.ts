import { Option, type Command } from 'commander';
import type { Act } from '../../act.ts';
import { ANY_IMAGE, platformOption, tlsVerify } from '../images/image-flags.ts';
import type { SbomFlags } from './sbom.ts';

/** What is in an image: `sbom`. */
export function addSbomCommands(program: Command, act: Act): void {
  program
    .command('sbom <ref>')
    .description('tell which packages are in an image, as a bill of materials, without mounting it')
    .addOption(
      new Option('--format <format>', 'of the document').choices(['cyclonedx', 'spdx', 'list']).default('cyclonedx'),
    )
    .option('--layer <layer>', 'one layer only: its number from the bottom, 1 the lowest, or its digest')
    .option('--unowned', 'paths of all that belongs to no package, instead')
    .addOption(platformOption())
    .option('--json', 'with --unowned and --format list: one JSON object per line')
    .addOption(tlsVerify())
    .addHelpText(
      'after',
      `
${ANY_IMAGE}
Of a registry only what is needed is read. What was read of a layer is remembered below ~/.cache/stk.

Examples:
  stk sbom app                           CycloneDX 1.6 in JSON
  stk sbom app --format spdx             SPDX 2.3 in JSON
  stk sbom app --format list             a line for each package
  stk sbom app --layer 2 --format list   what the second layer from the bottom brings
  stk sbom app --unowned                 files that no package brought
  stk sbom docker://registry.example/app:1.0 > app.cdx.json`,
    )
    .action(
      act(async (session, ref: string, flags: SbomFlags) => {
        const { runSbom } = await import('./sbom.ts');
        return runSbom(session, ref, flags);
      }),
    );
}
