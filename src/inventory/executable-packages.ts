import { inflateSync } from 'node:zlib';
import { elfSections } from './elf-sections.ts';
import { plainText, type FoundPackage } from './found-package.ts';
import type { Findings } from './system-packages.ts';
import type { ReadAt } from './zip-members.ts';

const MAX_SECTION_BYTES = 4 * 1024 * 1024;
const MAX_JSON_BYTES = 16 * 1024 * 1024;

/** What a program says of the modules that it was linked from, where Go or `cargo auditable` made it. */
export async function readExecutable(readAt: ReadAt, size: number): Promise<Findings | undefined> {
  const readSection = await elfSections(readAt, size);
  if (!readSection) return undefined;
  const go = await readSection('.go.buildinfo', MAX_SECTION_BYTES);
  if (go) return readGoBuildInfo(go);
  const rust = await readSection('.dep-v0', MAX_SECTION_BYTES);
  return rust && readRustAudit(rust);
}

const GO_MAGIC = '\xff Go buildinf:';
/** Strings follow the header, rather than pointers to them. */
const INLINE = 2;

/** The section as Go 1.18 and later write it (Go's package debug/buildinfo). */
export function readGoBuildInfo(section: Buffer): Findings {
  if (section.length < 34 || section.toString('latin1', 0, 14) !== GO_MAGIC) {
    return { packages: [], problem: 'its build information of Go is damaged' };
  }
  if ((section[15]! & INLINE) === 0) {
    return { packages: [], problem: 'its Go is older than 1.18, whose build information is not read' };
  }
  const version = lengthPrefixed(section, 32);
  const modules = version && lengthPrefixed(section, version.end);
  if (!version || !modules) return { packages: [], problem: 'its build information of Go is damaged' };
  const packages: FoundPackage[] = [];
  const [, release] = /^go(\d[\w.-]*)/.exec(version.text) ?? [];
  if (release) packages.push({ type: 'golang', name: 'stdlib', version: release });
  // Between marks of sixteen bytes, by which linkers find it.
  for (const line of modules.text.slice(16, -16).split('\n')) {
    const [kind, name = '', moduleVersion = ''] = line.split('\t').map(field => plainText(field));
    if (kind === '=>' && name !== '') packages[packages.length - 1] = goModule(name, moduleVersion);
    else if ((kind === 'mod' || kind === 'dep') && name !== '') packages.push(goModule(name, moduleVersion));
  }
  return { packages };
}

function goModule(name: string, version: string): FoundPackage {
  return { type: 'golang', name, version };
}

/** A count of bytes, seven bits a byte, the lowest first, and a string of that many bytes. */
function lengthPrefixed(bytes: Buffer, at: number): { readonly text: string; readonly end: number } | undefined {
  let length = 0;
  for (let i = 0; i < 4; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 128 ** i;
    if (byte >= 0x80) continue;
    const end = at + i + 1 + length;
    return end > bytes.length ? undefined : { text: bytes.toString('latin1', at + i + 1, end), end };
  }
  return undefined;
}

/** JSON, compressed by zlib, of the crates that are in a program (cargo-auditable, PARSING.md). */
export function readRustAudit(section: Buffer): Findings {
  const problem = 'its audit data of Rust is damaged';
  let value: unknown;
  try {
    value = JSON.parse(inflateSync(section, { maxOutputLength: MAX_JSON_BYTES }).toString('utf8'));
  } catch {
    return { packages: [], problem };
  }
  const listed = typeof value === 'object' && value !== null && 'packages' in value ? value.packages : undefined;
  if (!Array.isArray(listed)) return { packages: [], problem };
  const packages: FoundPackage[] = [];
  for (const item of listed as readonly unknown[]) {
    if (typeof item !== 'object' || item === null) return { packages, problem };
    const { name, version, kind } = item as Record<string, unknown>;
    if (typeof name !== 'string' || typeof version !== 'string') return { packages, problem };
    if (kind !== 'build') packages.push({ type: 'cargo', name: plainText(name), version: plainText(version) });
  }
  return { packages };
}
