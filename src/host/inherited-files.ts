import { closeSync, readFileSync, readdirSync } from './files.ts';

/** O_CLOEXEC as fdinfo shows it, on every architecture that Node runs on but SPARC and PA-RISC (fcntl.h). */
const CLOSE_ON_EXEC = 0o2000000;

/**
 * Closes the files that this process inherited open besides its standard streams, so that no container sees them; a
 * directory of the host among them would be a way out. Node takes care of the first sixteen descriptors only. What Node
 * opens itself is closed on exec and stays.
 */
export function closeInheritedFiles(): void {
  for (const name of readdirSync('/proc/self/fd')) {
    const fd = Number(name);
    if (fd > 2 && !isClosedOnExec(fd)) closeSync(fd);
  }
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
