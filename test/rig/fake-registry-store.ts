import { randomBytes } from 'node:crypto';
import { AsyncScope } from '../../src/core/async-scope.ts';
import { digestOf } from '../../src/core/digest.ts';
import { HttpClient, type HttpClientOptions } from '../../src/host/http.ts';
import type { Descriptor } from '../../src/oci/descriptor.ts';
import { parseRegistryReference } from '../../src/oci/reference.ts';
import { RegistryStore, type RegistryStoreOptions } from '../../src/registry/registry-store.ts';
import { FakeRegistry, type FakeRegistryOptions } from './fake-registry.ts';

export const REPOSITORY = 'team/app';
export const LOGIN = { username: 'user', password: 'secret-word' };
/** Large enough for an upload in several requests. */
export const BYTES = randomBytes(2_000_000);

/** A store over a fake registry, with clocks that tests turn. */
export interface Rig extends AsyncDisposable {
  readonly fake: FakeRegistry;
  readonly store: RegistryStore;
  /** Pauses before retries, which take no time here. */
  readonly delays: number[];
  readonly clock: { nowMs: number };
}

export async function start(
  options: FakeRegistryOptions = {},
  storeOptions: Partial<RegistryStoreOptions> = {},
  clientOptions: HttpClientOptions = {},
): Promise<Rig> {
  const scope = new AsyncScope();
  const fake = scope.use(await FakeRegistry.start(options));
  const clock = { nowMs: 1_000_000 };
  const delays: number[] = [];
  const delay = async (delayMs: number) => void delays.push(delayMs);
  const client = scope.use(new HttpClient({ delay, now: () => clock.nowMs, ...clientOptions }));
  const { host, repository } = parseRegistryReference(`docker://${fake.host}/${REPOSITORY}`);
  const store = new RegistryStore({ client, host, repository, ...storeOptions });
  return { fake, store, delays, clock, [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose]() };
}

export const withLogin = { credentials: { kind: 'password', ...LOGIN } } as const;

export async function read(store: RegistryStore, descriptor: Descriptor): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.readBlob(descriptor)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A source that can be opened again. */
export function source(bytes: Uint8Array = BYTES): () => AsyncIterable<Uint8Array> {
  return async function* () {
    for (let at = 0; at < bytes.byteLength; at += 100_000) yield bytes.subarray(at, at + 100_000);
  };
}

export function descriptorOf(bytes: Uint8Array, mediaType = 'application/octet-stream'): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
}
