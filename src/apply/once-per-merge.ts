import type { MergeContext } from './driver.ts';

/** Computes something once for a merge and key, such as a path, whoever asks first. */
export function oncePerMerge<T, K extends string | number>(
  compute: (key: K, context: MergeContext) => Promise<T>,
): (key: K, context: MergeContext) => Promise<T> {
  const known = new WeakMap<MergeContext, Map<K, Promise<T>>>();
  return (key, context) => {
    const ofMerge = known.get(context) ?? new Map<K, Promise<T>>();
    known.set(context, ofMerge);
    const running = ofMerge.get(key) ?? compute(key, context);
    ofMerge.set(key, running);
    return running;
  };
}
