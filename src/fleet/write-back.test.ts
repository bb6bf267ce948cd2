import { describe, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import { writeBack } from './write-back.ts';

const digest = digestOf('new');
const find = (image: string) =>
  image === 'docker://r.example/app:1' ? { reference: `r.example/app:1@${digest}`, digest, tag: '1' } : undefined;

describe('references behind which a comment stands', () => {
  it.each([
    ['image: old # stk: docker://r.example/app:1', `image: r.example/app:1@${digest} # stk: docker://r.example/app:1`],
    ['  - "old" # stk: docker://r.example/app:1 digest', `  - "${digest}" # stk: docker://r.example/app:1 digest`],
    ["tag: '0'   #stk: docker://r.example/app:1 tag\r", "tag: '1'   #stk: docker://r.example/app:1 tag\r"],
    ['a: {image: old} # stk: docker://r.example/app:1 tag', 'a: {image: 1} # stk: docker://r.example/app:1 tag'],
  ])('are replaced, and nothing else: %j', (before, after) => {
    expect(writeBack(`x: y\n${before}\n`, find)).toEqual({ text: `x: y\n${after}\n`, changed: [2], unknown: [] });
    expect(writeBack(`${after}\n`, find).changed).toEqual([]);
  });

  it.each([
    ['image: old # not stk: docker://r.example/app:1'],
    ['image: old # stk'],
    ['# stk: docker://r.example/app:1'],
  ])('are none without it: %j', line =>
    expect(writeBack(line, find)).toEqual({ text: line, changed: [], unknown: [] }),
  );

  it('are named where they are not known', () => {
    expect(writeBack('a: b # stk: other\nc: d # stk: other', find).unknown).toEqual(['other']);
  });
});
