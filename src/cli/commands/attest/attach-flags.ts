import { InvalidArgumentError, Option, type Command } from 'commander';

/** Flags of commands that make images and may keep documents beside them. */
export interface AttachFlags {
  /** Format of a bill of materials. */
  readonly sbom?: 'cyclonedx' | 'spdx';
  readonly provenance?: boolean;
  readonly builderId?: string;
  /** Signs statements as well as images. */
  readonly signKey?: string;
}

/** Adds `--sbom`, `--provenance` and `--builder-id`. */
export function attachOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--sbom [format]', 'keep a bill of materials beside each image: cyclonedx (default) or spdx')
        .preset('cyclonedx')
        .argParser(value => {
          if (value === 'cyclonedx' || value === 'spdx') return value;
          throw new InvalidArgumentError('cyclonedx or spdx');
        }),
    )
    .option('--provenance', 'keep how it was made beside each image, as a statement of SLSA; signed with --sign-key')
    .option('--builder-id <uri>', 'who the provenance says has built (default: urn:stk:local)');
}

/** Whether anything is to be kept. */
export function wantsDocuments({ sbom, provenance }: AttachFlags): boolean {
  return sbom !== undefined || provenance === true;
}
