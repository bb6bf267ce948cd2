import { InvalidArgumentError, Option, type Command } from 'commander';
import { CACHE_KINDS } from '../../../caches/cache-limits.ts';
import type { Act } from '../../act.ts';
import type { CacheFlags, PruneFlags } from './cache.ts';

const KINDS = `
KIND is one of ${CACHE_KINDS.join(', ')}.`;

const kindOption = () =>
  new Option('--kind <kind>', 'this cache alone; may be repeated')
    .argParser((kind: string, before: readonly string[]) => {
      if (!CACHE_KINDS.includes(kind)) throw new InvalidArgumentError(`It is one of ${CACHE_KINDS.join(', ')}.`);
      return [...before, kind];
    })
    .default([], 'all');

/** The commands about what stk may forget. */
export function addCacheCommands(program: Command, act: Act): void {
  const cache = program
    .command('cache')
    .description('look at, prune and check what is kept to save work')
    .addHelpText('after', '\nExamples:\n  stk cache ls\n  stk cache prune --older-than 7d\n  stk cache verify');
  cache
    .command('ls')
    .description('list the caches with what they take and may take, or with --entries what is in them')
    .addOption(kindOption())
    .option('--entries', 'every entry, what was not used for longest first')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `${KINDS}\n\nExamples:\n  stk cache ls\n  stk cache ls --kind converted --entries\n  stk cache ls --json | jq '.caches[].sizeBytes'`,
    )
    .action(
      act(async (session, flags: CacheFlags) => {
        const { runCacheLs } = await import('./cache.ts');
        return runCacheLs(session, flags);
      }),
    );
  cache
    .command('prune')
    .description('remove what is too old or too much, what was not used for longest first')
    .addOption(kindOption())
    .option('--older-than <time>', 'what was not used for so long, such as 12h or 7d')
    .option('--max-size <size>', 'keep so much of all that is chosen, such as 5GB')
    .option('-a, --all', 'everything')
    .option('-n, --dry-run', 'only say what would go')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `${KINDS}
Without a time, a size or --all, the limits of the configuration file hold for each cache. Nothing is removed that a running
command or a mount needs. What is gone is made again when it is needed; blobs of images in a layout are removed by stk gc.

Examples:
  stk cache prune -n
  stk cache prune --older-than 7d
  stk cache prune --kind converted --kind http --max-size 2GB
  stk cache prune --all`,
    )
    .action(
      act(async (session, flags: PruneFlags) => {
        const { runCachePrune } = await import('./cache.ts');
        return runCachePrune(session, flags);
      }),
    );
  cache
    .command('verify')
    .description('compare what is kept with its digests, and remove what is damaged')
    .addOption(kindOption())
    .option('-n, --dry-run', 'remove nothing')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `${KINDS}\n\nExit status: 0 if nothing is damaged, 7 otherwise, also where it was removed.\n\nExamples:\n  stk cache verify\n  stk cache verify --kind http -n`,
    )
    .action(
      act(async (session, flags: CacheFlags & { readonly dryRun?: boolean }) => {
        const { runCacheVerify } = await import('./cache.ts');
        return runCacheVerify(session, flags);
      }),
    );
}
