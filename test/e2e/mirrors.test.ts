import { expect, it } from 'vitest';
import { attachmentTag } from '../../src/oci/attachment-tag.ts';
import type { Digest } from '../../src/core/digest.ts';
import { nextSsl, writeApp } from '../rig/applied-app.ts';
import { FakeRegistry } from '../rig/fake-registry.ts';
import { requires } from '../rig/gates.ts';
import { makeKey } from '../rig/sample-build.ts';
import { StkRig } from '../rig/stk-rig.ts';

requires('root', 'kernel-squashfs', 'tool:veritysetup', 'tool:mksquashfs');

/** A registry, and a mirror of it that registries.conf of another home names. */
async function openPair(rig: StkRig, registry: FakeRegistry, mirror: FakeRegistry): Promise<{ env: { HOME: string } }> {
  const rules = `[[registry]]\nlocation = "${registry.host}"\n[[registry.mirror]]\nlocation = "${mirror.host}"\n`;
  await rig.write('mirrored/.config/containers/registries.conf', rules);
  return { env: { HOME: rig.path('mirrored') } };
}

function digestOfTag(registry: FakeRegistry, repository: string, tag: string): Digest {
  return registry.state.manifest(repository, tag)!.digest;
}

it('updates what the registry has, not what a mirror still has', async () => {
  await using rig = await StkRig.open();
  await using registry = await FakeRegistry.start();
  await using mirror = await FakeRegistry.start();
  const options = await openPair(rig, registry, mirror);
  const { base } = await writeApp(rig);
  await writeApp(rig, 'newer', { base });
  await nextSsl(rig, base);
  await rig.ok(['publish', 'app', `docker://${mirror.host}/app:1`]);
  await rig.ok(['publish', 'newer', `docker://${registry.host}/app:1`]);
  await rig.ok(['publish', 'ssl', `docker://${registry.host}/ssl:2`]);
  const [stale, current] = [digestOfTag(mirror, 'app', '1'), digestOfTag(registry, 'app', '1')];
  expect(stale).not.toBe(current);
  mirror.requests.length = 0;
  const update = ['update', `docker://${registry.host}/app:1`, '--apply', `ssl=docker://${registry.host}/ssl:2`];
  const [outcome] = JSON.parse(await rig.ok([...update, '--json'], options)) as [{ from: string; to: string }];
  expect(outcome.from).toBe(current);
  expect(digestOfTag(registry, 'app', '1')).toBe(outcome.to);
  expect(mirror.count(/\/v2\/app\/manifests/)).toBe(0);
});

it('adds a signature to those that the registry has, not to those of a mirror', async () => {
  await using rig = await StkRig.open();
  await using registry = await FakeRegistry.start();
  await using mirror = await FakeRegistry.start();
  const options = await openPair(rig, registry, mirror);
  await writeApp(rig);
  for (const { host } of [registry, mirror]) await rig.ok(['publish', 'app', `docker://${host}/app:1`]);
  const digest = digestOfTag(registry, 'app', '1');
  for (const name of ['mine', 'theirs', 'old']) await rig.write(name, makeKey('').privateKey);
  const sign = (host: string, key: string) => ['sign', `docker://${host}/app:1`, '--key', key];
  await rig.ok(sign(mirror.host, 'old'));
  await rig.ok(sign(registry.host, 'theirs'));
  await rig.ok(sign(registry.host, 'mine'), options);
  const { bytes } = registry.state.manifest('app', attachmentTag(digest, 'sig'))!;
  expect((JSON.parse(bytes.toString()) as { layers: unknown[] }).layers).toHaveLength(2);
});

it('sends a blob again that the registry has lost, whatever a mirror has', async () => {
  await using rig = await StkRig.open();
  await using registry = await FakeRegistry.start();
  await using mirror = await FakeRegistry.start();
  const options = await openPair(rig, registry, mirror);
  await writeApp(rig);
  await rig.ok(['publish', 'app', `docker://${mirror.host}/app:1`]);
  const original = registry.state.putBlob.bind(registry.state);
  let lost: Digest | undefined;
  registry.state.putBlob = (repository, bytes) => {
    if (lost !== undefined) return original(repository, bytes);
    return (lost = original('elsewhere', bytes));
  };
  await rig.ok(['publish', 'app', `docker://${registry.host}/app:1`], options);
  expect(registry.state.blob('app', lost!)).toBeDefined();
});
