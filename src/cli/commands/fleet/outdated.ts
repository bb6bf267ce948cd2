import { AsyncScope } from '../../../core/async-scope.ts';
import type { ImageState, PartState } from '../../../fleet/image-state.ts';
import type { PackageChange } from '../../../fleet/package-changes.ts';
import { PartChanges } from '../../../fleet/part-changes.ts';
import { isBehind, throwFailedPlaces } from '../../../fleet/survey.ts';
import { parseImageName } from '../../../oci/image-name.ts';
import { formatPlatform, hostPlatform } from '../../../oci/platform.ts';
import { EXIT } from '../../exit-status.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { printableLine } from '../../ui/printable-line.ts';
import { formatTable, type Column } from '../../ui/table.ts';
import { partCache } from '../sbom/part-cache.ts';
import type { ImageFlags } from '../images/image-flags.ts';
import { surveyImages } from './survey-images.ts';

export interface OutdatedFlags extends ImageFlags {
  readonly fleet?: string;
  readonly packages?: boolean;
  readonly all?: boolean;
  readonly versions?: boolean;
  readonly exitCode?: boolean;
  readonly json?: boolean;
}

const COLUMNS: readonly Column[] = [
  { heading: 'IMAGE' },
  { heading: 'PART' },
  { heading: 'HELD' },
  { heading: 'NOW' },
  { heading: 'STATE' },
];

/** Packages that are shown of one part; `--json` has all. */
const MOST_PACKAGES = 10;

/** A part with the packages that differ, where they were asked for and could be told. */
interface ToldPart extends PartState {
  readonly packages: readonly PackageChange[] | undefined;
}

interface ToldImage {
  readonly image: ImageState;
  readonly parts: readonly ToldPart[];
}

/** `stk outdated [REF…]`: which bases and applied layers of images are behind. Status 13 where any is, with `--exit-code`. */
export async function runOutdated(session: Session, refs: readonly string[], flags: OutdatedFlags): Promise<number> {
  await using scope = new AsyncScope();
  const { stores, signal, stdout } = session;
  const countVersions = flags.versions !== false;
  const wish = { refs, fleet: flags.fleet, tlsVerify: flags.tlsVerify, countVersions };
  const { images, failed, tlsVerify } = await surveyImages(session, wish, scope);
  const changes = new PartChanges({
    openStore: async ref => (await stores.open(parseImageName(ref), { tlsVerify }, scope)).store,
    cache: await partCache(session),
    hostPlatform: hostPlatform(),
    signal,
  });
  const told: ToldImage[] = [];
  for (const image of images) {
    const parts: ToldPart[] = [];
    for (const part of image.parts) {
      const wanted = flags.packages && part.state === 'behind';
      parts.push({ ...part, packages: wanted ? await changes.of(image, part) : undefined });
    }
    told.push({ image, parts });
  }
  const behind = images.filter(isBehind).length;
  if (flags.json) stdout.write(`${jsonText(told.map(imageJson), 2)}\n`);
  else writeTable(stdout, told, flags.all === true);
  throwFailedPlaces(failed);
  return flags.exitCode && behind > 0 ? EXIT.differs : EXIT.ok;
}

function writeTable(stdout: NodeJS.WriteStream, told: readonly ToldImage[], all: boolean): void {
  const rows = told.flatMap(each => partRows(each, all));
  const width = stdout.isTTY ? stdout.columns : undefined;
  const lines = rows.length === 0 ? [] : formatTable(COLUMNS, rows, width);
  const behind = told.filter(({ image }) => isBehind(image)).length;
  const unknown = told.filter(({ parts }) => parts.some(({ state }) => state === 'gone' || state === 'unknown')).length;
  const lost = unknown === 0 ? '' : `; of ${unknown} a part cannot be told`;
  const summary = `${behind} of ${told.length} images are behind${lost}`;
  stdout.write(`${[...lines, summary].map(printableLine).join('\n')}\n`);
}

function partRows({ image, parts }: ToldImage, all: boolean): string[][] {
  const { name, platform } = image;
  const shownName = platform ? `${name} (${formatPlatform(platform)})` : name;
  const short = (digest: string | undefined) => digest?.slice(7, 19) ?? '-';
  return parts
    .filter(({ state }) => all || state !== 'current')
    .flatMap(part => {
      const row = [shownName, `${part.kind} ${part.name}`, short(part.held), short(part.now), stateText(part)];
      const packages = (part.packages ?? []).map(packageText);
      const more = packages.length - MOST_PACKAGES;
      const shown = [...packages.slice(0, MOST_PACKAGES), ...(more > 0 ? [`and ${more} more`] : [])];
      return [row, ...shown.map(text => ['', `  ${text}`, '', '', ''])];
    });
}

function stateText({ state, newer }: PartState): string {
  const [highest] = newer;
  if (highest === undefined) return state;
  return `${state}, ${newer.length} newer ${newer.length === 1 ? 'version' : 'versions'}: ${highest}`;
}

function packageText({ name, before, after }: PackageChange): string {
  return `${name} ${before?.version ?? '(none)'} -> ${after?.version ?? '(none)'}`;
}

function imageJson({ image, parts }: ToldImage): object {
  const { name, tag, digest, platform } = image;
  return {
    image: name,
    tag,
    digest,
    ...(platform && { platform: formatPlatform(platform) }),
    behind: isBehind(image),
    parts: parts.map(({ packages, ...part }) => ({
      ...part,
      ...(packages && {
        packages: packages.map(({ name: of, before, after }) => ({
          name: of,
          type: (after ?? before)!.type,
          before: before?.version,
          after: after?.version,
        })),
      }),
    })),
  };
}
