import type { StkEvent } from '../core/events.ts';
import type { GlobalOptions } from './session.ts';

/** What standard error shows of a message while there is no progress display. */
export function messageLines(
  event: Extract<StkEvent, { type: 'message' }>,
  { debug, progress }: Pick<GlobalOptions, 'debug' | 'progress'>,
): readonly string[] {
  const { level, text } = event;
  const isSmall = level === 'debug' || level === 'info';
  if ((level === 'debug' && !debug) || (progress === 'quiet' && isSmall)) return [];
  if (progress === 'json') return [JSON.stringify(event)];
  return [isSmall ? text : `${level}: ${text}`];
}
