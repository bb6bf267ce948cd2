import path from 'node:path';
import { StkError } from '../../core/errors.ts';
import type { AbsPath } from '../../core/paths.ts';
import { runTool, startTool } from '../exec.ts';

/** Extended attributes of one file; the path is relative to the root that was asked for, and a byte string (latin1). */
export interface FileXattrs {
  readonly path: string;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

/** A line of `getfattr`'s output may hold one value of 64 KiB in hexadecimal. */
const MAX_LINE_BYTES = 256 * 1024;
/** What xargs(1) answers where the command failed for some of its arguments. */
const XARGS_SOME_FAILED = 123;
const MAX_FAILURES = 12;

/**
 * Reads the xattrs of a tree in one go, without following symlinks: only files that have some whose name matches.
 *
 * @param pattern extended regular expression over names
 */
export async function* readTreeXattrs(
  root: AbsPath,
  pattern: string,
  signal?: AbortSignal,
): AsyncGenerator<FileXattrs, void> {
  const args = ['--recursive', '--physical', '--no-dereference', '--dump', '--encoding=hex', `--match=${pattern}`, '.'];
  const tool = await startTool('getfattr', args, { cwd: root, stdout: 'pipe', signal });
  // It is awaited once the output has ended; a failure before that must not count as unhandled.
  tool.done.catch(() => {});
  let current: { path: string; xattrs: Map<string, Buffer> } | undefined;
  let finished = false;
  try {
    for await (const line of latin1Lines(tool.stdout as AsyncIterable<Buffer>)) {
      if (line.startsWith('# file: ')) {
        current = { path: path.posix.normalize(unescaped(line.slice('# file: '.length))), xattrs: new Map() };
      } else if (line !== '' && current) {
        const [name, value = ''] = line.split('=', 2);
        current.xattrs.set(unescaped(name!), Buffer.from(value.slice(2), 'hex'));
      } else if (current) {
        yield current;
        current = undefined;
      }
    }
    finished = true;
  } finally {
    if (!finished) tool.kill('SIGKILL');
    await tool.done.catch((error: unknown) => {
      if (finished) throw error;
    });
  }
}

/** One xattr of one file; `undefined` where it has none of this name. A symlink is not followed. */
export async function readXattr(path: AbsPath, name: string, signal?: AbortSignal): Promise<Buffer | undefined> {
  const args = ['--no-dereference', '--absolute-names', '--only-values', '-n', name, '--', path];
  const { stdout, exitCode } = await runTool('getfattr', args, { okExitCodes: [0, 1], signal });
  return exitCode === 0 ? stdout : undefined;
}

/** What setfattr says of a file that lost the xattr by another of its names: hard links share theirs. */
const GONE_ALREADY = /: No such attribute$/;

/** Removes one xattr from many files, by paths relative to `root`; symlinks are not followed. */
export async function removeXattr(
  root: AbsPath,
  name: string,
  paths: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  await forEachPath(root, ['-x', name], paths, signal, GONE_ALREADY);
}

/** Sets one xattr of many files to the same text. */
export async function setXattr(
  root: AbsPath,
  name: string,
  value: string,
  paths: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  await forEachPath(root, ['-n', name, '-v', value], paths, signal);
}

/**
 * Paths go through stdin, because arguments cannot hold bytes that are no UTF-8.
 *
 * @param harmless failures of single files that are none
 */
async function forEachPath(
  root: AbsPath,
  args: readonly string[],
  paths: readonly string[],
  signal?: AbortSignal,
  harmless?: RegExp,
) {
  if (paths.length === 0) return;
  const input = Buffer.from(paths.map(path => `./${path}\0`).join(''), 'latin1');
  const failures: string[] = [];
  const onStderr = (line: string) => {
    if (!harmless?.test(line) && failures.length < MAX_FAILURES) failures.push(line);
  };
  const options = { cwd: root, input, signal, ...(harmless && { okExitCodes: [0, XARGS_SOME_FAILED], onStderr }) };
  await runTool('xargs', ['--null', 'setfattr', '--no-dereference', ...args, '--'], options);
  if (failures.length === 0) return;
  throw new StkError('tool-failed', `setfattr failed: ${failures.join('\n')}`, { facts: { path: root } });
}

async function* latin1Lines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string, void> {
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop()!;
    if (rest.length > MAX_LINE_BYTES) throw new StkError('tool-failed', 'getfattr wrote a line beyond all bounds');
    yield* lines;
  }
  if (rest !== '') yield* [rest, ''];
}

/** Undoes the octal escapes of control characters, backslashes and equals signs. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
