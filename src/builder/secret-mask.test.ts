import { describe, expect, it } from 'vitest';
import { SecretMask, shortLines } from './secret-mask.ts';

const PEM = '-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\nAA==\n-----END KEY-----\n';
const mask = (...values: string[]) => new SecretMask(values.map(value => Buffer.from(value)));

describe('lines of output', () => {
  it.each<[string, string, string, string]>([
    ['a secret', 'hunter22\n', 'it is hunter22, hunter22!', 'it is ***, ***!'],
    ['each line of one that has several', PEM, '  kqhkiG9w0BAQEF', '  ***'],
    ['a line within another', PEM, 'x=MIIEvQIBADANBg;', 'x=***;'],
    ['the ends of a key', PEM, '-----END KEY-----', '***'],
    ['lines that end as on Windows', 'line one\r\nline two\r\n', '"line one" \'line two\'', '"***" \'***\''],
    ['lines that are indented', '{\n  "key": "value"\n}\n', 'got "key": "value" }', 'got *** }'],
    ['a short line where it stands alone', 'ab\n', ' ab\r', ' ***\r'],
    ['no part of a word that is as short', 'ab\n', 'cab, ab', 'cab, ab'],
    ['nothing for an empty one', '\n \n', 'a b', 'a b'],
    ['the longest first', 'secret\nsecret-and-more', 'secret-and-more secret', '*** ***'],
    ['marks of regular expressions', 'a.*b$&', 'a.*b$& axxb$&', '*** axxb$&'],
  ])('hide %s', (_, secret, line, shown) => {
    expect(mask(secret).line('stdout', line)).toBe(shown);
  });

  it('hide every secret', () => {
    expect(mask('first', 'second').line('stdout', 'first second third')).toBe('*** *** third');
  });

  it('hide one that is longer than a line may be', () => {
    const secret = Array.from({ length: 1300 }, (_, index) => `${index}`.padStart(7, 'x')).join('');
    const hidden = mask(secret);
    const whole = `say ${secret} after`;
    const lines = [whole.slice(0, 4096), whole.slice(4096, 8192), whole.slice(8192)];
    expect(lines.map(line => hidden.line('stdout', line))).toEqual(['say ***', '***', '*** after']);
    expect(hidden.line('stderr', secret.slice(0, 100))).toBe(secret.slice(0, 100));
  });
});

describe('what a terminal shows', () => {
  it.each([[1], [2], [3], [5], [7], [1000]])('hides secrets that come in pieces of %i bytes', size => {
    const hidden = mask(PEM, 'pässwörd').stream();
    const text = Buffer.from(`$ cat\r\n${PEM.replaceAll('\n', '\r\n')}pässwörd?pässwort\r\n$ `);
    let shown = '';
    for (let at = 0; at < text.length; at += size) shown += hidden.push(text.subarray(at, at + size));
    shown += hidden.end();
    expect(shown).toBe('$ cat\r\n***\r\n***\r\n***\r\n***\r\n***\r\n***?pässwort\r\n$ ');
  });

  it('is shown at once where no secret can begin', () => {
    const hidden = mask('hunter22').stream();
    expect(hidden.push(Buffer.from('$ '))).toBe('$ ');
    expect(hidden.push(Buffer.from('hunt'))).toBe('');
    expect(hidden.push(Buffer.from(' '))).toBe('hunt ');
    expect(hidden.push(Buffer.from('hunt'))).toBe('');
    expect(hidden.end()).toBe('hunt');
  });
});

it.each<[string, number]>([
  ['ab', 1],
  ['abcd', 0],
  ['', 0],
  ['abc\ndef\nghij', 2],
  ['{\n"key": 1\n}\n', 0],
])('of %j, %i lines are too short to be hidden', (value, count) => {
  expect(shortLines(Buffer.from(value))).toBe(count);
});
