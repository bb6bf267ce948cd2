import { parse } from 'yaml';

/** A small YAML document as a value. A file of its own, so that the parser is loaded only where there is something to parse. */
export function parseYaml(text: string): unknown {
  return parse(text, { maxAliasCount: 10 }) as unknown;
}
