/**
 * Whether a JSON value has all that another one demands: an object the members, an array for each element one that has what
 * it demands, everything else the same value.
 */
export function hasMembers(value: unknown, demanded: unknown): boolean {
  if (Array.isArray(demanded)) {
    const elements: readonly unknown[] = demanded;
    return Array.isArray(value) && elements.every(one => value.some(each => hasMembers(each, one)));
  }
  if (typeof demanded !== 'object' || demanded === null) return value === demanded;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.entries(demanded).every(
    ([name, member]) => Object.hasOwn(value, name) && hasMembers((value as Record<string, unknown>)[name], member),
  );
}
