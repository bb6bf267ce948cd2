import { tmpdir } from 'node:os';
import { makeTempDir } from '../../src/host/temp-dir.ts';
import { LayoutStore } from '../../src/oci/layout.ts';
import { blobStoreContract } from './blob-store.contract.ts';

blobStoreContract('a layout directory', async () => {
  const directory = await makeTempDir(tmpdir(), 'stk-contract');
  const store = await LayoutStore.create(directory.path);
  return { store, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
});
