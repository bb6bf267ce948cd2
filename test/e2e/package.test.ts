import { cp, mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { describe, expect, inject, it } from 'vitest';
import { requires } from '../rig/gates.ts';
import { StkRig } from '../rig/stk-rig.ts';

const REPOSITORY = path.resolve(import.meta.dirname, '../..');

describe('the package', () => {
  requires('userns', 'overlay', 'fuse');

  it('installs from a tarball into an empty folder, and builds', async () => {
    await using rig = await StkRig.open();
    // A copy without history and dependencies of its own, so that nothing of the checkout is built over.
    const checkout = rig.path('checkout');
    const { stdout: files } = await execa('git', ['ls-files', '-z'], { cwd: REPOSITORY });
    for (const name of new Set(
      files
        .split('\0')
        .filter(Boolean)
        .map(file => file.split('/')[0]!),
    )) {
      await cp(path.join(REPOSITORY, name), path.join(checkout, name), { recursive: true });
    }
    await execa('ln', ['-s', path.join(REPOSITORY, 'node_modules'), path.join(checkout, 'node_modules')]);
    const env = { SOURCE_DATE_EPOCH: '1700000000', npm_config_update_notifier: 'false' };
    await execa('npm', ['pack', '--silent', '--pack-destination', rig.directory], { cwd: checkout, env });
    const [tarball] = (await readdir(rig.directory)).filter(name => name.endsWith('.tgz'));

    const folder = rig.path('folder');
    await mkdir(folder);
    await execa('npm', ['install', '--no-audit', '--no-fund', rig.path(tarball!)], { cwd: folder, env });
    const installed = path.join(folder, 'node_modules/stk');
    expect(await readdir(installed)).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'CHANGELOG.md', 'docs']));
    expect(await readdir(path.join(installed, 'dist'))).toContain('third-party-notices.txt');
    const { stdout: manual } = await execa('grep', ['-rl', '^.SH', path.join(installed, 'dist/man')]);
    expect(manual.split('\n').length).toBeGreaterThan(30);

    await cp(path.join(REPOSITORY, 'stacker.yaml'), path.join(folder, 'stacker.yaml'));
    const { node } = inject('stk');
    const { stdout } = await execa(node, ['node_modules/.bin/stk', 'build'], { cwd: folder });
    expect(stdout).toMatch(/^demo sha256:[0-9a-f]{64}$/);
  });
});
