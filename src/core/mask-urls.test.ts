import { expect, it } from 'vitest';
import { maskUrls } from './mask-urls.ts';

it.each([
  ['path: http://user:PASS@host/f?token=T', 'path: http://***@host/f?token=***'],
  ['"http://user:PASS@host/f?token=T"', '"http://***@host/f?token=***"'],
  ["[ 'https://h/f?a=1&b=2', http://h/g?c=3, x]", "[ 'https://h/f?a=***&b=***', http://h/g?c=***, x]"],
  ['{path: http://h/f?a=1}', '{path: http://h/f?a=***}'],
  ['http://p@ss:w@rd@host:8080/x', 'http://***@host:8080/x'],
  ['# was ftp://me@host/', '# was ftp://***@host/'],
  ['HTTPS://TOKEN@h', 'HTTPS://***@h'],
  ['git+https://x-token:abc@h/r.git#main', 'git+https://***@h/r.git#main'],
  ['curl "https://h/?X-Amz-Signature=abc%2F&x" | sh', 'curl "https://h/?X-Amz-Signature=***&x" | sh'],
  ['http://h/a@b?c=1', 'http://h/a@b?c=***'],
  ['http://h/f?TOKEN', 'http://h/f?***'],
  ['a http://h/f? b', 'a http://h/f? b'],
  ['http://h/f?a=1#frag', 'http://h/f?a=***#frag'],
])('in %j, hides what may be a secret', (text, masked) => {
  expect(maskUrls(text).text).toBe(masked);
  expect(maskUrls(masked).text).toBe(masked);
});

it.each([
  'docker://registry.example:5000/team/app:1@sha256:abc',
  'http://host:8080/path/a@b',
  'stacker://image/path?',
  'mail me@host, see http://host/',
  'http://${{USER}}:${{PASS}}@host/f?token=${{TOKEN}}&v=${{VERSION:1}}',
  'oci:dir:tag?a=b user:pass@host',
])('leaves %j alone', text => {
  expect(maskUrls(text)).toEqual({ text, logins: [] });
});

it('says where logins are, and what is called like a secret', () => {
  const text = 'a: http://u:p@h/x\nb: http://h/?v=1&access_token=2\nc: http://h/?v=1';
  expect(maskUrls(text).logins).toEqual([
    { start: 3, end: 17 },
    { start: 21, end: 49 },
  ]);
});
