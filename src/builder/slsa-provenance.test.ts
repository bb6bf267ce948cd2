import { expect, it } from 'vitest';
import { digestOf, type CacheKey } from '../core/digest.ts';
import type { ImageOrigin } from './image-origin.ts';
import { buildProvenance, updateProvenance } from './slsa-provenance.ts';

const origin: ImageOrigin = {
  name: 'app',
  platform: { os: 'linux', architecture: 'amd64' },
  recipe: { name: 'stacker.yaml', digest: digestOf('recipe'), text: 'app: ${{X}}', git: 'v1-3-gabcdef1-dirty' },
  materials: [
    { kind: 'base', uri: 'docker://registry.example/debian:12', digest: digestOf('base') },
    { kind: 'import', uri: 'file:dir', digest: digestOf('tree'), isTree: true },
  ],
  steps: [
    {
      kind: 'run',
      label: 'run',
      key: digestOf('key') as CacheKey,
      cached: true,
      layer: digestOf('layer'),
      created: '2026-01-02T00:00:00.000Z',
    },
  ],
  startedAt: '2026-01-02T00:00:00.000Z',
  finishedAt: '2026-01-02T00:00:09.000Z',
  parameters: { epoch: null },
};
const options = { builderId: 'https://ci.example', version: '0.1.0', substitutions: ['X'] };

it('a provenance of a build names what it was made of, in the members of SLSA', () => {
  expect(buildProvenance(origin, options)).toMatchObject({
    buildDefinition: {
      buildType: expect.stringMatching(/^[a-z]+:/) as string,
      externalParameters: { image: 'app', recipe: { content: 'app: ${{X}}' }, substitutions: ['X'] },
      resolvedDependencies: [
        { digest: { gitCommit: 'abcdef1' } },
        { uri: 'docker://registry.example/debian:12', digest: { sha256: digestOf('base').slice(7) } },
        { uri: 'file:dir', digest: { stkTree: digestOf('tree').slice(7) } },
      ],
    },
    runDetails: {
      builder: { id: 'https://ci.example' },
      metadata: { startedOn: origin.startedAt, finishedOn: origin.finishedAt },
      byproducts: [{ name: 'run', annotations: { 'dev.stk.cached': true } }],
    },
  });
});

it('with an epoch nothing tells when it was built', () => {
  const text = JSON.stringify(buildProvenance({ ...origin, parameters: { epoch: 0 } }, options));
  expect(text).not.toContain('2026');
  expect(text).toContain('1970-01-01T00:00:00.000Z');
});

it('a provenance of an update names what was swapped', () => {
  const from = digestOf('before');
  const swap = (name: string) => [{ digest: digestOf(name), annotations: { 'dev.stk.apply.name': 'ssl' } }];
  const applied = [{ name: 'ssl', ref: 'ssl:2', digest: digestOf('ssl') }];
  const update = {
    image: 'app',
    from,
    removed: swap('old'),
    added: swap('new'),
    applied,
    rules: [['/etc/**', 'last']] as const,
    created: 'x',
  };
  expect(updateProvenance(update, options)).toMatchObject({
    buildDefinition: {
      externalParameters: { rules: [['/etc/**', 'last']] },
      resolvedDependencies: [{ digest: { sha256: from.slice(7) } }, { uri: 'ssl:2' }],
    },
    runDetails: { byproducts: [{ name: 'removed' }, { name: 'added' }] },
  });
});
