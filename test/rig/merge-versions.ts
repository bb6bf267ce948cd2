import type { MergeContext, MergeDriver, Outcome, PathVersions, SideVersion, Version } from '../../src/apply/driver.ts';
import type { ConflictResolution } from '../../src/recipe/model.ts';
import type { MergedNode } from '../../src/squashfs/layer-stack.ts';
import type { Inode } from '../../src/squashfs/inode.ts';

/** Files by path without a leading slash; a missing one is not there. Content given as an object is a symlink. */
export type TreeFiles = Readonly<
  Record<string, string | Uint8Array | StatedFile | { readonly symlink: string } | undefined>
>;

/** A file whose attributes matter. */
export interface StatedFile {
  readonly content: string | Uint8Array;
  readonly mtime?: number;
  readonly mode?: number;
}

export interface FakeMerge {
  readonly ancestor: TreeFiles;
  /** By the name of the side, in order. */
  readonly sides: Readonly<Record<string, TreeFiles>>;
  readonly rules?: Readonly<Record<string, ConflictResolution>>;
}

/** Trees in memory, as drivers see them: what the engine would give them, without images. */
export function fakeContext({ ancestor, sides, rules = {} }: FakeMerge): MergeContext {
  const names = Object.keys(sides);
  return {
    ancestor: undefined,
    sides: names.map(name => ({ name, tree: undefined })),
    ruleFor: path => rules[path],
    mayRun: true,
    versionsOf: async path => ({
      ancestor: versionOf(ancestor[path]),
      sides: names.map((name, side) => ({ ...versionOf(sides[name]![path]), name, side })),
    }),
  };
}

/** What the driver makes of one path: the sides that are as the ancestor are left out, as the engine does. */
export async function mergePath(driver: MergeDriver, path: string, merge: FakeMerge): Promise<Outcome> {
  const context = fakeContext(merge);
  return driver.merge(await versionsOf(context, path), context);
}

async function versionsOf(context: MergeContext, path: string): Promise<PathVersions> {
  const { ancestor, sides } = await context.versionsOf(path);
  const before = await contentOf(ancestor);
  const changed: SideVersion[] = [];
  for (const side of sides) if ((await contentOf(side)) !== before) changed.push(side);
  return { path, ancestor, sides: changed, wish: context.ruleFor(path) };
}

/** The text of a merged file; the message of a conflict; else what the outcome is called. */
export function outcomeText(outcome: Outcome): string {
  switch (outcome.type) {
    case 'content':
      return Buffer.from(outcome.bytes).toString('latin1');
    case 'conflict':
      return `conflict: ${outcome.conflict.message}`;
    case 'take':
      return `take ${outcome.side}`;
    case 'drop':
      return 'drop';
    case 'regenerate':
      return `regenerate ${outcome.command.join(' ')}`;
  }
}

async function contentOf(version: Version): Promise<string | undefined> {
  const { node } = version;
  if (node === undefined) return undefined;
  if (node.inode.type !== 'file') return `${node.inode.type}\0`;
  return (await version.read()).toString('latin1');
}

function versionOf(file: TreeFiles[string]): Version {
  const xattrs = async () => new Map<string, Buffer>();
  if (file === undefined) {
    const read = async () => Promise.reject(new Error('there is nothing to read'));
    return { node: undefined, read, xattrs };
  }
  if (typeof file === 'object' && 'symlink' in file) {
    const read = async () => Promise.reject(new Error('a symlink has no content'));
    return { node: nodeOf({ type: 'symlink', target: file.symlink, size: file.symlink.length }), read, xattrs };
  }
  const stated: StatedFile = typeof file === 'object' && 'content' in file ? file : { content: file };
  const bytes = Buffer.from(stated.content as string, 'latin1');
  const node = nodeOf({ type: 'file', size: bytes.length, mtime: stated.mtime ?? 0, mode: stated.mode ?? 0o644 });
  return { node, read: async () => Buffer.from(bytes), xattrs };
}

function nodeOf(fields: Partial<Inode> & { readonly type: Inode['type'] }): MergedNode {
  const inode = {
    ref: 0,
    number: 1,
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: 0,
    nlink: 1,
    xattrIndex: undefined,
    ...fields,
  };
  return { inode: inode as Inode, layer: 0, directories: [] };
}
