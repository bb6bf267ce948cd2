import { readFileSync, readdirSync } from './files.ts';
import { syscallFailure } from './syscalls/failure.ts';
import { nativeFunction } from './syscalls/native.ts';

/** O_CLOEXEC as fdinfo shows it, on every architecture that Node runs on but SPARC and PA-RISC (fcntl.h). */
const CLOSE_ON_EXEC = 0o2000000;

const fcntl = nativeFunction('fcntl', 'int', ['int', 'int', 'int']);
/** fcntl.h, the same on every architecture. */
const F_SETFD = 2;
const FD_CLOEXEC = 1;

/** What is inherited was there at the start; Node opens nothing that programs would inherit. */
let kept = false;

/**
 * Keeps the files that this process inherited open besides its standard streams out of every program that it starts: a
 * directory of the host among them would be a way out of a container, a pipe would be held open by a server. Node takes
 * care of the first sixteen descriptors only, and of what it opens itself. Here they stay open, for files that are named
 * by their descriptor, and for locks. Call it before each start of a program: the first call does it. Throws
 * `missing-capability`.
 */
export function keepInheritedFiles(): void {
  if (kept) return;
  for (const name of readdirSync('/proc/self/fd')) {
    const fd = Number(name);
    if (fd <= 2 || isClosedOnExec(fd)) continue;
    const { value, errno } = fcntl.call(fd, F_SETFD, FD_CLOEXEC);
    if (value < 0) throw syscallFailure({ call: 'fcntl', errno, attempt: `keep descriptor ${fd} from other programs` });
  }
  kept = true;
}

function isClosedOnExec(fd: number): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1];
    return flags === undefined || (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) !== 0;
  } catch {
    // The one that listed them is closed again.
    return true;
  }
}
