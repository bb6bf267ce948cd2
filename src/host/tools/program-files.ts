import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { runTool } from '../exec.ts';
import { findTool, missingTool } from '../find-tool.ts';

/** Programs of the host with what they need to run in any root. */
export interface ProgramFiles {
  /** Files of the host, by the name that each has to have beside the others. */
  readonly files: ReadonlyMap<string, string>;
  /** The command that starts one of them, given the directory that holds the files. */
  start(directory: string, program: string): readonly string[];
}

const LOADER = 'loader';

/**
 * Finds programs and their libraries: in an image they need not be, and if they are, they cannot be trusted. Throws
 * `missing-capability`.
 *
 * @param names programs of one libc, such as all of a distribution's
 */
export async function findProgramFiles(names: readonly string[], signal?: AbortSignal): Promise<ProgramFiles> {
  const files = new Map<string, string>();
  const programs: string[] = [];
  for (const name of names) {
    const program = await findTool(name);
    if (program === undefined) throw missingTool(name);
    programs.push(program);
    files.set(name, await realpath(program));
  }
  // It answers 1 for a program that needs no libraries.
  const { stdout } = await runTool('ldd', programs, { signal, okExitCodes: [0, 1] });
  for (const line of stdout.toString('utf8').split('\n')) {
    const [, name, target] = /^\s*(\S+)(?: => (\S+))? \(0x/.exec(line) ?? [];
    const file = target ?? name;
    if (name === undefined || file === undefined || !path.isAbsolute(file)) continue;
    const own = target === undefined ? LOADER : path.basename(name);
    if (!files.has(own)) files.set(own, await realpath(file));
  }
  return {
    files,
    start: (directory, program) => {
      if (!names.includes(program)) throw new Error(`${program} is not among ${names.join(', ')}`);
      const loader = files.has(LOADER) ? [`${directory}/${LOADER}`, '--library-path', directory] : [];
      return [...loader, `${directory}/${program}`];
    },
  };
}
