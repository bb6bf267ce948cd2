import path from 'node:path';
import { readElfFile } from '../elf-file.ts';
import { runTool } from '../exec.ts';
import { realpath } from '../files.ts';
import { findTool, missingTool } from '../find-tool.ts';
import { findSharedLibraries } from '../shared-libraries.ts';

/** A program of the host with what it needs to run in any root. */
export interface ProgramFiles {
  /** Files of the host, by the name that each has to have beside the others. */
  readonly files: ReadonlyMap<string, string>;
  /** The command that starts it, given the directory that holds the files. */
  start(directory: string): readonly string[];
}

const LOADER = 'loader';

/**
 * Finds a program and its libraries: in an image it need not be, and if it is, it cannot be trusted. Files of several
 * programs of one host can lie in one directory. Throws `missing-capability`.
 */
export async function findProgramFiles(name: string, signal?: AbortSignal): Promise<ProgramFiles> {
  const program = await findTool(name);
  if (program === undefined) throw missingTool(name);
  const file = await realpath(program);
  const elf = await readElfFile(file);
  const loader = elf?.interpreter;
  const files = new Map([[name, file]]);
  if (elf !== undefined && loader !== undefined) {
    files.set(LOADER, await realpath(loader));
    // What is missing beside the others, the loader would look for in the image.
    const libraries = (await findSharedLibraries(elf)) ?? (await askLoader(loader, file, signal));
    for (const [library, target] of libraries) files.set(library, await realpath(target));
  }
  return {
    files,
    start: directory => [
      ...(loader === undefined ? [] : [`${directory}/${LOADER}`, '--library-path', directory]),
      `${directory}/${name}`,
    ],
  };
}

/** What the loader itself finds, for a process more. */
async function askLoader(
  loader: string,
  file: string,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, string>> {
  const libraries = new Map<string, string>();
  const { stdout } = await runTool(loader, ['--list', file], { signal });
  for (const line of stdout.toString('utf8').split('\n')) {
    const [, library, target] = /^\s*(\S+) => (\/\S+) \(0x/.exec(line) ?? [];
    if (library !== undefined && target !== undefined) libraries.set(path.basename(library), target);
  }
  return libraries;
}
