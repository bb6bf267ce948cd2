import type { KeyObject } from 'node:crypto';
import type { ImageOrigin } from '../../../builder/image-origin.ts';
import { findOrigin } from '../../../builder/image-origin.ts';
import { stateDirectories } from '../../../builder/state-directories.ts';
import { StkError } from '../../../core/errors.ts';
import { say, silent, type Emit } from '../../../core/events.ts';
import type { Descriptor } from '../../../oci/descriptor.ts';
import { formatImageName } from '../../../oci/image-name.ts';
import { layerFormat } from '../../../oci/media-types.ts';
import { readImageGraph } from '../../../oci/image-graph.ts';
import { isImage, resolveManifest } from '../../../oci/resolve-image.ts';
import { RecordCache } from '../../../sources/record-cache.ts';
import type { Session } from '../../session.ts';
import { openKey } from '../publish/sign.ts';
import { attachProvenance, attachSbom, attachUpdateProvenance, type AttestedImage } from './attach-documents.ts';
import type { AttachFlags } from './attach-flags.ts';

/** What an image came from, for its provenance. */
export type MadeBy =
  | { readonly kind: 'build'; readonly origin?: ImageOrigin; readonly substitutions?: readonly string[] }
  | { readonly kind: 'update'; readonly rules: readonly (readonly [glob: string, resolution: string])[] };

/** Keeps the documents that flags ask for beside images. */
export interface Attacher {
  attach(root: AttestedRoot, madeBy: MadeBy, emit?: Emit): Promise<void>;
}

export interface AttestedRoot extends Pick<AttestedImage, 'store' | 'from' | 'name'> {
  /** A manifest, or an index: then each of its images has documents of its own. */
  readonly root: Descriptor;
}

/** Reads the key once, asking for its password where it has one, before any work is done. */
export async function openAttacher(session: Session, flags: AttachFlags): Promise<Attacher> {
  const key = flags.signKey === undefined ? undefined : await openKey(session, flags.signKey);
  return {
    async attach(root, madeBy, emit = silent) {
      for (const image of await imagesOf(session, root)) {
        await attachTo(session, image, { flags, key, madeBy, emit });
        say(emit, 'info', `documents are kept beside ${image.descriptor.digest.slice(0, 19)}`);
      }
    },
  };
}

interface Attaching {
  readonly flags: AttachFlags;
  readonly key: KeyObject | undefined;
  readonly madeBy: MadeBy;
  readonly emit: Emit;
}

async function attachTo(session: Session, image: AttestedImage, attaching: Attaching): Promise<void> {
  const { flags, key, madeBy, emit } = attaching;
  const isReadable = image.manifest.layers.every(layer => layerFormat(layer.mediaType).kind === 'squashfs');
  if (flags.sbom !== undefined && isReadable) await attachSbom(session, image, { format: flags.sbom, key });
  else if (flags.sbom !== undefined) {
    say(
      emit,
      'warning',
      `${formatImageName(image.name)} has layers that are not squashfs: no bill of materials is kept`,
    );
  }
  if (flags.provenance !== true) return;
  const options = { key, ...(flags.builderId === undefined ? {} : { builderId: flags.builderId }) };
  if (madeBy.kind === 'update') {
    await attachUpdateProvenance(session, image, { ...options, rules: madeBy.rules });
    return;
  }
  const origin = madeBy.origin ?? (await rememberedOrigin(session, image));
  const { substitutions = [] } = madeBy;
  await attachProvenance(session, image, origin, { ...options, substitutions });
}

async function rememberedOrigin(session: Session, { descriptor, name }: AttestedImage): Promise<ImageOrigin> {
  const records = new RecordCache(stateDirectories(session.global.stkDir).records);
  const origin = await findOrigin(records, descriptor.digest);
  if (origin) return origin;
  throw new StkError('not-found', `nothing here tells how ${formatImageName(name)} was built`, {
    hint: 'build it here with stk build --provenance, and carry that along with stk publish --referrers',
    facts: { digest: descriptor.digest },
  });
}

/** The image, or those of an index that are images. */
async function imagesOf(session: Session, { root, ...place }: AttestedRoot): Promise<readonly AttestedImage[]> {
  const { store } = place;
  const call = { signal: session.signal };
  const { documents } = await readImageGraph(store, root.digest, call);
  const images: AttestedImage[] = [];
  for (const { descriptor, parsed } of documents) {
    if (parsed.kind !== 'manifest' || !isImage(parsed.manifest)) continue;
    const resolved = await resolveManifest(store, { descriptor, manifest: parsed.manifest }, store.name, call);
    images.push({ ...resolved, ...place });
  }
  return images;
}
