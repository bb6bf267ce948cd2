import type { LayerDirectory, Place } from './layer-node.ts';

/**
 * Takes away what was copied up for a hard link and deleted by a later mark of the layer, as unpackers do: a mark spares
 * what the layer itself has brought, and the other name of a link is that. The whiteout or the opaque mark stays.
 *
 * @param copies in the order in which they were made
 */
export function dropDeletedCopies(copies: readonly Place[]): void {
  for (const [number, place] of copies.entries()) {
    const { directory, name } = place;
    // An entry of the layer may have come in its place.
    if (directory.copies?.get(name) !== number || !isDeleted(place, number)) continue;
    directory.children.delete(name);
    dropEmpty(directory);
  }
}

function isDeleted({ directory, name }: Place, number: number): boolean {
  let below = name;
  for (let at: LayerDirectory | undefined = directory; at; at = at.parent) {
    if ((at.whiteouts?.get(below) ?? 0) > number || (at.opaque && at.opaqueAfter > number)) return true;
    below = at.name;
  }
  return false;
}

/** Directories that were only there for the copy. */
function dropEmpty(directory: LayerDirectory): void {
  for (let at = directory; at.parent && at.origin === 'lower' && !at.opaque && !at.whiteouts; at = at.parent) {
    if (at.children.size > 0 || at.parent.children.get(at.name) !== at) return;
    at.parent.children.delete(at.name);
  }
}
