import type { KeyObject } from 'node:crypto';
import type { Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import { hasBundle, readSignatures } from './signature-image.ts';
import { keyFingerprint } from './signing-key.ts';
import { isSignedBy, parsePayload, type SignedClaim } from './simple-signing.ts';

export interface VerifyRequest {
  /** Public keys from `parseVerifyKey`; one that signed is enough. */
  readonly keys: readonly KeyObject[];
  /** Whether a signature under this name counts; by default any does. */
  readonly acceptsIdentity?: (identity: string) => boolean;
  /** Find every good signature; by default the first one is enough, and nothing is read after it. */
  readonly all?: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface VerifiedSignature extends SignedClaim {
  /** See `keyFingerprint`. */
  readonly key: string;
}

/**
 * A signature of a manifest that one of the keys made over its digest, under a name that counts, or with `all` each of
 * them. Throws `integrity` if there is none, saying what was wrong with those that were found.
 */
export async function verifySignature(
  store: BlobStore,
  digest: Digest,
  request: VerifyRequest,
): Promise<readonly VerifiedSignature[]> {
  const { keys, acceptsIdentity = () => true, all = false, signal } = request;
  const call = signal ? { signal } : {};
  let stored = 0;
  const good: VerifiedSignature[] = [];
  const refused = new Set<string>();
  for await (const { payload, signature } of readSignatures(store, digest, call)) {
    stored++;
    const key = keys.find(candidate => isSignedBy(payload, signature, candidate));
    const claim = key && parsePayload(payload);
    if (!key) refused.add('one is by another key, or was changed');
    else if (!claim) refused.add('one has a payload that cannot be used');
    else if (claim.digest !== digest) refused.add(`one is for ${claim.digest}`);
    else if (!acceptsIdentity(claim.identity)) refused.add(`one is for an image called ${claim.identity}`);
    else good.push({ ...claim, key: keyFingerprint(key) });
    if (good.length > 0 && !all) break;
  }
  if (good.length > 0) return good;
  const isBundled = stored === 0 && (await hasBundle(store, digest, call));
  if (isBundled) refused.add('it has a sigstore bundle, which does not say what the image is called');
  else if (stored === 0) refused.add('it has no signature');
  const why = [...refused].slice(0, 5).join('; ');
  throw new StkError('integrity', `${store.name}: ${digest} is not signed as required: ${why}`, {
    hint: isBundled
      ? 'sign it with stk sign, or with cosign sign --new-bundle-format=false'
      : 'check that the key belongs to whoever signs this image; do not run the image',
    facts: { digest, signatures: stored },
  });
}

/**
 * Whether a signed name means a repository, as the policy `matchRepository` of containers-policy.json(5) has it: tags and
 * digests in the signed name are ignored.
 * @param repository `host/path`, as in references; Docker Hub's other names count as `docker.io`
 */
export function isRepositoryIdentity(identity: string, repository: string): boolean {
  const [name = ''] = identity.split('@');
  const colon = name.lastIndexOf(':');
  const bare = colon > name.lastIndexOf('/') ? name.slice(0, colon) : name;
  return bare.replace(/^(index|registry-1)\.docker\.io\//, 'docker.io/') === repository;
}
