import { canonicalJson, type JsonValue } from '../core/canonical-json.ts';
import { isDigest, type Digest } from '../core/digest.ts';

/** Payload of attestations (in-toto attestation framework, "Statement", version 1). */
export interface Statement {
  readonly predicateType: string;
  /** Digests that it speaks of. */
  readonly subjects: readonly { readonly name: string; readonly digest: Digest }[];
  readonly predicate: unknown;
}

export const STATEMENT_MEDIA_TYPE = 'application/vnd.in-toto+json';
const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
/** What older tools write; the members are the same. */
const OLD_STATEMENT_TYPE = 'https://in-toto.io/Statement/v0.1';

/** Types of predicates by the names that cosign has for them. */
export const PREDICATE_TYPES = {
  cyclonedx: 'https://cyclonedx.org/bom',
  spdxjson: 'https://spdx.dev/Document',
  slsaprovenance1: 'https://slsa.dev/provenance/v1',
  slsaprovenance: 'https://slsa.dev/provenance/v0.2',
  openvex: 'https://openvex.dev/ns',
  vuln: 'https://cosign.sigstore.dev/attestation/vuln/v1',
} as const;

/** What a type is called in an attestation: one of cosign's names, or the URI itself. `undefined` for what is neither. */
export function predicateType(text: string): string | undefined {
  if (Object.hasOwn(PREDICATE_TYPES, text)) return PREDICATE_TYPES[text as keyof typeof PREDICATE_TYPES];
  return /^[a-z][a-z0-9+.-]*:\S+$/i.test(text) ? text : undefined;
}

/** Whether a type is the one that is wanted, in whatever version where none is named. */
export function isPredicateType(type: string, wanted: string): boolean {
  return type === wanted || (type.startsWith(wanted) && /^\/v\d[\w.]*$/.test(type.slice(wanted.length)));
}

/** In one form, whatever order members come in. Throws for what is no JSON. */
export function formatStatement({ predicateType: type, subjects, predicate }: Statement): Buffer {
  const subject = subjects.map(({ name, digest }) => ({ name, digest: { sha256: digest.slice('sha256:'.length) } }));
  const statement = { _type: STATEMENT_TYPE, subject, predicateType: type, predicate: predicate as JsonValue };
  return Buffer.from(canonicalJson(statement));
}

/** Reads a statement; `undefined` for what is none. Only to be believed where its signature was verified. */
export function parseStatement(bytes: Uint8Array): Statement | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { _type: kind, subject, predicateType: type, predicate } = value as Record<string, unknown>;
  if ((kind !== STATEMENT_TYPE && kind !== OLD_STATEMENT_TYPE) || typeof type !== 'string') return undefined;
  if (!Array.isArray(subject)) return undefined;
  const subjects = (subject as readonly unknown[]).flatMap(item => {
    if (typeof item !== 'object' || item === null) return [];
    const { name = '', digest } = item as { readonly name?: unknown; readonly digest?: { readonly sha256?: unknown } };
    const stated = `sha256:${String(digest?.sha256)}`;
    return isDigest(stated) ? [{ name: String(name), digest: stated }] : [];
  });
  return { predicateType: type, subjects, predicate };
}
