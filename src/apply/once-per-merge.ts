import type { MergeContext } from './driver.ts';
import { Remembered } from '../core/remembered.ts';

/** Computes something once for a merge and key, such as a path, whoever asks first. */
export function oncePerMerge<T, K extends string | number>(
  compute: (key: K, context: MergeContext) => Promise<T>,
): (key: K, context: MergeContext) => Promise<T> {
  const known = new WeakMap<MergeContext, Remembered<K, T>>();
  return (key, context) => {
    const ofMerge = known.get(context) ?? new Remembered<K, T>();
    known.set(context, ofMerge);
    return ofMerge.get(key, () => compute(key, context));
  };
}
