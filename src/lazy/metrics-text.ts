import type { LazyCounters } from './lazy-counters.ts';

const HELP: Readonly<Record<keyof LazyCounters, readonly [name: string, help: string]>> = {
  readBytes: ['stk_lazy_read_bytes_total', 'Bytes that readers got'],
  hitBytes: ['stk_lazy_hit_bytes_total', 'Bytes that readers got of what was at hand'],
  requests: ['stk_lazy_requests_total', 'Ranges that registries were asked for'],
  fetchedBytes: ['stk_lazy_fetched_bytes_total', 'Bytes that registries gave'],
  fetchMs: ['stk_lazy_fetch_seconds_total', 'Time that requests took, all together'],
  retries: ['stk_lazy_retries_total', 'Requests that failed and were sent again'],
  wrongAnswers: ['stk_lazy_wrong_answers_total', 'Answers of registries with wrong bytes'],
  unkept: ['stk_lazy_unkept_pieces_total', 'Pieces that could not be kept'],
};

/** Counters in the text format of Prometheus (exposition format 0.0.4). */
export function metricsText(counters: LazyCounters): string {
  const names = Object.keys(HELP) as (keyof LazyCounters)[];
  return names
    .map(key => {
      const [name, help] = HELP[key];
      const value = key === 'fetchMs' ? counters.fetchMs / 1000 : counters[key];
      return `# HELP ${name} ${help}\n# TYPE ${name} counter\n${name} ${value}\n`;
    })
    .join('');
}
