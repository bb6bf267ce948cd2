import type { AbsPath } from '../core/paths.ts';
import type { RegistryHost, RepositoryName } from './reference.ts';

/** A repository of a registry. */
export interface RegistryPlace {
  readonly kind: 'docker';
  readonly host: RegistryHost;
  readonly repository: RepositoryName;
}

/** A layout directory. */
export interface LayoutPlace {
  readonly kind: 'oci';
  readonly directory: AbsPath;
}

/** A file that images were saved to. */
export interface ArchivePlace {
  readonly kind: 'archive';
  readonly file: AbsPath;
}

/** Where a store keeps its images; `kind` says what it is, and how names of its images begin. */
export type StorePlace = RegistryPlace | LayoutPlace | ArchivePlace | { readonly kind: 'memory' };

/** Whether blobs can go from one place to the other without passing through here: both are of one registry. */
export function isSameRegistry(one: StorePlace, other: StorePlace): boolean {
  return one.kind === 'docker' && other.kind === 'docker' && one.host === other.host;
}
