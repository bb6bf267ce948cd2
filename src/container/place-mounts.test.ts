import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import type { AbsPath } from '../core/paths.ts';
import { LowerView } from '../sandbox/lower-view.ts';
import { placeMounts, type MountsToPlace } from './place-mounts.ts';

interface Scene {
  readonly root: string;
  /** A directory and a file of the host. */
  readonly shown: AbsPath;
  readonly file: AbsPath;
  readonly place: (asked: Partial<MountsToPlace>) => ReturnType<typeof placeMounts>;
}

async function withImage(check: (scene: Scene) => Promise<void>): Promise<void> {
  const scratch = await mkdtemp(path.join(os.tmpdir(), 'stk-places-'));
  try {
    const [root, shown, directory] = ['root', 'shown', 'run'].map(name => path.join(scratch, name) as AbsPath);
    for (const name of ['proc', 'dev', 'sys', 'run', 'var', 'data/sub', 'd']) {
      await mkdir(path.join(root!, name), { recursive: true });
    }
    await mkdir(path.join(shown!, 'sub'), { recursive: true });
    await mkdir(directory!);
    await symlink('/run', path.join(root!, 'var/run'));
    for (const [name, to] of [
      ['top', '/'],
      ['tools', '/dev/.stk'],
      ['up', '../proc/x'],
    ] as const) {
      await symlink(to, path.join(root!, name));
    }
    await writeFile(path.join(root!, 'data/sample'), 'sample');
    const file = path.join(scratch, 'file') as AbsPath;
    await writeFile(file, '');
    await using view = await LowerView.open([root!], path.join(scratch, 'view') as AbsPath);
    await check({
      root: root!,
      shown: shown!,
      file,
      place: asked => placeMounts({ view, directory: directory!, mounts: [], tmpfs: [], volumes: [], ...asked }),
    });
  } finally {
    await rm(scratch, { recursive: true });
  }
}

it('lays outer mounts before inner ones, whatever they are', () =>
  withImage(async ({ shown, file, place }) => {
    const at = (target: string, source = shown) => ({ source, target, readOnly: false });
    const placed = await place({
      volumes: ['/data'],
      tmpfs: ['/data/sub/memory', '/var/run'],
      mounts: [at('/data/sub'), at('/d/x', file), at('/d')],
    });
    expect(placed.map(({ type, target }) => `${type} ${target}`)).toEqual([
      'bind /data',
      'tmpfs /run',
      'bind /d',
      'bind /data/sub',
      'bind /d/x',
      'tmpfs /data/sub/memory',
    ]);
    const [volume] = placed;
    const source = volume?.type === 'bind' ? volume.source : '';
    expect(await readFile(path.join(source, 'sample'), 'utf8')).toBe('sample');
  }));

it('lets a volume give way to what is asked for in its place', () =>
  withImage(async ({ place }) => {
    const volumes = ['/run', '/var/run'];
    expect(await place({ volumes })).toHaveLength(1);
    expect(await place({ volumes, tmpfs: ['/var/run'] })).toEqual([{ type: 'tmpfs', target: '/run', shared: true }]);
  }));

it.each(['/top', '/tools', '/tools/x', '/proc', '/dev/x', '/sys/x', '/up'])(
  'refuses %s, where the sandbox is',
  target =>
    withImage(async ({ root, shown, file, place }) => {
      const refused = { code: 'unsupported' };
      await expect(place({ volumes: [target] })).rejects.toMatchObject(refused);
      await expect(place({ tmpfs: [target] })).rejects.toMatchObject(refused);
      for (const source of [shown, file]) {
        await expect(place({ mounts: [{ source, target, readOnly: true }] })).rejects.toMatchObject(refused);
      }
      expect(await readdir(path.join(root, 'dev'))).toEqual([]);
    }),
);

it.each(['proc', 'dev', 'sys'])('refuses an image whose /%s is a link', name =>
  withImage(async ({ root, place }) => {
    await rm(path.join(root, name), { recursive: true });
    await symlink('/run', path.join(root, name));
    await expect(place({})).rejects.toMatchObject({ code: 'unsupported' });
  }),
);

it('takes shared memory as the sandbox has it', () =>
  withImage(async ({ root, shown, file, place }) => {
    await symlink('/run', path.join(root, 'dev/shm'));
    const mounts = [shown, file].map((source, index) => ({ source, target: `/dev/shm/${index}`, readOnly: false }));
    expect((await place({ mounts })).map(({ target }) => target)).toEqual(['/dev/shm/0', '/dev/shm/1']);
  }));

it('follows no link that another mount brings along', () =>
  withImage(async ({ shown, place }) => {
    await symlink('/etc', path.join(shown, 'link'));
    const inner = (target: string) => ({ source: shown, target, readOnly: false });
    const outer = inner('/d');
    await expect(place({ mounts: [outer, inner('/d/link/x')] })).rejects.toMatchObject({ code: 'unsupported' });
    expect(await place({ mounts: [outer, inner('/d/sub/x')] })).toHaveLength(2);
  }));

it('ends copying volumes with the signal', () =>
  withImage(async ({ place }) => {
    await expect(place({ volumes: ['/data'], signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'interrupted',
    });
  }));
