import type { JsonValue } from '../core/canonical-json.ts';
import type { FileSource, ImageDefinition, Import } from './model.ts';

/**
 * Everything in a definition that decides what its steps produce, in a normal form: no names, spans, comments or
 * spellings, no expected hashes, and no paths of the host, so that two checkouts agree.
 *
 * What the definition only points to is left out and must be added as digests by whoever makes a key of it: the base and
 * the applied images, the bytes of imports and overlay directories, the bytes of binds with `cache: hash`, and the values
 * of the variables that pass through. Values of secrets never belong in a key.
 */
export function definitionKey(image: ImageDefinition): JsonValue {
  const { network, stableIds, os, arch, run, generateLabels, buildEnvPassthrough } = image;
  return {
    from: image.from.type,
    apply: image.apply.map(({ conflicts, anyBase }) => ({
      conflicts: conflicts.map(({ glob, resolution }) => [glob, resolution]),
      anyBase,
    })),
    overlayDirs: image.overlayDirs.map(({ dest }) => dest),
    imports: image.imports.map(importKey),
    binds: image.binds.map(({ source, dest, cache }) => (cache === 'hash' ? { dest } : { dest, source })),
    run,
    generateLabels,
    buildEnv: image.buildEnv,
    buildEnvPassthrough,
    secrets: image.secrets.map(({ id, dest, env }) => ({ id, dest, env })),
    cacheDirs: image.cacheDirs.map(({ path, id, sharing }) => ({ path, id, sharing })),
    network,
    stableIds,
    os,
    arch,
  };
}

/** What turns the layers into an image: its configuration and annotations, which no step's result depends on. */
export function settingsKey(image: ImageDefinition): JsonValue {
  return { config: { ...image.config }, annotations: image.annotations };
}

function importKey(item: Import): JsonValue {
  const { name, mountPoint, trailingSlash, dest, mode, uid, gid } = item;
  return { source: sourceKey(item.source), name, mountPoint, trailingSlash, dest, mode, uid, gid };
}

function sourceKey(source: FileSource | Extract<Import['source'], { readonly type: 'content' }>): JsonValue {
  if (source.type === 'content') return { content: source.content };
  return source.type;
}
