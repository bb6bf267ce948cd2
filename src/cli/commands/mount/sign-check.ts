import { AsyncScope } from '../../../core/async-scope.ts';
import type { Digest } from '../../../core/digest.ts';
import type { Session } from '../../session.ts';
import { printableLine } from '../../ui/printable-line.ts';
import { imageReference } from '../../../stores/find-image.ts';
import type { ImageName } from '../../../oci/image-name.ts';
import type { ImageFlags } from '../images/image-flags.ts';
import { signableName } from '../../../signing/signature-demand.ts';
import { openDemand, type SignatureFlags } from '../signature/require-signature.ts';

/**
 * `stk verify REF --key P`, `--policy F`: prints by which key and under which name the image is signed. Throws
 * `integrity` where it is not. Returns the digest that was checked.
 */
export async function runSignatureCheck(
  session: Session,
  name: ImageName,
  flags: SignatureFlags & ImageFlags,
): Promise<Digest> {
  const scope = new AsyncScope();
  try {
    const opened = await session.stores.open(name, flags, scope);
    const ref = opened.text;
    const demand = await openDemand(session, flags);
    const { digest, signatures } = await demand.check(
      opened.store,
      imageReference(opened),
      signableName(opened.name),
      true,
    );
    if (flags.policy !== undefined)
      session.stdout.write(`${printableLine(ref)} meets the policy\n  digest ${digest}\n`);
    for (const found of signatures) {
      session.stdout.write(
        `${printableLine(ref)} is signed as ${found.identity}\n  key ${found.key}\n  digest ${found.digest}\n`,
      );
    }
    return digest;
  } finally {
    await scope[Symbol.asyncDispose]();
  }
}
