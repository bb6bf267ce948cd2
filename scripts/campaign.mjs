// Runs test/campaign/NAME.ts: `npm run campaign NAME [--seed S] [--minutes N] [ARGUMENTS]`. Bundled first, so that it runs
// on every Node that stk supports; the program under test is built beside it.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';

const repository = path.resolve(import.meta.dirname, '..');
const directory = path.join(repository, 'test/campaign');
const names = readdirSync(directory, { withFileTypes: true })
  .filter(entry => entry.isDirectory() && existsSync(path.join(directory, entry.name, 'campaign.ts')))
  .map(entry => entry.name);
const [name, ...args] = process.argv.slice(2);
if (name === undefined || !names.includes(name)) {
  console.error(`usage: npm run campaign NAME -- [--seed S] [--minutes N] [ARGUMENTS]; NAME is ${names.join(', ')}`);
  process.exit(2);
}

const home = path.join(repository, '.cache/campaign', name);
mkdirSync(home, { recursive: true });
const program = path.join(home, `program.${process.pid}`);
const outfile = path.join(home, `campaign.${process.pid}.mjs`);
const clean = () => {
  rmSync(program, { recursive: true, force: true });
  rmSync(outfile, { force: true });
};

const run = (file, words, env) =>
  new Promise(resolve => {
    const child = spawn(process.execPath, [file, ...words], { cwd: repository, stdio: 'inherit', env });
    // The campaign cleans up and prints its figures; a terminal's Ctrl-C reaches it as well.
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill('SIGTERM'));
    child.on('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 143)));
  });

let status = await run('scripts/build.mjs', [program], process.env);
if (status === 0) {
  await build({
    entryPoints: [path.join(directory, name, 'campaign.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    packages: 'external',
    logLevel: 'warning',
  });
  const env = { ...process.env, CAMPAIGN_HOME: home, CAMPAIGN_PROGRAM: path.join(program, 'stk.js') };
  status = await run(outfile, args, env);
}
clean();
process.exit(status);
