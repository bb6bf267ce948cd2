import { expect, it } from 'vitest';
import type { ImageDefinition } from '../recipe/model.ts';
import { wantedPlatforms } from './build-platforms.ts';

const amd64 = { os: 'linux', architecture: 'amd64' };
const arm64 = { os: 'linux', architecture: 'arm64' };
const image = (name: string, more: Partial<ImageDefinition> = {}) => ({ name, ...more }) as ImageDefinition;
const images = [image('a'), image('b', { platforms: [arm64, amd64] }), image('c', { arch: 's390x' })];

it.each([
  {
    names: [],
    named: [],
    wanted: [
      [amd64, ['a', 'b', 'c']],
      [arm64, ['b']],
    ],
  },
  {
    names: ['b'],
    named: [],
    wanted: [
      [amd64, ['b']],
      [arm64, ['b']],
    ],
  },
  { names: [], named: [arm64], wanted: [[arm64, ['a', 'b', 'c']]] },
  {
    names: ['a', 'c'],
    named: [arm64, amd64],
    wanted: [
      [amd64, ['a']],
      [arm64, ['a', 'c']],
    ],
  },
  { names: ['x'], named: [], wanted: [[amd64, ['x']]] },
  {
    names: ['b', 'x'],
    named: [],
    wanted: [
      [amd64, ['b']],
      [arm64, ['b', 'x']],
    ],
  },
])('builds $names for $named', ({ names, named, wanted }) => {
  const found = wantedPlatforms(images, names, { named, host: amd64 });
  expect(found.map(({ platform, names }) => [platform, names])).toEqual(wanted);
});
