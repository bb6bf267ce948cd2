// The native code that a bundle needs beside it.
import { copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';

/**
 * Copies koffi's binaries for this machine's kind of processor, which npm installed, by the names that
 * src/host/syscalls/native.ts looks for. Returns how many there are.
 */
export function copyNativeCode(directory) {
  const scope = new URL('../node_modules/@koromix/', import.meta.url).pathname;
  let count = 0;
  mkdirSync(directory);
  for (const name of existsSync(scope) ? readdirSync(scope) : []) {
    const target = /^koffi-(linux-.+)$/.exec(name)?.[1];
    for (const library of target === undefined ? [] : readdirSync(path.join(scope, name))) {
      const file = path.join(scope, name, library, 'koffi.node');
      if (!existsSync(file)) continue;
      const kind = library.startsWith('musl') ? 'musl' : 'glibc';
      copyFileSync(file, path.join(directory, `koffi-${target}-${kind}.node`));
      count++;
    }
  }
  return count;
}
