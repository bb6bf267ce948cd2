import { Option, type Command } from 'commander';
import type { AbsPath } from '../../../core/paths.ts';
import { tlsVerify } from '../images/image-flags.ts';

export interface LazyFlags {
  /** Refuse what would have to be downloaded as a whole. */
  readonly requireLazy?: boolean;
  /** Name of a trace, or `off`. */
  readonly prefetch?: string;
  /** Fetch all of it in the background. */
  readonly complete?: boolean;
  /** Not an option: file that hears what is read. */
  readonly recordTo?: AbsPath;
}

/** The options that images of registries are mounted with: `LazyFlags`. */
export function lazyOptions(command: Command): Command {
  return command
    .addOption(tlsVerify())
    .addOption(new Option('--no-tls-verify', 'same as --tls-verify=false').hideHelp())
    .option('--require-lazy', 'refuse an image of a registry unless all of it is fetched as it is read')
    .option('--prefetch <name>', 'fetch ahead what the trace of this name read, or off (default: the newest trace)')
    .option('--complete', 'fetch the rest of an image of a registry in the background');
}
