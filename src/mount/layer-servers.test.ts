import { expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import type { AbsPath } from '../core/paths.ts';
import { findDeadServers } from './layer-servers.ts';
import type { MountRecord } from './mount-record.ts';
import type { MountState } from './state-directory.ts';

it('asks the servers of layers that are wanted, and of no others', async () => {
  const directory = '/nowhere' as AbsPath;
  const state: MountState = {
    directory,
    records: directory,
    layers: directory,
    images: directory,
    served: directory,
    servers: directory,
  };
  const [mine, foreign] = [digestOf('mine'), digestOf('foreign')];
  const of = (digest: typeof mine, served: string) =>
    ({ layers: [{ digest, key: served, served }] }) as unknown as MountRecord;
  const records = [of(mine, 'one'), of(foreign, 'two')];
  // Neither is mounted.
  expect([...(await findDeadServers(state, { records, layers: new Set([mine]) }))]).toEqual(['one']);
});
