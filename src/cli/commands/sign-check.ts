import { readFile } from 'node:fs/promises';
import { AsyncScope } from '../../core/async-scope.ts';
import { StkError } from '../../core/errors.ts';
import { absPath } from '../../core/paths.ts';
import { parseReference, type Reference } from '../../oci/reference.ts';
import { parseVerifyKey } from '../../publish/signing-key.ts';
import { checkPolicy, parsePolicy } from '../../publish/signature-policy.ts';
import { isRepositoryIdentity, verifySignature } from '../../publish/verify-signature.ts';
import type { Session } from '../session.ts';
import { openSource } from './publish-stores.ts';

/** Flags that demand a signature. */
export interface SignatureFlags {
  /** Files with public keys; a signature by one of them is enough. */
  readonly key: readonly string[];
  /** A policy file of containers-policy.json(5). */
  readonly policy?: string;
  /** What the signature must call the image. */
  readonly identity?: string;
  readonly tlsVerify: boolean;
}

/**
 * `stk verify REF --key P`, `--policy F`: prints by which key and under which name the image is signed. Throws
 * `integrity` where it is not.
 */
export async function runSignatureCheck(session: Session, ref: string, flags: SignatureFlags): Promise<void> {
  const scope = new AsyncScope();
  try {
    const { store, reference, name } = await openSource(session, ref, flags.tlsVerify, scope);
    if (reference === undefined) throw new StkError('usage', `${name} names no image`, { hint: 'write oci:DIR:TAG' });
    const { signal } = session;
    // Read rather than asked for: what a registry says of a tag is a claim.
    const { descriptor } = await store.readManifest(reference, { signal });
    const image = imageReference(session, ref);
    if (flags.policy !== undefined) {
      const policy = await parsePolicy(await readText(session, flags.policy), flags.policy, file =>
        readText(session, file),
      );
      await checkPolicy(store, descriptor.digest, image, policy, signal);
      session.stdout.write(`${ref} meets the policy\n  digest ${descriptor.digest}\n`);
    }
    if (flags.key.length === 0) return;
    const keys = await Promise.all(flags.key.map(async file => parseVerifyKey(await readText(session, file))));
    const acceptsIdentity = (identity: string) => isWanted(identity, flags.identity, image);
    for (const found of await verifySignature(store, descriptor.digest, { keys, acceptsIdentity, signal })) {
      session.stdout.write(`${ref} is signed as ${found.identity}\n  key ${found.key}\n  digest ${found.digest}\n`);
    }
  } finally {
    await scope[Symbol.asyncDispose]();
  }
}

/** An image of a layout may have come from anywhere: what it was signed as is shown, and compared only if asked to. */
function isWanted(identity: string, wanted: string | undefined, image: Reference): boolean {
  if (wanted !== undefined) return identity === wanted || isRepositoryIdentity(identity, wanted);
  return image.kind === 'oci' || isRepositoryIdentity(identity, `${image.host}/${image.repository}`);
}

function imageReference(session: Session, ref: string): Reference {
  if (ref.startsWith('docker://')) return parseReference(ref);
  const parsed = ref.startsWith('oci:') ? parseReference(ref) : undefined;
  if (parsed?.kind === 'oci') return { ...parsed, directory: absPath(parsed.directory, session.workingDirectory) };
  return { kind: 'oci', directory: session.global.ociDir, tag: ref };
}

async function readText(session: Session, name: string): Promise<string> {
  const file = absPath(name, session.workingDirectory);
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw new StkError('not-found', `cannot read ${file}`, { cause, facts: { path: file } });
  });
}
