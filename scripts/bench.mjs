// Runs bench/NAME.ts: `npm run bench NAME [ARGUMENTS]`. Bundled first, so that it runs on every Node that stk supports.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { build } from 'esbuild';

const [name, ...args] = process.argv.slice(2);
if (name === undefined) {
  console.error('usage: npm run bench NAME [ARGUMENTS]; the names are those of the files in bench/');
  process.exit(2);
}
const outfile = `dist/bench-${name}.${process.pid}.mjs`;
await build({
  entryPoints: [`bench/${name}.ts`],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  packages: 'external',
});
const { status } = spawnSync(process.execPath, [outfile, ...args], { stdio: 'inherit' });
rmSync(outfile);
process.exit(status ?? 1);
