// Bundles the command line into dist/, or the directory given as argument: one small entry, and chunks that commands
// load when they need them. A build that fails leaves what was there.
import { readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { build } from 'esbuild';
import { copyNativeCode } from './native-code.mjs';
import { thirdPartyNotices } from './third-party-notices.mjs';

const target = path.resolve(process.argv[2] ?? 'dist');
const outdir = `${target}.${process.pid}.unfinished`;
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

// What stk remembers of parsing must not outlive the parser.
const sources = createHash('sha256');
for (const name of readdirSync('src', { recursive: true }).map(String).sort()) {
  if (/\.tsx?$/.test(name)) sources.update(`${name}\0`).update(readFileSync(`src/${name}`));
}

try {
  const { metafile } = await build({
    absWorkingDir: new URL('..', import.meta.url).pathname,
    entryPoints: { stk: 'src/cli/main.ts' },
    outdir,
    bundle: true,
    metafile: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    chunkNames: 'chunks/[name]-[hash]',
    legalComments: 'linked',
    define: {
      STK_VERSION: JSON.stringify(version),
      STK_BUILD: JSON.stringify(sources.digest('hex').slice(0, 16)),
      'process.env.NODE_ENV': '"production"',
      'process.env.DEV': '"false"',
    },
    // Optional parts of the library for bills of materials, for XML.
    external: ['xmlbuilder2', 'libxmljs2'],
    // ink loads it only for its own debugging.
    alias: { 'react-devtools-core': './scripts/no-devtools.mjs' },
    banner: {
      js: "#!/usr/bin/env node\nimport { createRequire as stkRequire } from 'node:module'; const require = stkRequire(import.meta.url);",
    },
  });
  const packages = [...Object.keys(metafile.inputs), 'node_modules/koffi/index.js'];
  writeFileSync(path.join(outdir, 'third-party-notices.txt'), thirdPartyNotices(packages));
  await chmod(path.join(outdir, 'stk.js'), 0o755);
  if (copyNativeCode(path.join(outdir, 'native')) === 0) {
    console.error('build: koffi has no binary here; commands that need it will say so');
  }
  rmSync(target, { recursive: true, force: true });
  renameSync(outdir, target);
} finally {
  rmSync(outdir, { recursive: true, force: true });
}
