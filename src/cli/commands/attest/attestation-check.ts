import { AsyncScope } from '../../../core/async-scope.ts';
import { StkError } from '../../../core/errors.ts';
import { absPath } from '../../../core/paths.ts';
import type { ImageName } from '../../../oci/image-name.ts';
import { hasMembers } from '../../../signing/has-members.ts';
import { verifyAttestation } from '../../../signing/attestations.ts';
import { parseVerifyKey } from '../../../signing/signing-key.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { printableLine } from '../../ui/printable-line.ts';
import type { ImageFlags } from '../images/image-flags.ts';
import { findNamed } from '../images/image-names.ts';
import type { SignatureFlags } from '../signature/require-signature.ts';
import { wantedType } from './attestations.ts';

export interface AttestationCheckFlags extends SignatureFlags, ImageFlags {
  readonly attestation?: string;
  readonly predicateHas?: string;
  readonly json?: boolean;
}

/** `stk verify REF --attestation TYPE`: prints what was attested, and by which key. */
export async function runAttestationCheck(
  session: Session,
  name: ImageName,
  flags: AttestationCheckFlags,
): Promise<number> {
  const { attestation, key = [], predicateHas, policy, identity } = flags;
  if (attestation === undefined) {
    throw new StkError('usage', '--predicate-has needs --attestation', { hint: 'name the type: --attestation TYPE' });
  }
  if (key.length === 0 || policy !== undefined || identity !== undefined) {
    throw new StkError('usage', '--attestation needs --key, and takes neither --policy nor --identity', {
      hint: 'name the public key that must have signed: --key FILE',
    });
  }
  const type = wantedType(attestation);
  const keys = await Promise.all(key.map(async file => parseVerifyKey((await read(session, file)).toString('utf8'))));
  const members = predicateHas === undefined ? {} : parseMembers(await read(session, predicateHas), predicateHas);
  await using scope = new AsyncScope();
  const { store, descriptor } = await findNamed(session, name, { ...flags, held: false }, scope);
  const found = await verifyAttestation(store, descriptor.digest, { type, keys }, { signal: session.signal });
  const good = found.filter(({ statement }) => hasMembers(statement.predicate, members));
  if (good.length === 0) {
    throw new StkError('integrity', `${descriptor.digest}: no attestation ${type} says what ${predicateHas} demands`, {
      hint: 'stk attestations --content shows what they say',
    });
  }
  for (const { artifact, statement, key: signer } of good) {
    const row = { ok: true, digest: descriptor.digest, artifact, predicateType: statement.predicateType, key: signer };
    session.stdout.write(
      flags.json
        ? `${jsonText(row)}\n`
        : `${printableLine(`${descriptor.digest} has ${statement.predicateType} signed with key ${signer.slice(0, 12)}`)}\n`,
    );
  }
  return 0;
}

function parseMembers(bytes: Buffer, file: string): unknown {
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch (cause) {
    throw new StkError('invalid-input', `${file} is no JSON`, { cause });
  }
}

async function read(session: Session, name: string): Promise<Buffer> {
  const file = absPath(name, session.workingDirectory);
  return session.given.read(file).catch((cause: unknown) => {
    throw new StkError('not-found', `cannot read ${file}`, { cause, facts: { path: file } });
  });
}
