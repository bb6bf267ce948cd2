import { access, chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { beforeEach, inject } from 'vitest';

/** Programs of a newer Debian: its skopeo knows sigstore signatures, and older ones have no cosign. */
const TOOLS = ['skopeo', 'cosign'] as const;
const SUITE = 'trixie';

/** Where each program is: a script that starts it with the libraries of its own Debian. */
export type NewerTools = Readonly<Record<(typeof TOOLS)[number], string>>;

let making: Promise<NewerTools | string> | undefined;

/** Skips every test of the file with the reason where the programs cannot be had. They are made once and kept. */
export function requiresNewerTools(): void {
  beforeEach(async context => {
    const made = await makeOnce();
    const reason = typeof made === 'string' ? `needs skopeo and cosign of Debian ${SUITE}: ${made}` : undefined;
    context.skip(reason !== undefined, reason);
  }, 240_000);
}

export async function newerTools(): Promise<NewerTools> {
  const made = await makeOnce();
  if (typeof made === 'string') throw new Error(made);
  return made;
}

function makeOnce(): Promise<NewerTools | string> {
  making ??= make();
  return making;
}

async function make(): Promise<NewerTools | string> {
  const home = path.dirname(inject('stk').rigs);
  const directory = path.join(home, `${SUITE}-tools`);
  const tools = Object.fromEntries(TOOLS.map(name => [name, path.join(directory, name)])) as NewerTools;
  if (await exists(tools.cosign)) return tools;
  const unfinished = await mkdtemp(path.join(home, `${SUITE}-`));
  try {
    const root = path.join(unfinished, 'root');
    await mkdir(root);
    const tar = path.join(unfinished, 'root.tar');
    const include = `--include=${TOOLS.join(',')}`;
    await execa('mmdebstrap', ['--quiet', '--variant=extract', include, SUITE, tar], { cwd: home });
    const programs = TOOLS.map(name => `./usr/bin/${name}`);
    await execa('tar', ['-xf', tar, '-C', root, '--wildcards', ...programs, './usr/lib/*-linux-gnu*/*.so*']);
    await rm(tar);
    const [libraries] = (await readdir(path.join(root, 'usr/lib'))).filter(name => name.includes('-linux-gnu'));
    const below = path.join('usr/lib', libraries ?? '');
    const [loader] = (await readdir(path.join(root, below))).filter(name => /^ld-linux.*\.so/.test(name));
    for (const name of TOOLS) {
      const script = `#!/bin/sh\nroot=\${0%/*}/root\nexec "$root/${below}/${loader}" --library-path "$root/${below}" "$root/usr/bin/${name}" "$@"\n`;
      await writeFile(path.join(unfinished, name), script);
      await chmod(path.join(unfinished, name), 0o755);
    }
    await chmod(unfinished, 0o755);
    // Whoever came first has the same.
    await rename(unfinished, directory).catch(() => rm(unfinished, { recursive: true, force: true }));
    return tools;
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    return (error instanceof Error ? error.message : String(error)).split('\n').at(-1) ?? '';
  }
}

function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
