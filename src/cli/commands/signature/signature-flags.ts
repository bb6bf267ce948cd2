/** Flags that demand a signature, as `signatureOptions` adds them. */
export interface SignatureFlags {
  /** There must be a signature, whatever a policy would let pass. */
  readonly requireSignature?: boolean;
  /** Files with public keys; a signature by one of them is enough. */
  readonly key?: readonly string[];
  /** A policy file of containers-policy.json(5). */
  readonly policy?: string;
  /** What the signature must call the image. */
  readonly identity?: string;
}
