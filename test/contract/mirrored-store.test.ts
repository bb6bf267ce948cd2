import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { AsyncScope } from '../../src/core/async-scope.ts';
import { digestOf } from '../../src/core/digest.ts';
import { HttpClient } from '../../src/host/http.ts';
import { parseRegistryReference } from '../../src/oci/reference.ts';
import { MirroredStore } from '../../src/registry/mirrored-store.ts';
import { RegistryStore } from '../../src/registry/registry-store.ts';
import { FakeRegistry, fakeBlob } from '../rig/fake-registry.ts';
import { blobStoreContract } from './blob-store.contract.ts';

function open(scope: AsyncScope, fake: FakeRegistry): RegistryStore {
  const { host, repository } = parseRegistryReference(`docker://${fake.host}/some/image`);
  return new RegistryStore({ client: scope.use(new HttpClient({ delay: async () => {} })), host, repository });
}

blobStoreContract('a repository with a mirror that has nothing', async () => {
  const scope = new AsyncScope();
  const mirror = open(scope, scope.use(await FakeRegistry.start()));
  const primary = open(scope, scope.use(await FakeRegistry.start()));
  const sources = [
    { store: mirror, pull: 'all' as const },
    { store: primary, pull: 'all' as const },
  ];
  const store = new MirroredStore(primary, sources);
  return { store, [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose]() };
});

describe('reading through a mirror', () => {
  it.each<['drop' | 'wrong-bytes' | 'status']>([['drop'], ['wrong-bytes'], ['status']])(
    'goes on at the registry after %s',
    async kind => {
      await using scope = new AsyncScope();
      const [mirror, primary] = [scope.use(await FakeRegistry.start()), scope.use(await FakeRegistry.start())];
      const bytes = randomBytes(1_000_000);
      const blob = fakeBlob(mirror, 'some/image', bytes);
      fakeBlob(primary, 'some/image', bytes);
      const failure = { drop: { kind, afterBytes: 10_000 }, 'wrong-bytes': { kind }, status: { kind, status: 500 } }[
        kind
      ];
      mirror.failNext({ match: /GET .*blobs/, with: failure as never, times: 100 });
      const passed: string[] = [];
      const store = new MirroredStore(
        open(scope, primary),
        [
          { store: open(scope, mirror), pull: 'all' },
          { store: open(scope, primary), pull: 'all' },
        ],
        text => passed.push(text),
      );
      const read = async () => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of store.readBlob(blob)) chunks.push(chunk);
        return digestOf(Buffer.concat(chunks));
      };
      // Bytes that were handed on before they turned out to be wrong cannot be taken back.
      if (kind === 'wrong-bytes') await expect(read()).rejects.toMatchObject({ code: 'integrity' });
      else expect(await read()).toBe(blob.digest);
      expect(passed).toHaveLength(1);
    },
  );

  it('asks a mirror only for what it is meant for', async () => {
    await using scope = new AsyncScope();
    const [mirror, primary] = [scope.use(await FakeRegistry.start()), scope.use(await FakeRegistry.start())];
    const store = new MirroredStore(open(scope, primary), [
      { store: open(scope, mirror), pull: 'digest-only' },
      { store: open(scope, primary), pull: 'all' },
    ]);
    await expect(store.readManifest('v1')).rejects.toMatchObject({ code: 'not-found' });
    expect(mirror.count(/manifests/)).toBe(0);
    await expect(store.readManifest(digestOf('x'))).rejects.toMatchObject({ code: 'not-found' });
    expect(mirror.count(/manifests/)).toBe(1);
  });
});
