import type { Digest } from '../core/digest.ts';
import { StkError } from '../core/errors.ts';
import type { BlobStore } from '../oci/blob-store.ts';
import { formatImageName, type ArchiveName, type StoredName } from '../oci/image-name.ts';
import { checkPolicy, parsePolicy } from './signature-policy.ts';
import { parseVerifyKey } from './signing-key.ts';
import { isRepositoryIdentity, verifySignature, type VerifiedSignature } from './verify-signature.ts';

/** What somebody demands of an image's signatures. */
export interface SignatureWish {
  /** There must be a signature, whatever a policy would let pass. */
  readonly requireSignature?: boolean;
  /** Files with public keys; a signature by one of them is enough. */
  readonly key?: readonly string[];
  /** A policy file of containers-policy.json(5). */
  readonly policy?: string;
  /** What the signature must call the image. */
  readonly identity?: string;
}

export interface DemandPorts {
  /** Reads a file that the wish or its policy names. */
  readonly readText: (file: string) => Promise<string>;
  readonly signal: AbortSignal;
}

/** Keys and policy as they were when they were read, once. */
export interface SignatureDemand {
  /**
   * Throws `integrity` unless what the reference stands for now is signed as demanded: the manifest, or where the reference
   * names an index, the index, which names its manifests by digest.
   * @param name what the image is called, whatever mirror it comes from
   * @param all find every signature that counts, not only the first
   */
  check(store: BlobStore, reference: string, name: StoredName, all?: boolean): Promise<CheckedImage>;
}

export interface CheckedImage {
  /** Of the manifest or index that was checked. */
  readonly digest: Digest;
  /** Empty where a policy demands none. */
  readonly signatures: readonly VerifiedSignature[];
}

/** Reads keys and policy. Throws `not-found`, `invalid-input` or `unsupported` for what cannot be used. */
export async function openSignatureDemand(wish: SignatureWish, ports: DemandPorts): Promise<SignatureDemand> {
  const { readText, signal } = ports;
  const keys = await Promise.all((wish.key ?? []).map(async file => parseVerifyKey(await readText(file))));
  const policy =
    wish.policy === undefined ? undefined : await parsePolicy(await readText(wish.policy), wish.policy, readText);
  return {
    async check(store, reference, name, all = false) {
      // Read rather than asked for: what a registry says of a tag is a claim.
      const { digest } = (await store.readManifest(reference, { signal })).descriptor;
      const acceptsIdentity = (identity: string) => isWanted(identity, wish.identity, name);
      const signatures: VerifiedSignature[] = [];
      if (policy) signatures.push(...(await checkPolicy({ store, digest, reference: name }, policy, signal)));
      if (keys.length > 0) {
        signatures.push(...(await verifySignature(store, digest, { keys, acceptsIdentity, all, signal })));
      }
      if (policy && wish.identity !== undefined && !signatures.some(({ identity }) => acceptsIdentity(identity))) {
        throw notSigned(name, digest, `no signature that the policy demands calls it ${wish.identity}`);
      }
      if (wish.requireSignature === true && signatures.length === 0) {
        throw notSigned(name, digest, 'the policy lets it pass without a signature, --require-signature does not');
      }
      return { digest, signatures };
    },
  };
}

/** What an image is called that was opened. Throws `unsupported` for archives, which keep no signatures. */
export function signableName(name: StoredName | ArchiveName): StoredName {
  if (name.kind !== 'archive') return name;
  const text = formatImageName(name);
  throw new StkError('unsupported', `${text} is an archive: signatures are looked for in registries and layouts`, {
    hint: 'copy it to where its signature is, or leave the demand out',
  });
}

/** An image of a layout may have come from anywhere: what it was signed as is compared only if asked to. */
function isWanted(identity: string, wanted: string | undefined, image: StoredName): boolean {
  if (wanted !== undefined) return identity === wanted || isRepositoryIdentity(identity, wanted);
  return image.kind === 'oci' || isRepositoryIdentity(identity, `${image.host}/${image.repository}`);
}

function notSigned(name: StoredName, digest: Digest, why: string): StkError {
  return new StkError('integrity', `${formatImageName(name)} is not signed as required: ${why}`, { facts: { digest } });
}
