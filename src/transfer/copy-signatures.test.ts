import { expect, it } from 'vitest';
import { makeKey } from '../../test/rig/sample-build.ts';
import { digestOf } from '../core/digest.ts';
import { MediaType } from '../oci/media-types.ts';
import { MemoryStore } from '../oci/memory-store.ts';
import { signImage } from '../signing/sign-image.ts';
import { parseSigningKey, parseVerifyKey } from '../signing/signing-key.ts';
import { verifySignature } from '../signing/verify-signature.ts';
import { copyImage } from './copy-image.ts';

const DIGEST = digestOf('an image');
const pair = makeKey('secret');

it('copies signatures under their tag alone and as referrers alone', async () => {
  const store = new MemoryStore();
  const key = await parseSigningKey(pair.privateKey, () => Promise.reject(new Error('asked')));
  await signImage(store, { mediaType: MediaType.manifest, digest: DIGEST, size: 8 }, { key, identity: 'host/repo' });
  const keys = [parseVerifyKey(pair.publicKey)];
  const tag = `${DIGEST.replace(':', '-')}.sig`;
  const [byTag, byReferrer] = [new MemoryStore(), new MemoryStore()];
  await copyImage({ store, reference: tag }, { store: byTag, tag });
  const [referrer] = await store.referrers(DIGEST);
  await copyImage({ store, reference: referrer!.digest }, { store: byReferrer });
  for (const part of [store, byTag, byReferrer]) {
    expect(await verifySignature(part, DIGEST, { keys })).toMatchObject([{ identity: 'host/repo', digest: DIGEST }]);
  }
});
