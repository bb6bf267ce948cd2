import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteString, hasRawBytes, hostBytes, hostText, shownHostText, textOfByteString } from './host-text.ts';

describe('hostText', () => {
  it.each([
    ['ASCII', [0x61], 'a'],
    ['UTF-8', [0xc3, 0xa9], 'é'],
    ['a character beyond the BMP', [0xf0, 0x9f, 0x98, 0x80], '😀'],
    ['a real replacement character', [0xef, 0xbf, 0xbd], '\ufffd'],
    ['a lone byte', [0x61, 0xe9, 0x62], 'a\udce9b'],
    ['a character cut short', [0xe2, 0x82], '\udce2\udc82'],
    ['an overlong slash', [0xc0, 0xaf], '\udcc0\udcaf'],
    ['an encoded surrogate', [0xed, 0xb3, 0xa9], '\udced\udcb3\udca9'],
    ['both kinds', [0xef, 0xbf, 0xbd, 0xff], '\ufffd\udcff'],
  ])('keeps %s', (_what, bytes, text) => {
    expect(hostText(Uint8Array.from(bytes))).toBe(text);
    expect([...hostBytes(text)]).toEqual(bytes);
  });

  it('gives any bytes back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), bytes => {
        const text = hostText(bytes);
        expect([...hostBytes(text)]).toEqual([...bytes]);
        expect(JSON.parse(JSON.stringify(text))).toBe(text);
        expect(textOfByteString(byteString(text))).toBe(text);
      }),
    );
  });

  it('does not take half of a pair for a byte', () => {
    const pair = String.fromCharCode(0xd83c, 0xdce9);
    expect(hasRawBytes(pair)).toBe(false);
    expect(hostBytes(pair)).toEqual(Buffer.from(pair));
  });

  it('makes no separator of a surrogate outside of its range', () => {
    expect(hostBytes('\udc2f').toString()).toBe('\ufffd');
  });

  it('shows bytes in hexadecimal', () => expect(shownHostText('a\udce9/é')).toBe('a\\xe9/é'));
});
