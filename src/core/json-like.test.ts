import { describe, expect, it } from 'vitest';
import { indentJson, jsonLike } from './json-like.ts';

/** What is written of a document in which a function has changed members. */
function changed(text: string, change: Readonly<Record<string, unknown>> = {}): string {
  return jsonLike({ ...(JSON.parse(text) as object), ...change }, text);
}

describe('jsonLike', () => {
  it.each([
    ['numbers that no double holds', '{"a":12345678901234567890,"b":0.1000,"c":1.0,"d":1e400,"e":-0,"f":1E5}'],
    ['null', '{"a":null,"b":{"c":null},"d":[null]}'],
    ['the order of members, also of those whose names are numbers', '{"b":1,"2":{"z":1,"1":2,"0":3},"a":2,"1":3}'],
    ['escapes', String.raw`{"a":"\u003c\/\ud800","\u0062":"\"\\"}`],
    ['members with names that objects have', '{"__proto__":{"x":1},"constructor":1,"toString":null}'],
    ['empty values', '{"":"","a":{},"b":[],"c":[{},[]]}'],
  ])('keeps %s', (_, text) => {
    expect(changed(text)).toBe(text);
  });

  it('writes no white space', () => {
    expect(changed('\n{ "a" : [ 1.0 ,\t2 ] , "b c" : { } }\r\n')).toBe('{"a":[1.0,2],"b c":{}}');
  });

  it('changes what is changed and appends what is new', () => {
    expect(changed('{"b":1.0,"a":2.0,"c":3.0}', { a: 5, d: [1], b: undefined })).toBe('{"a":5,"c":3.0,"d":[1]}');
  });

  it('changes the member of a member alone', () => {
    const text = '{"x":{"z":1.0,"y":2.0,"n":null},"w":4.0}';
    expect(jsonLike({ x: { y: 3, z: 1 }, w: 4 }, text)).toBe('{"x":{"z":1.0,"y":3,"n":null},"w":4.0}');
  });

  it('keeps a null that the value leaves out: both mean that there is nothing', () => {
    expect(jsonLike({ b: 1 }, '{"a":null,"b":1.0}')).toBe('{"a":null,"b":1.0}');
  });

  it('knows entries of a list wherever they are', () => {
    const text = '[{"a":1.0,"b":null},{"a":2.0},3.0]';
    expect(jsonLike([0, { a: 2 }, { b: null, a: 1 }, { a: 1 }, 3], text)).toBe(
      '[0,{"a":2.0},{"a":1.0,"b":null},{"a":1.0,"b":null},3.0]',
    );
  });

  it('takes the last of two members of one name, as JSON.parse does', () => {
    expect(changed('{"a":1.0,"b":2,"a":3.0}')).toBe('{"a":3.0,"b":2}');
  });

  it('keeps null for an empty list', () => {
    expect(jsonLike({ a: [], b: [1] }, '{"a":null,"b":null}')).toBe('{"a":null,"b":[1]}');
  });

  it('indents without touching a value', () => {
    const text = '{"a":[1.0,{"b c":"{,:[","d":[]}],"e":{},"f":1e400}';
    const indented =
      '{\n  "a": [\n    1.0,\n    {\n      "b c": "{,:[",\n      "d": []\n    }\n  ],\n  "e": {},\n  "f": 1e400\n}';
    expect(indentJson(text)).toBe(indented);
    expect(indentJson('{"a":1}')).toBe(JSON.stringify({ a: 1 }, null, 2));
  });

  it('puts a value of another kind in place of what was there', () => {
    expect(jsonLike({ a: {}, b: [], c: 1, d: null }, '{"a":[1],"b":{"x":1},"c":"1","d":1}')).toBe(
      '{"a":{},"b":[],"c":1,"d":null}',
    );
  });

  it('refuses what is nested without end', () => {
    const text = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    expect(() => changed(`{"a":${text}}`)).toThrowError(expect.objectContaining({ code: 'invalid-input' }));
  });
});
