import type { Command } from 'commander';
import type { Digest } from '../../../core/digest.ts';
import { StkError } from '../../../core/errors.ts';
import type { BlobStore } from '../../../oci/blob-store.ts';
import type { OpenedName } from '../../../stores/image-stores.ts';
import type { Session } from '../../session.ts';
import type { CheckedImage } from './signature-demand.ts';
import type { SignatureFlags } from './signature-flags.ts';
import { collect } from '../../repeatable.ts';

export type { SignatureFlags } from './signature-flags.ts';

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
  const { openSignatureDemand, signableName } = await import('./signature-demand.ts');
  const demand = await openSignatureDemand(session, flags);
  return demand.check(image.store, image.reference, signableName(image.name));
}

/** The digest that `checkSignature` tells. */
export async function requireSignature(
  session: Session,
  image: DemandedImage,
  flags: SignatureFlags,
): Promise<Digest | undefined> {
  return (await checkSignature(session, image, flags))?.digest;
}
