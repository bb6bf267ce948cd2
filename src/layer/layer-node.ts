import type { DirectoryAttributes, LowerLeaf } from './lower-tree.ts';

/** Where a directory's attributes come from. */
type Origin = 'entry' | 'lower' | 'default';

/** A directory of the layer. */
export class LayerDirectory {
  readonly kind = 'directory';
  readonly parent: LayerDirectory | undefined;
  readonly name: string;
  readonly children = new Map<string, LayerDirectory | LayerLeaf>();
  /** Names below that the layer deletes from lower layers, with how many files had been copied up by then. */
  whiteouts: Map<string, number> | undefined;
  /** Names that stand here only because a hard link needed what lies below, with their number. */
  copies: Map<string, number> | undefined;
  attributes: DirectoryAttributes | undefined;
  origin: Origin = 'default';
  opaque = false;
  /** How many files had been copied up when it became opaque. */
  opaqueAfter = 0;
  /** Known to have nothing below it in lower layers, so that these need not be asked. */
  lowerAbsent = false;
  readonly pathBytes: number;

  constructor(parent: LayerDirectory | undefined, name: string) {
    this.parent = parent;
    this.name = name;
    this.pathBytes = parent ? parent.pathBytes + 1 + name.length : 0;
  }

  get path(): string {
    const names: string[] = [];
    for (let [name, at] = [this.name, this.parent]; at; [name, at] = [at.name, at.parent]) names.push(name);
    return names.toReversed().join('/');
  }
}

/** A file, symlink or device of the layer; one object for all of its names. */
export interface LayerLeaf {
  readonly kind: 'leaf';
  /** Number of the archive entry that holds its content and attributes. */
  readonly entry: number;
  /** Where it was first put. */
  readonly place: Place;
  /** Where it points, for symlinks. */
  readonly target?: string;
  /** As `TarEntry` has it. */
  readonly lostAcl?: boolean;
  /** What it is a copy of, where it comes from a lower layer in place of the archive. */
  readonly lower?: LowerLeaf;
}

/** A place in the layer: the directory, and a name in it. */
export interface Place {
  readonly directory: LayerDirectory;
  readonly name: string;
}

/** A path from the root, made anew each time: many long ones would fill the memory. */
export function pathOf({ directory, name }: Place): string {
  return directory.parent ? `${directory.path}/${name}` : name;
}
