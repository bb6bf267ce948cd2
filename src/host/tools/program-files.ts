import path from 'node:path';
import { elfInterpreter } from '../elf-interpreter.ts';
import { runTool } from '../exec.ts';
import { realpath } from '../files.ts';
import { findTool, missingTool } from '../find-tool.ts';

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
  const loader = await elfInterpreter(file);
  const files = new Map([[name, file]]);
  if (loader !== undefined) {
    files.set(LOADER, await realpath(loader));
    const { stdout } = await runTool(loader, ['--list', file], { signal });
    for (const line of stdout.toString('utf8').split('\n')) {
      const [, library, target] = /^\s*(\S+) => (\/\S+) \(0x/.exec(line) ?? [];
      if (library !== undefined && target !== undefined) files.set(path.basename(library), await realpath(target));
    }
  }
  return {
    files,
    start: directory => [
      ...(loader === undefined ? [] : [`${directory}/${LOADER}`, '--library-path', directory]),
      `${directory}/${name}`,
    ],
  };
}
