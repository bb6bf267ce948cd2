import type { Digest } from '../core/digest.ts';
import { maskUrls } from '../core/mask-urls.ts';
import type { KnownImport } from '../sources/imports.ts';
import type { Material } from './image-origin.ts';
import type { ImageStack } from './image-stack.ts';

/** What an image stands on, and what it imports. */
export function materialsOf({ base, applied }: ImageStack, imports: readonly KnownImport[]): readonly Material[] {
  return [
    ...(base.uri === undefined ? [] : [material('base', base.uri, base.contentDigest ?? base.digest)]),
    ...applied.map(({ applied: { ref, digest } }) => material('apply', ref, digest)),
    ...imports.map(({ import: { source, name }, tree }): Material => {
      const uri =
        source.type === 'http'
          ? source.url
          : source.type === 'image'
            ? `stacker://${source.image}${source.path}`
            : source.type === 'path'
              ? `file:${name}`
              : `inline:${name}`;
      const isTree = tree.content === undefined;
      return { ...material('import', uri, tree.content ?? tree.digest), ...(isTree ? { isTree } : {}) };
    }),
  ];
}

function material(kind: Material['kind'], uri: string, digest: Digest | undefined): Material {
  return { kind, uri: maskUrls(uri).text, ...(digest === undefined ? {} : { digest }) };
}
