import type { Digest } from '../core/digest.ts';

/** Kinds that cosign keeps under a tag made of the image's digest. */
export const COSIGN_SUFFIXES = ['sig', 'att', 'sbom'] as const;
/** `<algorithm>-<hex>`, alone or with cosign's suffix (distribution-spec, "Referrers Tag Schema"). */
const ATTACHMENT_TAG = /^sha256-[0-9a-f]{64}(?:\.[a-z]+)?$/;

/** The tag under which cosign keeps what belongs to a digest. */
export function attachmentTag(digest: Digest, kind: (typeof COSIGN_SUFFIXES)[number]): string {
  return `${digest.replace(':', '-')}.${kind}`;
}

/** Whether a tag is one under which tools keep what belongs to a digest: cosign's, and those for lists of referrers. */
export function isAttachmentTag(tag: string): boolean {
  return ATTACHMENT_TAG.test(tag);
}
