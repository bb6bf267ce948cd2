import { describe, expect, it } from 'vitest';
import { digestOf } from '../core/digest.ts';
import type { FoundPackage, PackageSource } from './found-package.ts';
import { composeInventory } from './inventory.ts';
import type { LayerPart } from './layer-part.ts';

const npm = (name: string, version = '1'): FoundPackage => ({ type: 'npm', name, version });
const deb = (name: string, version = '1'): FoundPackage => ({ type: 'deb', name, version });
const source = (path: string, ...packages: FoundPackage[]): PackageSource => ({ path, packages });

function layer(sources: readonly PackageSource[], hides: { names?: string[]; opaque?: string[] } = {}): LayerPart {
  const names = [...sources.map(({ path }) => path), ...(hides.names ?? [])];
  return { sources, opaque: hides.opaque ?? [], names: names.join('\n') };
}

function shown(...parts: LayerPart[]): readonly string[] {
  const layers = parts.map((part, index) => ({ layer: digestOf(`${index}`), part }));
  const { packages } = composeInventory(layers);
  return packages.map(
    ({ name, version, layer }) => `${name} ${version} ${layers.findIndex(one => one.layer === layer)}`,
  );
}

const STATUS = 'var/lib/dpkg/status';
const lower = layer([source('a/node_modules/x/package.json', npm('x')), source(STATUS, deb('one'), deb('two'))]);

describe('parts of layers together', () => {
  it.each<[string, LayerPart, readonly string[]]>([
    ['a layer of other files', layer([]), ['one 1 0', 'two 1 0', 'x 1 0']],
    ['a deletion', layer([], { names: ['a/node_modules/x/package.json'] }), ['one 1 0', 'two 1 0']],
    ['a deletion above', layer([], { names: ['a/node_modules'] }), ['one 1 0', 'two 1 0']],
    ['a link in place of a directory', layer([], { names: ['a'] }), ['one 1 0', 'two 1 0']],
    ['an opaque directory', layer([], { opaque: ['a/node_modules/x'] }), ['one 1 0', 'two 1 0']],
    ['a neighbour whose name begins alike', layer([], { names: ['a/node_module'] }), ['one 1 0', 'two 1 0', 'x 1 0']],
    ['a new version', layer([source('a/node_modules/x/package.json', npm('x', '2'))]), ['one 1 0', 'two 1 0', 'x 2 1']],
    ['a database that goes on', layer([source(STATUS, deb('one'), deb('two', '2'))]), ['one 1 0', 'two 2 1', 'x 1 0']],
    ['a database that lost one', layer([source(STATUS, deb('two'))]), ['two 1 0', 'x 1 0']],
    [
      'a directory made anew',
      layer([source('a/node_modules/y/package.json', npm('y'))], { opaque: ['a'] }),
      ['one 1 0', 'two 1 0', 'y 1 1'],
    ],
  ])('respect %s', (_, upper, expected) => {
    expect(shown(lower, upper)).toEqual(expected);
  });

  it('name the layer since which a package is there without a break', () => {
    const without = layer([source(STATUS, deb('two'))]);
    const again = layer([source(STATUS, deb('one'), deb('two'))]);
    expect(shown(lower, without, again)).toEqual(['one 1 2', 'two 1 0', 'x 1 0']);
  });

  it('tell problems of what is still there alone', () => {
    const damaged: PackageSource = { path: STATUS, packages: [], problem: 'damaged' };
    const compose = (...parts: LayerPart[]) =>
      composeInventory(parts.map((part, index) => ({ layer: digestOf(`${index}`), part }))).problems;
    expect(compose(layer([damaged]))).toHaveLength(1);
    expect(compose(layer([damaged]), layer([source(STATUS, deb('one'))]))).toEqual([]);
  });
});
