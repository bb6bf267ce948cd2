import { hostText } from '../core/host-text.ts';
import { readFile } from './files.ts';

/** One line of /proc/self/mountinfo (proc_pid_mountinfo(5)): a mount as this mount namespace sees it. */
export interface MountEntry {
  readonly target: string;
  /** `MAJOR:MINOR` of the filesystem; for FUSE the minor names the connection in /sys/fs/fuse/connections. */
  readonly device: string;
  /** `squashfs`, `overlay`, `fuse.squashfuse_ll`, … */
  readonly type: string;
  readonly source: string;
}

/** All mounts of this process's mount namespace in the kernel's order: a later one covers an earlier one. */
export async function readMountTable(): Promise<readonly MountEntry[]> {
  return parseMountTable(hostText(await readFile('/proc/self/mountinfo')));
}

export function parseMountTable(text: string): readonly MountEntry[] {
  return parseLines(text).map(({ entry }) => entry);
}

/** Whether the mount that a canonical path lies on has an option of its own, such as `noexec`. */
export async function hasMountOption(path: string, option: string): Promise<boolean> {
  const lines = parseLines(hostText(await readFile('/proc/self/mountinfo')));
  const holds = lines.filter(({ entry: { target } }) => target === '/' || `${path}/`.startsWith(`${target}/`));
  const longest = Math.max(...holds.map(({ entry }) => entry.target.length));
  return holds.findLast(({ entry }) => entry.target.length === longest)?.options.includes(option) === true;
}

interface MountLine {
  readonly entry: MountEntry;
  readonly options: readonly string[];
}

function parseLines(text: string): readonly MountLine[] {
  const lines: MountLine[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    const [, , device, , target, options = ''] = fields;
    // Optional fields have no fixed number; a lone hyphen ends them.
    const hyphen = fields.indexOf('-', 6);
    if (device === undefined || target === undefined || hyphen < 0) continue;
    const [type, source] = [unescape(fields[hyphen + 1] ?? ''), unescape(fields[hyphen + 2] ?? '')];
    lines.push({ entry: { target: unescape(target), device, type, source }, options: options.split(',') });
  }
  return lines;
}

/** The uppermost mount exactly at a canonical path, by the kernel's table alone: dead or alive, nothing there is touched. */
export async function findMount(target: string): Promise<MountEntry | undefined> {
  return mountAt(await readMountTable(), target);
}

/** The uppermost mount exactly at a canonical path. */
export function mountAt(table: readonly MountEntry[], target: string): MountEntry | undefined {
  return table.findLast(entry => entry.target === target);
}

/** The kernel writes space, tab, newline and backslash as three octal digits, and other bytes as they are. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
