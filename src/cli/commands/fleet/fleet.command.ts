import type { Command } from 'commander';
import type { Act } from '../../act.ts';
import { collect } from '../../repeatable.ts';
import { tlsVerify } from '../images/image-flags.ts';
import type { OutdatedFlags } from './outdated.ts';
import type { ReportPageFlags } from './report.ts';

/** The commands about many images: outdated, report. */
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
  program
    .command('report [images...]')
    .description('write one page of HTML about images, the layers that they share and what is behind')
    .option('-o, --output <file>', 'where the page goes (default: standard output)')
    .option('--fleet <file>', 'the images of a fleet file')
    .option('--report <file>', 'vulnerabilities that Trivy or Grype found (repeatable)', collect, [])
    .option('--title <text>', 'heading of the page')
    .option('--json', 'the data of the page as JSON')
    .addOption(tlsVerify())
    .addHelpText(
      'after',
      `
IMAGES are as for stk outdated. The page needs nothing from elsewhere: images with their sizes and what sharing saves,
their parts and what an update of each would move, shared layers as a matrix; sorted by a click, searched, printed.

Examples:
  stk report -o report.html
  stk report --fleet fleet.yaml --report trivy.json -o report.html`,
    )
    .action(
      act(async (session, images: string[], flags: ReportPageFlags) => {
        const { runReportPage } = await import('./report.ts');
        return runReportPage(session, images, flags);
      }),
    );
}
