/** What lazily read blobs cost, summed over a process. */
export interface LazyCounters {
  /** Bytes that readers got. */
  readBytes: number;
  /** Of these, what was at hand. */
  hitBytes: number;
  /** Ranges that registries were asked for, and what came. */
  requests: number;
  fetchedBytes: number;
  /** Milliseconds that these requests took in all. */
  fetchMs: number;
  /** Failures that were followed by another attempt. */
  retries: number;
  /** Answers of registries with wrong bytes. */
  wrongAnswers: number;
  /** Pieces that could not be kept: no room, or no disk. */
  unkept: number;
}

export function newCounters(): LazyCounters {
  return {
    readBytes: 0,
    hitBytes: 0,
    requests: 0,
    fetchedBytes: 0,
    fetchMs: 0,
    retries: 0,
    wrongAnswers: 0,
    unkept: 0,
  };
}
