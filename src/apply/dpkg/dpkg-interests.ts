import type { LayerStack } from '../../squashfs/layer-stack.ts';

const TRIGGERS = 'var/lib/dpkg/triggers';
const INFO = 'var/lib/dpkg/info';
const MAX_BYTES = 4 * 1024 * 1024;
/** Files of dpkg's own in the directory of explicit triggers. */
const OWN_FILES = new Set(['File', 'Unincorp', 'Lock']);

/** A package that is to be told when a trigger is activated. */
export interface Interest {
  /** An absolute path, for whatever changes at it or below; else the name of an explicit trigger. */
  readonly trigger: string;
  readonly name: string;
  /** `undefined` where dpkg did not need to say it. */
  readonly architecture: string | undefined;
  /** Whether the package that activates it does not wait for the other. */
  readonly noAwait: boolean;
}

/** Interests as dpkg keeps them of installed packages: in `triggers/File`, and a file for each explicit trigger. */
export async function interestsOf(tree: LayerStack | undefined, signal?: AbortSignal): Promise<readonly Interest[]> {
  const directory = await tree?.lookup(TRIGGERS, signal);
  if (tree === undefined || directory?.inode.type !== 'directory') return [];
  const found: Interest[] = [];
  for await (const { name, node } of tree.readDirectory(directory, signal)) {
    if (node.inode.type !== 'file' || node.inode.size > MAX_BYTES || (name !== 'File' && OWN_FILES.has(name))) continue;
    const text = (await tree.readFile(node, { maxBytes: MAX_BYTES, ...(signal && { signal }) })).toString('latin1');
    for (const line of text.split('\n')) {
      const interest = name === 'File' ? fileInterest(line) : interestIn(name, line);
      if (interest) found.push(interest);
    }
  }
  return found;
}

/** `PATH PACKAGE`: the path may hold blanks. */
function fileInterest(line: string): Interest | undefined {
  const blank = line.lastIndexOf(' ');
  return blank <= 0 || !line.startsWith('/') ? undefined : interestIn(line.slice(0, blank), line.slice(blank + 1));
}

function interestIn(trigger: string, text: string): Interest | undefined {
  const [, name, architecture, noAwait] =
    /^([A-Za-z0-9][A-Za-z0-9+._-]*)(?::([a-z0-9-]+))?(\/noawait)?$/.exec(text) ?? [];
  return name === undefined ? undefined : { trigger, name, architecture, noAwait: noAwait !== undefined };
}

/** An explicit trigger that a package activates when it is unpacked or removed (deb-triggers(5)). */
export interface Activation {
  readonly trigger: string;
  readonly noAwait: boolean;
}

export async function activationsOf(
  tree: LayerStack | undefined,
  stems: readonly string[],
  signal?: AbortSignal,
): Promise<readonly Activation[]> {
  for (const stem of stems) {
    const node = await tree?.lookup(`${INFO}/${stem}.triggers`, signal);
    if (tree === undefined || node?.inode.type !== 'file') continue;
    const text = (await tree.readFile(node, { maxBytes: MAX_BYTES, ...(signal && { signal }) })).toString('latin1');
    return text.split('\n').flatMap(line => {
      const [, mode, trigger] = /^\s*activate(-await|-noawait)?\s+(\S+)/.exec(line) ?? [];
      return trigger === undefined ? [] : [{ trigger, noAwait: mode === '-noawait' }];
    });
  }
  return [];
}

/** The triggers that a path activates: itself and every directory above it. */
export function* pathTriggers(path: string): Generator<string> {
  yield path;
  for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1))
    yield path.slice(0, slash);
}
