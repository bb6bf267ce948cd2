import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { StkError } from '../../core/errors.ts';
import { runTool } from '../exec.ts';
import { findTool } from '../find-tool.ts';

/** The host's setpriv with what it needs to run in any root. */
export interface SetprivFiles {
  /** Files of the host, by the name that each has to have beside the others. */
  readonly files: ReadonlyMap<string, string>;
  /** The command that starts it, given the directory that holds the files. */
  command(directory: string): readonly string[];
}

/**
 * Finds setpriv and its libraries: in an image there need be no program that changes users, and one that is there cannot
 * be trusted with it. Throws `missing-capability`.
 */
export async function findSetpriv(signal?: AbortSignal): Promise<SetprivFiles> {
  const program = await findTool('setpriv');
  if (program === undefined)
    throw new StkError('missing-capability', 'setpriv is not installed', { hint: 'apt-get install util-linux' });
  const { stdout } = await runTool('ldd', [program], { signal, okExitCodes: [0, 1] });
  const files = new Map([['setpriv', await realpath(program)]]);
  let loader: string | undefined;
  for (const line of stdout.toString('utf8').split('\n')) {
    const [, name, target] = /^\s*(\S+)(?: => (\S+))? \(0x/.exec(line) ?? [];
    const file = target ?? name;
    if (file === undefined || !path.isAbsolute(file)) continue;
    if (target === undefined) loader = 'loader';
    files.set(target === undefined ? 'loader' : path.basename(name!), await realpath(file));
  }
  return {
    files,
    command: directory => {
      const start = loader === undefined ? [] : [`${directory}/${loader}`, '--library-path', directory];
      return [...start, `${directory}/setpriv`];
    },
  };
}
