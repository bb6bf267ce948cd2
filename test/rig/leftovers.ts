import { readFile, readdir, readlink } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';

const LOOK_AGAIN_MS = 20;

/**
 * What still lives below a directory: mounts, and processes that run from it, name it, or have a part of it mounted in a
 * namespace of their own. Looks again for up to `graceMs`, because killed processes take a moment to go.
 */
export async function findLeftovers(directory: string, graceMs: number): Promise<readonly string[]> {
  for (const deadline = Date.now() + graceMs; ;) {
    const mounts = (await mountsBelow(directory)).map(target => `mounted: ${target}`);
    const found = [...mounts, ...(await processesOf(directory))];
    if (found.length === 0 || Date.now() > deadline) return found;
    await delay(LOOK_AGAIN_MS);
  }
}

/**
 * Takes mounts below a directory away, so that it can be removed. Processes are left alone: whom they belong to cannot
 * be told with certainty.
 */
export async function unmountBelow(directory: string): Promise<void> {
  for (const target of (await mountsBelow(directory)).toReversed()) {
    await execa('umount', ['--lazy', target], { reject: false });
  }
}

async function mountsBelow(directory: string): Promise<string[]> {
  const entries = mountEntries(await readFile('/proc/self/mountinfo', 'utf8'));
  return entries.map(entry => entry.target).filter(target => isBelow(target, directory));
}

/** Fields 4 and 5 of each line (proc_pid_mountinfo(5)), white space in them written as octal escapes. */
function mountEntries(mountinfo: string): { readonly source: string; readonly target: string }[] {
  const unescape = (text: string) => text.replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));
  return mountinfo.split('\n').flatMap(line => {
    const [, , , source, target] = line.split(' ');
    return source === undefined || target === undefined ? [] : [{ source: unescape(source), target: unescape(target) }];
  });
}

async function processesOf(directory: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name) && Number(name) !== process.pid);
  const found: string[] = [];
  for (const pid of pids) {
    const why = await relation(pid, directory);
    if (why !== undefined) found.push(`running: ${pid}: ${why}`);
  }
  return found;
}

async function relation(pid: string, directory: string): Promise<string | undefined> {
  const read = (name: string) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '');
  const link = (name: string) => readlink(`/proc/${pid}/${name}`).catch(() => '');
  const command = (await read('cmdline')).replaceAll('\0', ' ').trim();
  if (command.includes(directory)) return command;
  for (const name of ['cwd', 'root', 'exe']) {
    if (isBelow(await link(name), directory)) return `${command} (its ${name})`;
  }
  // Mount points alone say nothing: every process of a namespace, and of every copy of it, sees the same ones. A part
  // of the directory that is bound elsewhere is a step's root. The path is the filesystem's own, so its end must do.
  if ((await link('ns/mnt')) === (await readlink('/proc/self/ns/mnt'))) return undefined;
  const end = path.join('/', path.basename(path.dirname(directory)), path.basename(directory), '/');
  const bound = mountEntries(await read('mountinfo')).find(entry => entry.source.includes(end));
  return bound && `${command} (holds ${bound.source})`;
}

function isBelow(file: string, directory: string): boolean {
  return file === directory || file.startsWith(`${directory}/`);
}
