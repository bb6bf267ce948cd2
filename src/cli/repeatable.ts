/** For options that may be given several times: commander hands each value to it, in order. */
export function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}
