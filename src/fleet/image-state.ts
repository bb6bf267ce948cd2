import { isDigest, type Digest } from '../core/digest.ts';
import type { Manifest, Platform } from '../oci/descriptor.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import { APPLY_LIST, parseAppliedEntries } from '../oci/layer-annotations.ts';
import { isManifestType } from '../oci/media-types.ts';
import { matchPlatform } from '../oci/platform.ts';
import { isImage } from '../oci/resolve-image.ts';
import { namedBase } from '../sources/bases.ts';
import type { DocumentMemory, KnownDocument } from './document-memory.ts';
import type { PartNow, PartsNow } from './parts-now.ts';

/** A base or an applied image as an image holds it, and as it is now. */
export interface PartState {
  readonly kind: 'base' | 'apply';
  /** The entry's name; of a base what annotations call it. */
  readonly name: string;
  /** Where it is looked for, as an image name; `undefined`: nobody knows. */
  readonly ref: string | undefined;
  /** Of the manifest that the image holds. */
  readonly held: Digest | undefined;
  /** What the reference stands for now; of an index, the index. */
  readonly now: Digest | undefined;
  /**
   * `behind`: the reference stands for something else now. `gone`: for nothing. `unknown`: nothing says where it is, or which it
   * was.
   */
  readonly state: 'current' | 'behind' | 'gone' | 'unknown';
  /** Tags of the same form beside the reference's that are newer versions, the newest first. */
  readonly newer: readonly string[];
}

/** One image of a fleet, and what of it is behind. */
export interface ImageState {
  /** With its platform where it is one of an index. */
  readonly name: string;
  readonly store: BlobStore;
  readonly tag: string;
  readonly digest: Digest;
  /** Of an index alone. */
  readonly platform: Platform | undefined;
  readonly manifest: Manifest;
  readonly parts: readonly PartState[];
}

export interface StatePorts {
  readonly memory: DocumentMemory;
  readonly parts: PartsNow;
  readonly signal: AbortSignal;
}

/** What an image says that it is made of. */
interface SaidPart {
  readonly kind: PartState['kind'];
  readonly name: string;
  readonly held: Digest | undefined;
  readonly now: PartNow;
}

/**
 * The images that a document of a tag is or names, with the state of all their parts. Reads manifests alone. Nothing for what is
 * no image.
 * @param platforms of an index; none: all
 */
export async function imageStates(
  { store, tag, name }: { readonly store: BlobStore; readonly tag: string; readonly name: string },
  { descriptor: { digest }, parsed }: KnownDocument,
  platforms: readonly Platform[],
  ports: StatePorts,
): Promise<readonly ImageState[]> {
  const { memory, signal } = ports;
  if (parsed.kind === 'manifest') {
    if (!isImage(parsed.manifest)) return [];
    const parts = await partStates(store, parsed.manifest, ports);
    return [{ name, store, tag, digest, platform: undefined, manifest: parsed.manifest, parts }];
  }
  const all = parsed.manifest.manifests.filter(
    ({ mediaType, platform }) => isManifestType(mediaType) && platform?.os !== 'unknown',
  );
  const entries = platforms.length === 0 ? all : platforms.flatMap(wanted => matchPlatform(all, wanted).slice(0, 1));
  const states: ImageState[] = [];
  for (const entry of entries) {
    const found = await memory.read(store, entry.digest, `${name} ${entry.digest}`, signal);
    if (found.parsed.kind !== 'manifest' || !isImage(found.parsed.manifest)) continue;
    const { manifest } = found.parsed;
    const parts = await partStates(store, manifest, ports);
    states.push({ name, store, tag, digest: found.descriptor.digest, platform: entry.platform, manifest, parts });
  }
  return states;
}

async function partStates(store: BlobStore, manifest: Manifest, { parts }: StatePorts): Promise<readonly PartState[]> {
  const said: SaidPart[] = [];
  const base = namedBase(manifest.annotations);
  if (base?.name !== undefined) {
    said.push({ kind: 'base', name: base.name, held: base.digest, now: await parts.ofBase(store, base.name) });
  }
  for (const { name, ref, digest } of parseAppliedEntries(manifest.annotations?.[APPLY_LIST] ?? '[]') ?? []) {
    said.push({ kind: 'apply', name, held: digest, now: await parts.ofEntry(store, name, ref) });
  }
  return said.map(stateOf);
}

function stateOf({ kind, name, held, now }: SaidPart): PartState {
  const { ref, digest, accepted, newer } = now;
  const known = { kind, name, ref, held, now: digest, newer };
  if (ref === undefined || !isDigest(held)) return { ...known, state: 'unknown' };
  if (digest === undefined) return { ...known, state: 'gone' };
  return { ...known, state: accepted.has(held) ? 'current' : 'behind' };
}
