import type { Command } from 'commander';
import type { Digest } from '../../../core/digest.ts';
import { StkError } from '../../../core/errors.ts';
import { absPath } from '../../../core/paths.ts';
import type { BlobStore } from '../../../oci/blob-store.ts';
import type { OpenedName } from '../../../stores/image-stores.ts';
import type { Session } from '../../session.ts';
import type { CheckedImage, SignatureDemand, SignatureWish } from '../../../signing/signature-demand.ts';
import { collect } from '../../repeatable.ts';

/** Flags that demand a signature, as `signatureOptions` adds them. */
export type SignatureFlags = SignatureWish;

/** An image that is about to be used. */
export interface DemandedImage {
  readonly name: OpenedName['name'];
  readonly store: BlobStore;
  /** What the store is asked for. */
  readonly reference: string;
}

/** Adds `--require-signature`, `--key`, `--policy` and `--identity`. */
export function signatureOptions(command: Command, what = 'the image'): Command {
  return command
    .option('--require-signature', `refuse ${what} unless it is signed as --key or --policy demand`)
    .option('--key <file>', 'public key that must have signed (repeatable: one is enough)', collect, [])
    .option('--policy <file>', 'demand what a policy says: containers-policy.json(5)')
    .option('--identity <name>', 'what the signature must call the image');
}

/**
 * Whether the flags demand anything: a key or a policy alone does, so that none is given in vain. Throws `usage` for flags
 * that could not be met.
 */
export function demandsSignature(flags: SignatureFlags): boolean {
  const { requireSignature = false, key = [], policy, identity } = flags;
  if (key.length > 0 || policy !== undefined) return true;
  if (!requireSignature && identity === undefined) return false;
  throw new StkError('usage', `${requireSignature ? '--require-signature' : '--identity'} needs a key or a policy`, {
    hint: 'add --key FILE, or --policy FILE',
  });
}

/**
 * Throws `integrity` unless the image is signed as the flags demand. Returns the digest of the manifest or index that was
 * checked: what is used must be read by it, since a tag may have moved; and the signatures that cover it, none where a
 * policy demands none. `undefined` where nothing is demanded.
 */
export async function checkSignature(
  session: Session,
  image: DemandedImage,
  flags: SignatureFlags,
): Promise<CheckedImage | undefined> {
  if (!demandsSignature(flags)) return undefined;
  const { signableName } = await import('../../../signing/signature-demand.ts');
  const demand = await openDemand(session, flags);
  return demand.check(image.store, image.reference, signableName(image.name));
}

/** Reads the keys and the policy that flags name. Throws as `openSignatureDemand` does, which is loaded here. */
export async function openDemand(session: Session, flags: SignatureFlags): Promise<SignatureDemand> {
  const { openSignatureDemand } = await import('../../../signing/signature-demand.ts');
  return openSignatureDemand(flags, { readText: file => readGivenText(session, file), signal: session.signal });
}

async function readGivenText({ given, workingDirectory }: Session, name: string): Promise<string> {
  const file = absPath(name, workingDirectory);
  const bytes = await given.read(file).catch((cause: unknown) => {
    throw new StkError('not-found', `cannot read ${file}`, { cause, facts: { path: file } });
  });
  return bytes.toString('utf8');
}

/** The digest that `checkSignature` tells. */
export async function requireSignature(
  session: Session,
  image: DemandedImage,
  flags: SignatureFlags,
): Promise<Digest | undefined> {
  return (await checkSignature(session, image, flags))?.digest;
}
