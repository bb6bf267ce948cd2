/** Bounds on what is read, so that a hostile file costs a bounded amount of time and memory. */
export const YAML_LIMITS = {
  /** UTF-16 units of text. */
  textLength: 4 * 1024 * 1024,
  /** Lexical tokens. */
  lexemes: 200_000,
  /** Open collections on the parser's stack. */
  depth: 100,
  /** Nodes after aliases have been expanded. */
  nodes: 100_000,
  /** UTF-16 units of scalars after aliases have been expanded. */
  scalarLength: 16 * 1024 * 1024,
  problems: 100,
} as const;
