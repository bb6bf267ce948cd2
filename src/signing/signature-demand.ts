import type { Digest } from '../../../core/digest.ts';
import { StkError } from '../../../core/errors.ts';
import { absPath } from '../../../core/paths.ts';
import type { BlobStore } from '../../../oci/blob-store.ts';
import { formatImageName, type StoredName } from '../../../oci/image-name.ts';
import { checkPolicy, parsePolicy } from '../../../signing/signature-policy.ts';
import { parseVerifyKey } from '../../../signing/signing-key.ts';
import { isRepositoryIdentity, verifySignature, type VerifiedSignature } from '../../../signing/verify-signature.ts';
import type { OpenedName } from '../../../stores/image-stores.ts';
import type { Session } from '../../session.ts';
import type { SignatureFlags } from './signature-flags.ts';

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
export async function openSignatureDemand(session: Session, flags: SignatureFlags): Promise<SignatureDemand> {
  const { signal } = session;
  const keys = await Promise.all((flags.key ?? []).map(async file => parseVerifyKey(await readText(session, file))));
  const read = (file: string) => readText(session, file);
  const policy =
    flags.policy === undefined ? undefined : await parsePolicy(await read(flags.policy), flags.policy, read);
  return {
    async check(store, reference, name, all = false) {
      // Read rather than asked for: what a registry says of a tag is a claim.
      const { digest } = (await store.readManifest(reference, { signal })).descriptor;
      const acceptsIdentity = (identity: string) => isWanted(identity, flags.identity, name);
      const signatures: VerifiedSignature[] = [];
      if (policy) signatures.push(...(await checkPolicy({ store, digest, reference: name }, policy, signal)));
      if (keys.length > 0) {
        signatures.push(...(await verifySignature(store, digest, { keys, acceptsIdentity, all, signal })));
      }
      if (policy && flags.identity !== undefined && !signatures.some(({ identity }) => acceptsIdentity(identity))) {
        throw notSigned(name, digest, `no signature that the policy demands calls it ${flags.identity}`);
      }
      if (flags.requireSignature === true && signatures.length === 0) {
        throw notSigned(name, digest, 'the policy lets it pass without a signature, --require-signature does not');
      }
      return { digest, signatures };
    },
  };
}

/** What an image is called that was opened. Throws `unsupported` for archives, which keep no signatures. */
export function signableName(name: OpenedName['name']): StoredName {
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

async function readText(session: Session, name: string): Promise<string> {
  const file = absPath(name, session.workingDirectory);
  const bytes = await session.given.read(file).catch((cause: unknown) => {
    throw new StkError('not-found', `cannot read ${file}`, { cause, facts: { path: file } });
  });
  return bytes.toString('utf8');
}
