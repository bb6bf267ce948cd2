import { expect, it } from 'vitest';
import { newCounters } from './lazy-counters.ts';
import { metricsText } from './metrics-text.ts';

it('writes each counter as Prometheus reads it', () => {
  const counters = { ...newCounters(), fetchedBytes: 65_536, fetchMs: 1500 };
  const lines = metricsText(counters).trimEnd().split('\n');
  expect(lines).toHaveLength(3 * Object.keys(counters).length);
  expect(lines).toContain('stk_lazy_fetched_bytes_total 65536');
  expect(lines).toContain('stk_lazy_fetch_seconds_total 1.5');
  // The grammar of the format's lines.
  for (const line of lines) expect(line).toMatch(/^(?:# (?:HELP|TYPE) [a-z_]+ .+|[a-z_]+ \d+(?:\.\d+)?)$/);
});
