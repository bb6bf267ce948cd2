import { CorruptBlock } from './malformed.ts';

const HEADER_BYTES = 12;
const FOOTER_BYTES = 12;

/**
 * Uncompressed size that an .xz stream states in its index (xz-file-format.txt, sections 2.1.2 and 4). A decoder checks it
 * against the data, so the sum may be trusted once one has accepted the stream. Throws `CorruptBlock`.
 */
export function xzContentBytes(stream: Uint8Array): number {
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  const footer = stream.length - FOOTER_BYTES;
  const magic = footer >= HEADER_BYTES && view.getUint16(stream.length - 2) === 0x595a;
  const start = magic ? footer - (view.getUint32(footer + 4, true) + 1) * 4 : -1;
  if (start < HEADER_BYTES || stream[start] !== 0) throw new CorruptBlock('xz stream has no index');
  let at = start + 1;
  const next = () => {
    let value = 0;
    for (let shift = 0; shift < 63 && at < footer; shift += 7) {
      const byte = stream[at++]!;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    throw new CorruptBlock('xz index is cut off');
  };
  let contentBytes = 0;
  for (let records = next(); records > 0; records--) {
    next();
    contentBytes += next();
  }
  return contentBytes;
}
