import { open, rm, type FileHandle } from './files.ts';
import type { AbsPath } from '../core/paths.ts';

/** How a tool is told to write to the first descriptor that it inherits beside its standard streams (proc(5)). */
export const INHERITED_OUTPUT = '/proc/self/fd/3';

/**
 * A new file for a tool to write by descriptor: whatever others make of its name and its directory meanwhile, what is
 * read afterwards is what the tool wrote, since nobody but this user could open it.
 */
export class OutputFile implements AsyncDisposable {
  readonly path: AbsPath;
  readonly file: FileHandle;

  private constructor(path: AbsPath, file: FileHandle) {
    this.path = path;
    this.file = file;
  }

  /** Makes the file, instead of one that is there. */
  static async create(path: AbsPath): Promise<OutputFile> {
    await rm(path, { force: true });
    return new OutputFile(path, await open(path, 'wx+', 0o600));
  }

  /** Closes and removes it. */
  async remove(): Promise<void> {
    await this.file.close();
    await rm(this.path, { force: true });
  }

  /** Closes it; the file stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.file.close();
  }
}
