import { describe, expect, it } from 'vitest';
import { digestOf, type Digest } from '../core/digest.ts';
import { planStack, type AppliedImage, type PlannedLayer } from './stack-plan.ts';

const NAMES = new Map<Digest, string>();

/** Layers by single letters; a capital is one of role base. */
function layers(letters: string): PlannedLayer[] {
  return letters.split('').map(letter => {
    const digest = digestOf(letter);
    NAMES.set(digest, letter);
    return { digest, role: letter === letter.toUpperCase() ? 'base' : 'run' };
  });
}

function image(letters: string, options: Partial<AppliedImage> = {}): AppliedImage {
  const name = `image-${letters}`;
  return { name, layers: layers(letters), baseName: undefined, baseDigest: undefined, anyBase: false, ...options };
}

function plan(base: string, images: readonly AppliedImage[]) {
  const digest = digestOf(`manifest of ${base}`);
  const { ancestor, sides, appended } = planStack({ name: 'the-base', digest, layers: layers(base) }, images);
  const text = (digests: readonly Digest[]) => digests.map(one => NAMES.get(one)).join('');
  return {
    ancestor: text(ancestor),
    sides: sides.map(side => `${side.image ?? 'base'}:${text(side.tree)}:${text(side.own)}`),
    appended: appended.map(entry => `${NAMES.get(entry.digest)}${entry.image}`).join(' '),
  };
}

describe('planStack', () => {
  it.each<[string, string, AppliedImage[], ReturnType<typeof plan>]>([
    ['nothing applied', 'B', [], { ancestor: 'B', sides: [], appended: '' }],
    ['one image', 'B', [image('Bx')], { ancestor: 'B', sides: ['0:Bx:x'], appended: 'x0' }],
    [
      'two images on one base',
      'BC',
      [image('BCx'), image('BCyz')],
      { ancestor: 'BC', sides: ['0:BCx:x', '1:BCyz:yz'], appended: 'x0 y1 z1' },
    ],
    [
      'an image that stands on another applied one: its layer is held already',
      'B',
      [image('Bx'), image('Bxy')],
      { ancestor: 'B', sides: ['0:Bx:x', '1:Bxy:xy'], appended: 'x0 y1' },
    ],
    ['the base itself', 'B', [image('B')], { ancestor: 'B', sides: ['0:B:'], appended: '' }],
    [
      'scratch holds nothing back',
      '',
      [image('Bx'), image('By')],
      { ancestor: '', sides: ['0:Bx:Bx', '1:By:By'], appended: 'B0 x0 y1' },
    ],
    [
      'another base that is allowed: the base takes part in the merge',
      'BC',
      [image('Bx', { anyBase: true }), image('BCy')],
      { ancestor: 'B', sides: ['base:BC:C', '0:Bx:x', '1:BCy:Cy'], appended: 'x0 y1' },
    ],
    [
      'nothing in common, but allowed',
      'B',
      [image('x', { anyBase: true })],
      { ancestor: '', sides: ['base:B:B', '0:x:x'], appended: 'x0' },
    ],
    [
      'the same base in other blobs',
      'B',
      [image('Dx', { baseDigest: digestOf('manifest of B') })],
      { ancestor: 'B', sides: ['0:Bx:x'], appended: 'x0' },
    ],
  ])('%s', (_name, base, images, expected) => {
    expect(plan(base, images)).toEqual(expected);
  });

  it('refuses another base and names both', () => {
    const attempt = () => plan('BC', [image('Bx', { baseName: 'other:1' })]);
    expect(attempt).toThrow('image-Bx was built on other:1, and this image on the-base');
    expect(attempt).toThrow(expect.objectContaining({ code: 'conflict' }));
  });

  it('takes 300 images', () => {
    const images = Array.from({ length: 300 }, (_, index) => image('B', { layers: [...layers('B'), ...many(index)] }));
    expect(planStack({ name: 'b', digest: undefined, layers: layers('B') }, images).appended).toHaveLength(300);
  });
});

function many(index: number): PlannedLayer[] {
  return [{ digest: digestOf(String(index)), role: 'run' }];
}
