/**
 * Whether one of the patterns of the configuration names an image. In a pattern `*` stands for any characters; everything
 * else is itself.
 * @param name as `formatReference` writes it: `docker://HOST/REPOSITORY:TAG`, `oci:/DIRECTORY:TAG`
 */
export function isTrustedImage(patterns: readonly string[], name: string): boolean {
  return patterns.some(pattern => expression(pattern).test(name));
}

function expression(pattern: string): RegExp {
  const parts = pattern.split('*').map(part => part.replace(/[\\^$.|?+()[\]{}]/g, String.raw`\$&`));
  return new RegExp(`^${parts.join('.*')}$`, 's');
}
