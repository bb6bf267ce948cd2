import { compareApkVersions } from '../apply/apk/apk-version.ts';
import { compareDebianVersions } from '../apply/dpkg/debian-version.ts';
import { compareRpmVersions } from '../apply/rpm/rpm-version.ts';
import type { Digest } from '../core/digest.ts';
import type { FoundPackage } from '../inventory/found-package.ts';
import { APPLY_LIST, parseAppliedEntries } from '../oci/layer-annotations.ts';
import { roleOf } from '../update/update-segments.ts';
import type { ImageState, PartState } from './image-state.ts';
import { compareTags } from './tag-order.ts';
import type { Finding } from './vulnerability-report.ts';

/** What is to be done about a finding. */
export interface Verdict {
  readonly finding: Finding;
  /** The base or applied image whose layer has the package; `undefined`: the image's own layers, or nobody knows. */
  readonly part: PartState | undefined;
  /** Whether the part as it is now is without it. */
  readonly isFixed: boolean;
  /** Why it stays. */
  readonly why: string | undefined;
}

export interface JudgePorts {
  /** Packages of an image as it is; asked where a report does not name layers. */
  readonly packagesOf: (
    image: ImageState,
  ) => Promise<readonly (FoundPackage & { readonly layer: Digest })[] | undefined>;
  /** Packages of a part as it is now; `undefined` where they cannot be read. */
  readonly packagesNow: (image: ImageState, part: PartState) => Promise<readonly FoundPackage[] | undefined>;
}

/**
 * Which parts of an image carry what a report found, and whether their present versions are without it. Of a report about several
 * images, what is in no layer of this one is left out.
 */
export async function judgeFindings(
  image: ImageState,
  findings: readonly Finding[],
  ports: JudgePorts,
): Promise<readonly Verdict[]> {
  const owners = layerOwners(image);
  const verdicts: Verdict[] = [];
  for (const finding of findings) {
    const layer = await layerOf(image, finding, ports);
    if (layer === undefined) continue;
    verdicts.push(await judge(image, finding, owners.get(layer), ports));
  }
  return verdicts;
}

async function layerOf(image: ImageState, finding: Finding, { packagesOf }: JudgePorts): Promise<Digest | undefined> {
  if (finding.layer !== undefined) {
    return image.manifest.layers.find(({ digest }) => digest === finding.layer)?.digest;
  }
  const packages = await packagesOf(image);
  return packages?.find(({ name, version }) => name === finding.package && version === finding.installed)?.layer;
}

async function judge(
  image: ImageState,
  finding: Finding,
  part: PartState | undefined,
  { packagesNow }: JudgePorts,
): Promise<Verdict> {
  const stays = (why: string): Verdict => ({ finding, part, isFixed: false, why });
  if (!part) return stays("it is in the image's own layers: build it again");
  const of = part.kind === 'base' ? 'the base' : part.name;
  if (part.state === 'current') return stays(`${of} is on its newest version`);
  if (part.state !== 'behind') return stays(`nothing says where ${of} is`);
  const packages = await packagesNow(image, part);
  if (!packages) return stays(`the newest version of ${of} cannot be read`);
  const now = packages.filter(({ name }) => name === finding.package);
  if (now.every(found => isWithout(found, finding))) return { finding, part, isFixed: true, why: undefined };
  const versions = now.map(({ version }) => version).join(', ');
  return stays(
    finding.fixed.length === 0 ? 'nobody has fixed it' : `the newest version of ${of} still has ${versions}`,
  );
}

/**
 * Whether a package's version is one that is said to be without a vulnerability, or a later one. Without a version that is said
 * so, none is.
 */
export function isWithout({ type, version }: FoundPackage, { fixed, installed }: Finding): boolean {
  const compare = COMPARE[type] ?? compareTags;
  if (version === installed || fixed.length === 0) return false;
  // Of several branches the one that the version belongs to counts: the highest that is not above it.
  return fixed.some(good => compare(version, good) >= 0 && sameBranch(version, good, fixed.length));
}

/** With one fixed version there are no branches; with several, the first number tells them apart. */
function sameBranch(version: string, good: string, count: number): boolean {
  return count === 1 || version.split('.')[0] === good.split('.')[0];
}

const COMPARE: Partial<Record<FoundPackage['type'], (a: string, b: string) => number>> = {
  deb: compareDebianVersions,
  apk: compareApkVersions,
  rpm: compareRpmVersions,
};

/** Which part each layer of an image belongs to; own layers are left out. */
function layerOwners({ manifest, parts }: ImageState): ReadonlyMap<Digest, PartState> {
  const owners = new Map<Digest, PartState>();
  const base = parts.find(({ kind }) => kind === 'base');
  for (const layer of manifest.layers) if (base && roleOf(layer) === 'base') owners.set(layer.digest, base);
  for (const { name, held } of parseAppliedEntries(manifest.annotations?.[APPLY_LIST] ?? '[]') ?? []) {
    const part = parts.find(each => each.kind === 'apply' && each.name === name);
    for (const digest of held?.own ?? []) if (part && !owners.has(digest)) owners.set(digest, part);
  }
  return owners;
}
