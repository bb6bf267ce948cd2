const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
const MAX_SECONDS = 10 * 365 * 86_400;

/** `90s`, `2m`, `1h30m`, `7d`, `2w`, at most ten years: milliseconds; `undefined` for anything else. */
export function parseDuration(text: string): number | undefined {
  if (!/^(?:\d{1,9}(?:\.\d{1,3})?[smhdw])+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/([\d.]+)([smhdw])/g)];
  const seconds = parts.reduce((sum, [, count, unit]) => sum + Number(count) * SECONDS[unit!]!, 0);
  return seconds <= MAX_SECONDS ? Math.round(seconds * 1000) : undefined;
}

const PREFIXES = ['', 'k', 'm', 'g', 't'];

/** `500MB`, `2G`, `1.5GiB`, `4096`: bytes, by thousands unless the unit has an `i`; `undefined` for anything else. */
export function parseSize(text: string): number | undefined {
  const [, count, prefix = '', binary] = /^(\d{1,15}(?:\.\d{1,3})?) ?(?:([kmgt])(i)?)?b?$/i.exec(text) ?? [];
  if (count === undefined) return undefined;
  const sizeBytes = Math.round(Number(count) * (binary ? 1024 : 1000) ** PREFIXES.indexOf(prefix.toLowerCase()));
  return Number.isSafeInteger(sizeBytes) ? sizeBytes : undefined;
}
