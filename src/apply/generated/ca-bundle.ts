import { mergeSets } from '../text/three-way.ts';

/** Certificates and revocation lists alone: a file with keys in it is nobody's bundle. */
const LABELS = new Set(['CERTIFICATE', 'TRUSTED CERTIFICATE', 'X509 CERTIFICATE', 'X509 CRL']);

interface PemBundle {
  /** Blocks with the text that stands before each, by label and content. */
  readonly blocks: ReadonlyMap<string, string>;
  /** Text behind the last block. */
  readonly tail: string;
}

/** Reads concatenated PEM (RFC 7468) as byte string; says what is wrong where it is damaged or holds anything else. */
export function parsePemBundle(text: string): PemBundle | { readonly problem: string } {
  const blocks = new Map<string, string>();
  const pattern = /-----BEGIN ([A-Z0-9 ]{1,64})-----\r?\n([A-Za-z0-9+/=\s]*)-----END \1-----[ \t]*\r?\n?/y;
  let from = 0;
  for (let begin = text.indexOf('-----BEGIN '); begin >= 0; begin = text.indexOf('-----BEGIN ', from)) {
    pattern.lastIndex = begin;
    const match = pattern.exec(text);
    if (!match) return { problem: 'a certificate is cut off or damaged' };
    if (!LABELS.has(match[1]!)) return { problem: `it holds a ${match[1]!.toLowerCase()}` };
    const block = text.slice(from, pattern.lastIndex);
    const key = `${match[1]} ${match[2]!.replace(/\s+/g, '')}`;
    if (!blocks.has(key)) blocks.set(key, block.endsWith('\n') ? block : `${block}\n`);
    from = pattern.lastIndex;
  }
  return { blocks, tail: text.slice(from) };
}

/** Bundles as sets of certificates, in the ancestor's order, then what sides added; text before one goes with it. */
export function mergePemBundles(ancestor: PemBundle, sides: readonly PemBundle[]): string {
  const keys = mergeSets(
    [...ancestor.blocks.keys()],
    sides.map(({ blocks }) => [...blocks.keys()]),
  );
  const sources = [ancestor, ...sides];
  const texts = keys.map(key => sources.find(({ blocks }) => blocks.has(key))!.blocks.get(key)!);
  return texts.join('') + ancestor.tail;
}
