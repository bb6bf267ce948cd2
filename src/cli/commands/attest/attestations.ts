import { AsyncScope } from '../../../core/async-scope.ts';
import { formatBytes } from '../../../core/bytes.ts';
import { StkError } from '../../../core/errors.ts';
import { findDocuments, type FoundDocument } from '../../../signing/attestations.ts';
import { isPredicateType, predicateType } from '../../../signing/statement.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { OutputLines } from '../../ui/output-lines.ts';
import { printableLine } from '../../ui/printable-line.ts';
import type { ImageFlags } from '../images/image-flags.ts';
import { findNamed, imageName } from '../images/image-names.ts';

export interface AttestationsFlags extends ImageFlags {
  readonly type?: string;
  readonly content?: boolean;
  readonly json?: boolean;
}

/** `stk attestations REF`: a line for each document beside an image, or the documents. */
export async function runAttestations(session: Session, ref: string, flags: AttestationsFlags): Promise<number> {
  const wanted = flags.type === undefined ? undefined : wantedType(flags.type);
  const name = imageName(ref, flags);
  await using scope = new AsyncScope();
  const { store, descriptor } = await findNamed(session, name, { ...flags, held: false }, scope);
  const found = await findDocuments(store, descriptor.digest, { signal: session.signal });
  const lines = new OutputLines(session.stdout);
  for (const document of found) {
    if (wanted !== undefined && !isPredicateType(document.predicateType ?? '', wanted)) continue;
    if (flags.content) await lines.write(await contentOf(document));
    else await lines.write(flags.json ? jsonText(row(document)) : line(document));
  }
  await lines.flush();
  return 0;
}

/** The type that a flag means. Throws `usage` for what is none. */
export function wantedType(text: string): string {
  const type = predicateType(text);
  if (type !== undefined) return type;
  throw new StkError('usage', `${text} is no type of statements`, {
    hint: 'cyclonedx, spdxjson, slsaprovenance1, openvex, vuln, or a URI',
  });
}

async function contentOf(document: FoundDocument): Promise<string> {
  return (document.envelope?.payload ?? (await document.read())).toString('utf8').trimEnd();
}

function row({ artifact, layer, predicateType: type, envelope, statement, created }: FoundDocument) {
  return {
    digest: artifact,
    mediaType: layer.mediaType,
    predicateType: type,
    signatures: envelope?.signatures.length ?? 0,
    subjects: statement?.subjects,
    size: layer.size,
    created,
  };
}

function line({ artifact, layer, predicateType: type, envelope }: FoundDocument): string {
  const signed = envelope ? 'signed' : 'unsigned';
  return printableLine(`${artifact.slice(0, 19)} ${type ?? layer.mediaType} ${signed} ${formatBytes(layer.size)}`);
}
