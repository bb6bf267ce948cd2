import type { Command } from 'commander';
import type { Act } from '../../act.ts';
import { tlsVerify } from '../images/image-flags.ts';
import type { OutdatedFlags } from './outdated.ts';

/** The commands about many images: outdated. */
export function addFleetCommands(program: Command, act: Act): void {
  program
    .command('outdated [images...]')
    .description('show which bases and applied layers of images are behind')
    .option('--fleet <file>', 'the images of a fleet file')
    .option('--packages', 'also which packages differ, read in place from the layers')
    .option('--all', 'show parts that are current as well')
    .option('--no-versions', 'do not look for newer versions among the tags of bases and applied images')
    .option('--exit-code', 'end with status 13 where an image is behind')
    .option('--json', 'print JSON')
    .addOption(tlsVerify())
    .addHelpText(
      'after',
      `
IMAGES are tags of the layout, oci:DIR[:TAG] or docker://HOST/REPOSITORY[:TAG]; without a tag all of the place, without
any the default layout. A part is behind where its reference stands for something else than what the image holds. Newer
versions are tags of the same form: 1.4-slim for 1.2-slim. Manifests alone are read, and remembered by digest: later a
registry is asked once for each tag.

Examples:
  stk outdated
  stk outdated docker://registry.example/team/app:1 --packages
  stk outdated --fleet fleet.yaml --exit-code --json`,
    )
    .action(
      act(async (session, images: string[], flags: OutdatedFlags) => {
        const { runOutdated } = await import('./outdated.ts');
        return runOutdated(session, images, flags);
      }),
    );
}
