import { expect, it } from 'vitest';
import { isTrustedImage } from './trusted-images.ts';

it.each<[string, string, boolean]>([
  ['oci:/srv/images:*', 'oci:/srv/images:app', true],
  ['oci:/srv/images:*', 'oci:/srv/images2:app', false],
  ['docker://registry.example/team/*', 'docker://registry.example/team/a/b:1', true],
  ['docker://registry.example/team/*', 'docker://registryXexample/team/a:1', false],
  ['docker://registry.example/team/*', 'docker://evil.example/docker://registry.example/team/a', false],
  ['*', 'oci:/anything:at-all', true],
  ['app', 'oci:/srv/images:app', false],
  ['', 'oci:/srv/images:app', false],
  ['oci:/srv/(a+)+$:*', 'oci:/srv/(a+)+$:x', true],
])('%s names %s: %s', (pattern, name, expected) => {
  expect(isTrustedImage([pattern], name)).toBe(expected);
});

it('names nothing without patterns', () => {
  expect(isTrustedImage([], 'oci:/srv/images:app')).toBe(false);
});
