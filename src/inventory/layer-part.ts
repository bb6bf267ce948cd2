import type { PackageSource } from './found-package.ts';

/** What one layer says of packages, and what it hides of the layers below. Paths are in the form of `imagePath`. */
export interface LayerPart {
  /** By path, ascending. */
  readonly sources: readonly PackageSource[];
  /** Directories that hide what layers below have in them. */
  readonly opaque: readonly string[];
  /** Everything that is no directory, whiteouts included, separated by newlines: it hides what layers below have there. */
  readonly names: string;
}

/** Whether a layer hides a path of the layers below it. */
export type Hides = (path: string) => boolean;

export function hidingOf({ names, opaque }: LayerPart): Hides {
  const isName = new Set(names.split('\n'));
  const isOpaque = new Set(opaque);
  return path => {
    if (isName.has(path)) return true;
    for (let slash = path.lastIndexOf('/'); slash >= 0; slash = path.lastIndexOf('/', slash - 1)) {
      const above = path.slice(0, slash);
      if (isName.has(above) || isOpaque.has(above)) return true;
    }
    return false;
  };
}
