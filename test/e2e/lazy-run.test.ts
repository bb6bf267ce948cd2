import { readdir, rm, stat } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { FakeRegistry } from '../rig/fake-registry.ts';
import { requires } from '../rig/gates.ts';
import { onShell } from '../rig/shell-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import type { Actor } from '../rig/users.ts';

requires('root', 'user', 'userns', 'overlay', 'fuse', 'tool:busybox', 'tool:squashfuse_ll');

const GET_BLOB = /^GET .*\/blobs\/sha256:/;

interface App extends AsyncDisposable {
  readonly rig: StkRig;
  readonly registry: FakeRegistry;
  readonly name: string;
}

/** A shell and some megabytes that nobody needs, in a registry and nowhere else. */
async function openApp(actor: Actor): Promise<App> {
  const rig = await StkRig.open({ as: actor });
  const registry = await FakeRegistry.start();
  const run = 'dd if=/dev/urandom of=/unread bs=1M count=4; dd if=/dev/urandom of=/read bs=1M count=1';
  await rig.write('stacker.yaml', onShell({ environment: { PATH: '/bin' }, run }));
  await rig.ok(['build']);
  const name = `docker://${registry.host}/team/app:1`;
  await rig.ok(['publish', 'app', name]);
  await rm(rig.path('oci'), { recursive: true });
  registry.requests.length = 0;
  return {
    rig,
    registry,
    name,
    async [Symbol.asyncDispose]() {
      await registry[Symbol.asyncDispose]();
      await rig[Symbol.asyncDispose]();
    },
  };
}

describe.each<Actor>(['root', 'user'])('stk run of an image in a registry as %s', actor => {
  it('starts by what it reads, and faster by a trace', async () => {
    await using app = await openApp(actor);
    const { rig, registry, name } = app;
    const command = ['sha256sum', '/read'];
    const first = await rig.ok(['run', '--network', 'none', name, ...command]);
    expect(first).toMatch(/^[0-9a-f]{64} {2}\/read\n$/);
    const optimized = await rig.ok(['optimize', '--name', 'sum', name, '--', ...command]);
    expect(optimized).toContain('trace sum of');
    expect((await rig.stk(['run', '--prefetch', 'nope', name, ...command])).exitCode).toBe(125);
    await rm(rig.path('home/.cache'), { recursive: true });
    registry.requests.length = 0;
    expect(await rig.ok(['run', '--prefetch', 'sum', name, ...command])).toBe(first);
    expect(registry.count(/^GET .*\/referrers\//)).toBe(1);
    expect(registry.count(GET_BLOB)).toBeLessThan(40);
  });
});

it('fetches the rest in the background, and mounts the whole file then', async () => {
  await using app = await openApp('root');
  const { rig, registry, name } = app;
  await rig.ok(['mount', '--complete', name, 'far']);
  const blobs = rig.path('home/.cache/stk/lazy/layout/blobs/sha256');
  const large = async () => {
    const sizes = await Promise.all((await readdir(blobs)).map(async file => (await stat(`${blobs}/${file}`)).size));
    return sizes.some(size => size > 4_000_000);
  };
  await expect.poll(large, { timeout: 60_000 }).toBe(true);
  await rig.ok(['umount', 'far']);
  registry.requests.length = 0;
  expect(await rig.ok(['mount', name, 'far'])).not.toContain('2 fetched');
  await rig.ok(['umount', 'far']);
});
