/** What `OPAQUE_XATTR` holds. */
export const OPAQUE_VALUE: Buffer = Buffer.from('y');

/** Whether an xattr is overlayfs's own bookkeeping. */
export function isOverlayXattr(name: string): boolean {
  return name.startsWith('user.overlay.') || name.startsWith('trusted.overlay.');
}

/** Whether squashfs can hold an xattr of this name: it knows three namespaces only. */
function isStorableXattr(name: string): boolean {
  return /^(user|trusted|security)\../.test(name);
}

/** The xattrs that belong into a layer, overlay bookkeeping left out. */
export function layerXattrs(xattrs: ReadonlyMap<string, Buffer>): ReadonlyMap<string, Buffer> {
  if (xattrs.size === 0) return xattrs;
  return new Map([...xattrs].filter(([name]) => isStorableXattr(name) && !isOverlayXattr(name)));
}
