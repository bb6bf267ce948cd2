import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AsyncScope } from '../../src/core/async-scope.ts';
import { HttpClient } from '../../src/host/http.ts';
import { parseRegistryReference } from '../../src/oci/reference.ts';
import { RegistryStore } from '../../src/registry/registry-store.ts';
import { DISCOVERY, MANAGEMENT } from '../contract/listing-rows.ts';
import { PULL } from '../contract/pull-rows.ts';
import { PUSH } from '../contract/push-rows.ts';
import { openPeer, put, type Peer, type PeerSettings, type Row } from '../contract/registry-peer.ts';
import { requires } from '../rig/gates.ts';

requires('registry');

const LOGIN = { username: 'user', password: 'pass:word' };

const PEERS: readonly (readonly [string, PeerSettings])[] = [
  ['docker-registry', {}],
  ['docker-registry over TLS with a login', { tls: true, login: LOGIN }],
  ['the fake registry with referrers', { fake: { pageSize: 2, redirectBlobs: true } }],
  ['the fake registry without referrers', { fake: { referrersApi: false, locations: 'relative' } }],
];

describe.each(PEERS)('%s', (_name, settings) => {
  const scope = new AsyncScope();
  let peer: Peer;
  let count = 0;
  beforeAll(async () => void (peer = await openPeer(settings, scope)));
  afterAll(() => scope[Symbol.asyncDispose]());

  const categories: [string, readonly Row[]][] = [
    ['pull', PULL],
    ['push', PUSH],
    ['content discovery', DISCOVERY],
  ];
  // The fake one deletes nothing.
  if (!settings.fake) categories.push(['content management', MANAGEMENT]);
  describe.each(categories)('%s', (_category, rows) => {
    it.each(rows.map(row => [row.section, row.expects, row.run] as const))('%s: %s', (_section, _expects, run) =>
      run(peer, `conformance/n${++count}`),
    );
  });

  if (!settings.login) return;
  it('Error Codes: a wrong login is unauthorized, whatever is asked for', async () => {
    const { host, repository } = parseRegistryReference(`docker://${peer.host}/conformance/locked`);
    await using client = new HttpClient({ delay: async () => {} });
    const credentials = { kind: 'password', username: 'user', password: 'wrong' } as const;
    const store = new RegistryStore({ client, host, repository, credentials, insecure: true });
    const requests: readonly (() => Promise<unknown>)[] = [
      () => store.ping(),
      () => store.tags(),
      () => store.readManifest('v1'),
      () => put(store, Buffer.from('x')),
    ];
    for (const ask of requests) {
      await expect(ask()).rejects.toMatchObject({ code: 'unauthorized' });
    }
  });
});
