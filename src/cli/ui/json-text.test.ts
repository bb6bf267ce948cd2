import { expect, it } from 'vitest';
import { jsonText } from './json-text.ts';

it.each([
  ['text as it is', { path: 'a\n \\é', list: ['\\351'] }, { path: 'a\n \\é', list: ['\\351'] }],
  ['the text of an escape as it is', { path: '\\udce9' }, { path: '\\udce9' }],
  ['bytes exactly', { path: 'é\udce9' }, { path: 'é\\351', pathBase64: 'w6np' }],
  ['bytes below', [{ inner: { target: '\udce9' } }], [{ inner: { target: '\\351', targetBase64: '6Q==' } }]],
  ['bytes in a list', { paths: [['/\udce9', 'text']] }, { paths: [['/\\351', 'text']] }],
])('writes %s', (_what, value, written) => expect(JSON.parse(jsonText(value))).toEqual(written));

it('writes what every reader of JSON takes', () => expect(jsonText({ path: '\udce9' })).not.toMatch(/\\ud/));
