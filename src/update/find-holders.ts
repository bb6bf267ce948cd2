import type { Digest } from '../core/digest.ts';
import { APPLY_NAME, LAYER_ROLE } from '../oci/layer-annotations.ts';
import { findTargets, type FailedTarget, type TargetPorts } from './find-targets.ts';

/** An image that has some of the layers that were asked for. */
export interface Holder {
  readonly name: string;
  readonly tag: string;
  /** Of its manifest. */
  readonly digest: Digest;
  /** Those of the wanted layers that it has, bottom up. */
  readonly layers: readonly {
    readonly digest: Digest;
    readonly role: string | undefined;
    readonly appliedAs: string | undefined;
  }[];
}

export interface FoundHolders {
  /** By name. */
  readonly holders: readonly Holder[];
  /** Images that could not be looked at: they may hold it, too. */
  readonly failed: readonly FailedTarget[];
  /** How many images were looked at. */
  readonly images: number;
}

/**
 * The images of a layout, repository or registry, named as for `findTargets` with `all`, that hold any of some layers. Reads
 * manifests alone.
 */
export async function findHolders(
  ports: TargetPorts,
  place: string | undefined,
  wanted: ReadonlySet<Digest>,
  options: { readonly tlsVerify: boolean },
): Promise<FoundHolders> {
  const nothing = { applied: new Map<string, string | undefined>([['', undefined]]), base: 'stay' as const };
  const { passedOver, failed } = await findTargets(ports, place, { ...options, all: true, wanted: nothing });
  const holders = passedOver.map(({ name, tag, descriptor, manifest }): Holder => ({
    name,
    tag,
    digest: descriptor.digest,
    layers: manifest.layers
      .filter(({ digest }) => wanted.has(digest))
      .map(({ digest, annotations }) => ({
        digest,
        role: annotations?.[LAYER_ROLE],
        appliedAs: annotations?.[APPLY_NAME],
      })),
  }));
  const found = holders.filter(({ layers }) => layers.length > 0);
  return {
    holders: found.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)),
    failed,
    images: passedOver.length,
  };
}
