import { afterAll, beforeAll } from 'vitest';
import { AsyncScope } from '../../src/core/async-scope.ts';
import { HttpClient } from '../../src/host/http.ts';
import { MemoryStore } from '../../src/oci/memory-store.ts';
import { parseRegistryReference } from '../../src/oci/reference.ts';
import { RegistryStore } from '../../src/registry/registry-store.ts';
import { DockerRegistry } from '../rig/docker-registry.ts';
import { FakeRegistry, type FakeRegistryOptions } from '../rig/fake-registry.ts';
import { blobStoreContract, type StoreUnderTest } from './blob-store.contract.ts';

blobStoreContract('memory', async () => ({ store: new MemoryStore(), async [Symbol.asyncDispose]() {} }));

const LOGIN = { username: 'user', password: 'pass:word' };

const FAKES: readonly (readonly [string, FakeRegistryOptions])[] = [
  ['a registry without login', { writeBytes: 30_000 }],
  ['a registry with basic login and no referrers API', { auth: { kind: 'basic', ...LOGIN }, referrersApi: false }],
  [
    'a registry with tokens, redirects and signed upload locations',
    { auth: { kind: 'bearer', ...LOGIN }, redirectBlobs: true, locations: 'query', pageSize: 2 },
  ],
];

for (const [name, options] of FAKES) {
  blobStoreContract(name, async () => {
    const scope = new AsyncScope();
    const fake = scope.use(await FakeRegistry.start(options));
    return openStore(scope, fake.host, 'some/image');
  });
}

let real: DockerRegistry;
let count = 0;
beforeAll(async () => void (real = await DockerRegistry.start({ login: LOGIN })));
afterAll(() => real[Symbol.asyncDispose]());
blobStoreContract('docker-registry', () => openStore(new AsyncScope(), real.host, `image-${++count}`));
blobStoreContract('docker-registry in chunks', () =>
  openStore(new AsyncScope(), real.host, `image-${++count}`, 700_000),
);

async function openStore(scope: AsyncScope, host: string, path: string, chunkBytes?: number): Promise<StoreUnderTest> {
  const client = scope.use(new HttpClient({ delay: async () => {} }));
  const { host: registry, repository } = parseRegistryReference(`docker://${host}/${path}`);
  const store = new RegistryStore({
    client,
    host: registry,
    repository,
    credentials: { kind: 'password', ...LOGIN },
    ...(chunkBytes === undefined ? {} : { chunkBytes }),
  });
  return { store, [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose]() };
}
