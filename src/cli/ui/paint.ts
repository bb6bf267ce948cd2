const CODES = {
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
  dim: [2, 22],
  bold: [1, 22],
} as const;

export type Style = keyof typeof CODES;

/** Puts text, which must hold no escapes of its own, into SGR codes (ECMA-48, 8.3.117). */
export type Paint = (style: Style, text: string) => string;

export function painter(color: boolean): Paint {
  if (!color) return (_style, text) => text;
  return (style, text) => {
    const [on, off] = CODES[style];
    return text === '' ? '' : `\u001b[${on}m${text}\u001b[${off}m`;
  };
}

const GROUP_STYLES: readonly Style[] = ['cyan', 'magenta', 'blue', 'green', 'yellow'];

/** The same colour for the same group in every run. */
export function groupStyle(group: string): Style {
  let sum = 0;
  for (let index = 0; index < group.length; index++) sum = (sum * 31 + group.charCodeAt(index)) >>> 0;
  return GROUP_STYLES[sum % GROUP_STYLES.length]!;
}
