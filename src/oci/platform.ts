import os from 'node:os';
import { StkError } from '../core/errors.ts';
import type { Descriptor, Platform } from './descriptor.ts';

const ARCHITECTURES: ReadonlyMap<string, Platform> = new Map([
  ['x86_64', { os: '', architecture: 'amd64' }],
  ['x86-64', { os: '', architecture: 'amd64' }],
  ['x64', { os: '', architecture: 'amd64' }],
  ['i386', { os: '', architecture: '386' }],
  ['i686', { os: '', architecture: '386' }],
  ['ia32', { os: '', architecture: '386' }],
  ['aarch64', { os: '', architecture: 'arm64' }],
  ['armhf', { os: '', architecture: 'arm', variant: 'v7' }],
  ['armel', { os: '', architecture: 'arm', variant: 'v6' }],
  ['ppc64el', { os: '', architecture: 'ppc64le' }],
]);

/** The names that Go and so image indexes use, whatever `uname` or Node call it; defaults of arm variants filled in. */
export function normalizePlatform(platform: Platform): Platform {
  const written = platform.architecture.toLowerCase();
  const alias = ARCHITECTURES.get(written);
  const architecture = alias?.architecture ?? written;
  const variant = platform.variant?.toLowerCase() ?? alias?.variant;
  const os = platform.os.toLowerCase() === 'macos' ? 'darwin' : platform.os.toLowerCase();
  const usual = normalVariant(architecture, variant);
  return { ...(usual === undefined ? {} : { variant: usual }), os, architecture };
}

function normalVariant(architecture: string, variant: string | undefined): string | undefined {
  if (architecture === 'arm64')
    return variant === undefined || variant === '8' || variant === 'v8' ? undefined : variant;
  if (architecture === 'amd64') return variant === 'v1' ? undefined : variant;
  if (architecture === 'arm') return variant === undefined ? 'v7' : variant.startsWith('v') ? variant : `v${variant}`;
  return variant;
}

export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

/**
 * The entries of an index that run on a platform, best first: the same variant, then lower ones. Entries without a
 * platform come last, since only reading them tells; those of `unknown/unknown` (attestations) never.
 */
export function matchPlatform(entries: readonly Descriptor[], wanted: Platform): readonly Descriptor[] {
  const target = normalizePlatform(wanted);
  const ranked = entries.flatMap(entry => {
    const rank = rankOf(entry, target);
    return rank === undefined ? [] : [{ entry, rank }];
  });
  return ranked.toSorted((a, b) => a.rank - b.rank).map(({ entry }) => entry);
}

function rankOf(entry: Descriptor, target: Platform): number | undefined {
  if (!entry.platform) return 1000;
  const offered = normalizePlatform(entry.platform);
  if (offered.os !== target.os || offered.architecture !== target.architecture) return undefined;
  const distance = variantLevel(target) - variantLevel(offered);
  return Number.isNaN(distance)
    ? offered.variant === target.variant
      ? 0
      : undefined
    : distance < 0
      ? undefined
      : distance;
}

/** Variants of one architecture are upward compatible: v8 runs v7, amd64 v3 runs v2. */
function variantLevel({ architecture, variant }: Platform): number {
  if (variant === undefined) return architecture === 'arm64' ? 8 : 1;
  const [, major, minor] = /^v(\d{1,2})(?:\.(\d{1,2}))?$/.exec(variant) ?? [];
  return major === undefined ? Number.NaN : Number(major) + Number(minor ?? 0) / 100;
}

/** `OS/ARCH[/VARIANT]`, as `--platform` takes it. Throws `usage`. */
export function parsePlatform(text: string): Platform {
  const [os = '', architecture = '', variant, ...surplus] = text.split('/');
  if (os === '' || architecture === '' || variant === '' || surplus.length > 0) {
    throw new StkError('usage', `${text} is no platform`, { hint: 'write OS/ARCH or OS/ARCH/VARIANT: linux/arm64/v8' });
  }
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

/** This host in the terms of the image specification, which are Go's. */
export function hostPlatform(): Platform {
  const architectures: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };
  return { os: os.platform(), architecture: architectures[os.arch()] ?? os.arch() };
}
