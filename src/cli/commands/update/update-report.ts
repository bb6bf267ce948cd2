import { formatBytes } from '../../../core/bytes.ts';
import { textOfByteString } from '../../../core/host-text.ts';
import type { BlobStore } from '../../../oci/blob-store.ts';
import type { Descriptor } from '../../../oci/descriptor.ts';
import { APPLY_NAME, LAYER_ROLE } from '../../../oci/layer-annotations.ts';
import { isSameRegistry } from '../../../oci/store-place.ts';
import type { NewBlob, UpdatedImage } from '../../../update/update-image.ts';
import { jsonText } from '../../ui/json-text.ts';
import { printableLine } from '../../ui/printable-line.ts';
import { quotedByteString } from '../../ui/quoted-name.ts';
import { formatTable, type Column } from '../../ui/table.ts';
import { errorToJson } from '../../render-error.ts';
import type { FailedTarget, UpdateTarget } from '../../../update/find-targets.ts';

/** How the update of one image ended. */
export type UpdateOutcome =
  | { readonly target: UpdateTarget; readonly unchanged: true }
  | { readonly failed: FailedTarget }
  /** Only looked at: what it would take. */
  | { readonly target: UpdateTarget; readonly updated: UpdatedImage; readonly missing: number }
  | { readonly target: UpdateTarget; readonly updated: UpdatedImage; readonly sentBytes: number };

const COLUMNS: readonly Column[] = [
  { heading: '' },
  { heading: '' },
  { heading: '' },
  { heading: '' },
  { heading: '', align: 'right' },
];
/** Paths that are shown of one image; `--json` has all of them. */
const MOST_PATHS = 20;

/** Bytes of layers that would have to be sent: what the store has, or can take from a neighbour, costs nothing. */
export async function missingBytes(store: BlobStore, updated: UpdatedImage, signal: AbortSignal): Promise<number> {
  let bytes = updated.manifest.bytes.byteLength + updated.config.bytes.byteLength;
  for (const blob of updated.fresh) {
    if (isNeighbour(store, blob) || (await store.hasBlob(blob.descriptor, { signal }))) continue;
    bytes += blob.descriptor.size;
  }
  return bytes;
}

function isNeighbour(store: BlobStore, { from }: NewBlob): boolean {
  return 'blob' in from && isSameRegistry(from.blob.store.place, store.place);
}

/** Lines for people. */
export function writeOutcome(stdout: NodeJS.WriteStream, outcome: UpdateOutcome): void {
  if ('failed' in outcome) return;
  const { image, tag } = outcome.target;
  if ('unchanged' in outcome) {
    stdout.write(`${printableLine(image.name)} ${image.descriptor.digest} is up to date\n`);
    return;
  }
  const { updated } = outcome;
  const target = image.name.endsWith(tag) ? '' : ` as ${printableLine(tag)}`;
  const verb = 'missing' in outcome ? 'would become' : 'is now';
  const width = stdout.isTTY ? stdout.columns : undefined;
  const rows = [
    ...updated.removed.map(layer => layerRow('-', layer)),
    ...updated.fresh.map(({ descriptor }) => layerRow('+', descriptor)),
  ];
  const stay = updated.layers.length - updated.fresh.length;
  const paths = updated.settled
    .slice(0, MOST_PATHS)
    .map(({ path, driver }) => `  ${driver}: /${quotedByteString(path)}`);
  const more = updated.settled.length - paths.length;
  const bytes =
    'missing' in outcome ? `${formatBytes(outcome.missing)} to send` : `${formatBytes(outcome.sentBytes)} sent`;
  const lines = [
    `${image.name}${target} ${verb} ${updated.manifest.descriptor.digest}`,
    ...formatTable(COLUMNS, rows, width).map(line => `  ${line}`),
    `  ${stay} layers stay; ${bytes}`,
    ...(updated.settled.length === 0 ? [] : [`  ${updated.settled.length} paths merged`]),
    ...paths.map(line => `  ${line}`),
    ...(more > 0 ? [`    and ${more} more`] : []),
  ];
  stdout.write(`${lines.map(printableLine).join('\n')}\n`);
}

/** One JSON list for all images. */
export function writeOutcomes(stdout: NodeJS.WriteStream, outcomes: readonly UpdateOutcome[]): void {
  stdout.write(`${jsonText(outcomes.map(outcomeJson))}\n`);
}

function outcomeJson(outcome: UpdateOutcome): object {
  if ('failed' in outcome) {
    const { name, tag, from, error } = outcome.failed;
    return { image: name, tag, from, outcome: 'failed', ...errorToJson(error) };
  }
  const { image, tag } = outcome.target;
  const head = { image: image.name, tag, from: image.descriptor.digest };
  if ('unchanged' in outcome) return { ...head, outcome: 'unchanged' };
  const { updated } = outcome;
  const isDryRun = 'missing' in outcome;
  const bytes = isDryRun ? { bytesToSend: outcome.missing } : { bytesSent: outcome.sentBytes };
  return {
    ...head,
    outcome: isDryRun ? 'would-update' : 'updated',
    to: updated.manifest.descriptor.digest,
    layers: {
      removed: updated.removed.map(layerJson),
      added: updated.fresh.map(({ descriptor }) => layerJson(descriptor)),
      kept: updated.layers.length - updated.fresh.length,
    },
    merged: updated.settled.map(({ path, driver, sides }) => ({
      path: `/${textOfByteString(path)}`,
      driver,
      sides,
    })),
    ...bytes,
  };
}

function layerRow(sign: string, { annotations, digest, size }: Descriptor): readonly string[] {
  return [
    sign,
    annotations?.[LAYER_ROLE] ?? 'layer',
    annotations?.[APPLY_NAME] ?? '',
    digest.slice(7, 19),
    formatBytes(size),
  ];
}

function layerJson({ annotations, digest, size }: Descriptor): object {
  return { role: annotations?.[LAYER_ROLE], name: annotations?.[APPLY_NAME], digest, size };
}
