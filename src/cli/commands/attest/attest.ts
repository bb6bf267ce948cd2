import { AsyncScope } from '../../../core/async-scope.ts';
import { StkError } from '../../../core/errors.ts';
import { absPath } from '../../../core/paths.ts';
import { hostPlatform } from '../../../oci/platform.ts';
import { resolveImage } from '../../../oci/resolve-image.ts';
import { attachDocument, statementDocument } from '../../../signing/attach.ts';
import { imageReference } from '../../../stores/find-image.ts';
import type { Session } from '../../session.ts';
import type { ImageFlags } from '../images/image-flags.ts';
import { imageName } from '../images/image-names.ts';
import { openKey } from '../publish/sign.ts';
import { wantedType } from './attestations.ts';
import { attachSbom, creationTime, subjectName } from './attach-documents.ts';

export interface AttestFlags extends ImageFlags {
  readonly sbom?: 'cyclonedx' | 'spdx';
  readonly predicate?: string;
  readonly type?: string;
  readonly key?: string;
}

/** `stk attest REF`: prints the digest of each artifact that now refers to the image. */
export async function runAttest(session: Session, ref: string, flags: AttestFlags): Promise<number> {
  const { sbom, predicate, type } = flags;
  if ((sbom === undefined) === (predicate === undefined)) {
    throw new StkError('usage', 'attest needs either --sbom or --predicate', {
      hint: 'stk attest IMAGE --sbom cyclonedx, or --predicate FILE --type TYPE',
    });
  }
  if (predicate !== undefined && type === undefined) {
    throw new StkError('usage', '--predicate needs --type', { hint: 'such as --type slsaprovenance1, or a URI' });
  }
  const predicateType = type === undefined ? undefined : wantedType(type);
  const content = predicate === undefined ? undefined : await readPredicate(session, predicate);
  const key = flags.key === undefined ? undefined : await openKey(session, flags.key);
  await using scope = new AsyncScope();
  const name = imageName(ref, flags);
  const opened = await session.stores.openForChange(name, flags, scope);
  const { store } = opened;
  const call = { signal: session.signal };
  const exact = name.platform !== undefined;
  const image = await resolveImage(store, imageReference(opened), name.platform ?? hostPlatform(), { ...call, exact });
  if (sbom !== undefined) {
    const attached = await attachSbom(session, { ...image, store, name: opened.name }, { format: sbom, key });
    for (const { digest } of attached) session.stdout.write(`${digest}\n`);
    return 0;
  }
  const subjects = [{ name: subjectName(opened.name), digest: image.descriptor.digest }];
  const statement = { predicateType: predicateType!, subjects, predicate: content };
  const document = statementDocument(statement, creationTime(session), key);
  const { digest } = await attachDocument(store, image.descriptor, document, call);
  session.stdout.write(`${digest}\n`);
  return 0;
}

const MAX_PREDICATE_BYTES = 30 * 1024 * 1024;

async function readPredicate(session: Session, name: string): Promise<unknown> {
  const file = name === '-' ? absPath('/dev/stdin', '/') : absPath(name, session.workingDirectory);
  const bytes = await session.given.read(file).catch((cause: unknown) => {
    throw new StkError('not-found', `cannot read ${name}`, { cause, facts: { path: file } });
  });
  if (bytes.byteLength > MAX_PREDICATE_BYTES) {
    throw new StkError('invalid-input', `${name} is larger than ${MAX_PREDICATE_BYTES} bytes`);
  }
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch (cause) {
    throw new StkError('invalid-input', `${name} is no JSON`, { cause });
  }
}
