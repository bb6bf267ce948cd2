/** The xattrs that hold POSIX ACLs. squashfs stores none of `system.`. */
export const ACCESS_ACL = 'system.posix_acl_access';
export const DEFAULT_ACL = 'system.posix_acl_default';

/** What an access ACL says of those whom permission bits can name too. Each is `rwx` as 0 to 7. */
export interface AccessAcl {
  readonly owner?: number;
  readonly group?: number;
  readonly mask?: number;
  readonly other?: number;
  /** It names further users or groups, or has a mask: permission bits cannot say the same. */
  readonly extended: boolean;
}

type Entry = 'owner' | 'group' | 'mask' | 'other';

/** Tags of the kernel's form (include/uapi/linux/posix_acl.h); users and groups by name are 2 and 8. */
const TAGS: ReadonlyMap<number, Entry> = new Map([
  [0x01, 'owner'],
  [0x04, 'group'],
  [0x10, 'mask'],
  [0x20, 'other'],
]);
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const VERSION = 2;

/** The kernel's form, as the xattr has it; `undefined` for bytes that are none. */
export function parseAclXattr(bytes: Buffer): AccessAcl | undefined {
  if (bytes.length < HEADER_BYTES || (bytes.length - HEADER_BYTES) % ENTRY_BYTES !== 0) return undefined;
  if (bytes.readUInt32LE(0) !== VERSION) return undefined;
  const found: Partial<Record<Entry, number>> = {};
  let extended = false;
  for (let at = HEADER_BYTES; at < bytes.length; at += ENTRY_BYTES) {
    const entry = TAGS.get(bytes.readUInt16LE(at));
    if (entry === undefined || entry === 'mask') extended = true;
    if (entry !== undefined) found[entry] = bytes.readUInt16LE(at + 2) & 7;
  }
  return { ...found, extended };
}

const NAMES: ReadonlyMap<string, Entry> = new Map([
  ...(['u', 'user'] as const).map(name => [name, 'owner'] as const),
  ...(['g', 'group'] as const).map(name => [name, 'group'] as const),
  ...(['m', 'mask'] as const).map(name => [name, 'mask'] as const),
  ...(['o', 'other'] as const).map(name => [name, 'other'] as const),
]);

/** The text form of archives (acl(5), "ACL TEXT FORMS", with commas or line ends). What is not understood is passed over. */
export function parseAclText(text: string): AccessAcl {
  const found: Partial<Record<Entry, number>> = {};
  let extended = false;
  for (const line of text.split(/[,\n]/)) {
    const [tag = '', ...fields] = line.replace(/#.*/, '').trim().split(':');
    const entry = NAMES.get(tag.trim());
    if (entry === undefined) continue;
    const named = (entry === 'owner' || entry === 'group') && fields.length > 1 && fields[0]!.trim() !== '';
    if (named || entry === 'mask') extended = true;
    if (named) continue;
    // A mask and the others may come without the empty name.
    const permissions = permissionBits((fields.length === 1 ? fields[0] : fields[1]) ?? '');
    if (permissions !== undefined) found[entry] = permissions;
  }
  return { ...found, extended };
}

function permissionBits(text: string): number | undefined {
  const letters = text.trim();
  if (!/^[rwx-]{1,4}$/.test(letters)) return undefined;
  return (letters.includes('r') ? 4 : 0) | (letters.includes('w') ? 2 : 0) | (letters.includes('x') ? 1 : 0);
}

/**
 * Permission bits under which owner, owning group and others have what they had with the ACL. The group's own bits are the
 * mask's where there is one (acl(5), "CORRESPONDENCE BETWEEN ACL ENTRIES AND FILE PERMISSION BITS").
 *
 * @param mode as the file has it; set-id and sticky bits stay
 */
export function modeWithoutAcl(mode: number, acl: AccessAcl): number {
  const owner = acl.owner ?? (mode >> 6) & 7;
  const group = acl.group === undefined ? (mode >> 3) & 7 : acl.group & (acl.mask ?? 7);
  const other = acl.other ?? mode & 7;
  return (mode & 0o7000) | (owner << 6) | (group << 3) | other;
}
