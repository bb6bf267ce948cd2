import { StkError, errnoOf } from '../core/errors.ts';
import { hostBytes } from '../core/host-text.ts';
import { imagePath, joinInside, type AbsPath } from '../core/paths.ts';
import { lstat, mkdir, readlink, symlink, type Stats } from '../host/files.ts';
import { mountOverlay, unmount } from '../host/tools/mount.ts';

const MAX_SYMLINKS = 40;

/** The merged read-only view of a stack of mounted layers, looked at without ever following a symlink on the host. */
export class LowerView implements AsyncDisposable {
  /** Where the merged tree can be seen. */
  readonly root: AbsPath;
  readonly #mounted: boolean;

  private constructor(root: AbsPath, mounted: boolean) {
    this.root = root;
    this.#mounted = mounted;
  }

  /**
   * @param layers mounted layers, uppermost first
   * @param workDirectory the view's own directory, created here
   */
  static async open(layers: readonly AbsPath[], workDirectory: AbsPath, signal?: AbortSignal): Promise<LowerView> {
    await mkdir(workDirectory, { recursive: true });
    const [only] = layers;
    if (only !== undefined && layers.length === 1) return new LowerView(only, false);
    const merged = joinInside(workDirectory, 'view');
    await mkdir(merged, { recursive: true });
    if (layers.length === 0) return new LowerView(merged, false);
    const lowers = await linkLowers(layers, workDirectory);
    await mountOverlay({ cwd: workDirectory, lowers, target: 'view' }, signal);
    return new LowerView(merged, true);
  }

  /** Whether the path, a byte string (latin1), is a directory, every component of it being one. */
  async isDirectory(path: string): Promise<boolean> {
    let current = hostBytes(this.root);
    for (const part of imagePath(path).split('/')) {
      if (part === '') continue;
      current = Buffer.concat([current, Buffer.from(`/${part}`, 'latin1')]);
      const stat = await this.#lstat(current);
      if (!stat?.isDirectory()) return false;
    }
    return true;
  }

  /**
   * Resolves a path inside the image, symlinks included, against the image's own root. Components that do not exist are
   * kept as they are. `type` is what the last component is, `undefined` where there is nothing. The result is free of
   * symlinks: throws `invalid-input` where there are too many to follow.
   */
  async resolve(path: string): Promise<{ readonly path: string; readonly type: 'directory' | 'other' | undefined }> {
    const pending = imagePath(path).split('/').toReversed();
    const done: { readonly name: string; readonly type: 'directory' | 'other' | undefined }[] = [];
    const join = (...more: readonly string[]) => [...done.map(({ name }) => name), ...more].join('/');
    // Of what a link climbs out of again, nothing must be left: not even that it was missing.
    const typeSoFar = () => (done.length === 0 ? 'directory' : done.at(-1)!.type);
    let links = 0;
    while (pending.length > 0) {
      const part = pending.pop()!;
      if (part === '' || part === '.') continue;
      if (part === '..') {
        done.pop();
        continue;
      }
      const full = `${this.root}/${join(part)}`;
      const stat: Stats | undefined = typeSoFar() === 'directory' ? await this.#lstat(full) : undefined;
      if (stat?.isSymbolicLink()) {
        if (++links > MAX_SYMLINKS) throw tooManyLinks(path);
        const target = await readlink(full);
        if (target.startsWith('/')) done.length = 0;
        pending.push(...target.split('/').toReversed());
        continue;
      }
      done.push({ name: part, type: stat === undefined ? undefined : stat.isDirectory() ? 'directory' : 'other' });
    }
    return { path: join(), type: typeSoFar() };
  }

  async #lstat(path: string | Buffer): Promise<Stats | undefined> {
    return lstat(path).catch((error: unknown) => {
      const errno = errnoOf(error);
      if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined;
      throw error;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#mounted) await unmount(this.root, { lazy: true });
  }
}

function tooManyLinks(path: string): StkError {
  return new StkError('invalid-input', `${path} of the image leads through more than ${MAX_SYMLINKS} symlinks`, {
    hint: 'choose another place, or mend the image',
    facts: { path },
  });
}

/** Short names for lower directories, so that the options of an overlay of many layers fit in one page. */
export async function linkLowers(layers: readonly AbsPath[], directory: AbsPath): Promise<string[]> {
  const names: string[] = [];
  for (const [index, layer] of layers.entries()) {
    const name = String(index);
    await symlink(layer, joinInside(directory, name));
    names.push(name);
  }
  return names;
}
