import { isDigest, type CacheKey } from '../core/digest.ts';
import type { JsonValue } from '../core/canonical-json.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';
import type { RecordCache } from '../sources/record-cache.ts';
import type { StepRecord } from '../sources/step-cache.ts';

export type { StepRecord };

/** The record of a step whose layer is still in the layout. */
export async function findStep(
  records: RecordCache,
  layout: LayoutStore,
  key: CacheKey,
): Promise<StepRecord | undefined> {
  const value: unknown = await records.get('step', key);
  if (!isStepRecord(value)) return undefined;
  const record: StepRecord = { ...value, layer: value.layer ?? undefined };
  return record.layer === undefined || (await layout.hasBlob(record.layer)) ? record : undefined;
}

export async function rememberStep(records: RecordCache, key: CacheKey, record: StepRecord): Promise<void> {
  await records.put('step', key, { ...record, layer: record.layer ?? null } as unknown as JsonValue);
}

type StoredStep = Omit<StepRecord, 'layer'> & { readonly layer: Descriptor | null };

function isStepRecord(value: unknown): value is StoredStep {
  if (typeof value !== 'object' || value === null || !('created' in value) || !('layer' in value)) return false;
  const { layer } = value;
  if (layer === null) return true;
  return typeof layer === 'object' && 'digest' in layer && isDigest(layer.digest);
}
