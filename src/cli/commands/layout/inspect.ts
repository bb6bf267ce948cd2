import { AsyncScope } from '../../../core/async-scope.ts';
import { formatBytes } from '../../../core/bytes.ts';
import type { Digest } from '../../../core/digest.ts';
import type { BlobStore } from '../../../oci/blob-store.ts';
import type { ImageConfig } from '../../../oci/descriptor.ts';
import { LayoutStore, isLayout } from '../../../oci/layout.ts';
import { listImages } from '../../../oci/list-images.ts';
import { formatPlatform } from '../../../oci/platform.ts';
import type { FoundImage } from '../../../stores/find-image.ts';
import { APPLY_LIST, UPDATE_FROM, parseAppliedEntries } from '../../../oci/layer-annotations.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { quotedName } from '../../ui/quoted-name.ts';
import { printableLine } from '../../ui/printable-line.ts';
import { formatTable, type Column } from '../../ui/table.ts';
import type { ImageFlags } from '../images/image-flags.ts';
import { findNamed, imageName } from '../images/image-names.ts';
import { inspectLayer, type InspectedLayer } from './inspect-layer.ts';

const IMAGE_COLUMNS: readonly Column[] = [
  { heading: 'IMAGE' },
  { heading: 'DIGEST' },
  { heading: 'LAYERS', align: 'right' },
  { heading: 'SIZE', align: 'right' },
];

const LAYER_COLUMNS: readonly Column[] = [
  { heading: '#', align: 'right' },
  { heading: 'ROLE' },
  { heading: 'NAME', shrink: 'end' },
  { heading: 'DIGEST' },
  { heading: 'SIZE', align: 'right' },
  { heading: 'VERITY' },
  { heading: 'SHARED WITH', shrink: 'end' },
  { heading: 'MADE BY', shrink: 'end' },
];

/** Only where there is an index. */
const PLATFORMS_COLUMN: Column = { heading: 'PLATFORMS', shrink: 'end' };

const NOT_SHARED: ReadonlyMap<Digest, readonly string[]> = new Map();

const RENUMBERED_COLUMNS: readonly Column[] = [
  { heading: 'ACCOUNT' },
  { heading: 'OF', shrink: 'end' },
  { heading: 'WAS', align: 'right' },
  { heading: 'IS', align: 'right' },
  { heading: 'FILES', align: 'right' },
  { heading: 'SIZE', align: 'right' },
];

const MERGED_COLUMNS: readonly Column[] = [{ heading: 'PATH', shrink: 'start' }, { heading: 'SETTLED BY' }];

/** An image in a list; of an index the layers of all its images that are there. */
interface ImageRow {
  readonly name: string;
  readonly digest: Digest;
  readonly layers: number;
  /** Bytes of layers. */
  readonly size: number;
  readonly platforms?: readonly string[];
}

export interface InspectFlags extends ImageFlags {
  readonly json?: boolean;
}

/** `stk inspect [REF]`. */
export async function runInspect(session: Session, ref: string | undefined, flags: InspectFlags): Promise<number> {
  if (ref === undefined) return writeImages(session, await LayoutStore.open(session.global.ociDir), flags);
  const name = imageName(ref, flags);
  await using scope = new AsyncScope();
  if (name.kind !== 'docker') {
    const { store, reference } = await session.stores.open(name, { held: false }, scope);
    if (reference === undefined) return await writeImages(session, store, flags);
  }
  return await writeImage(session, await findNamed(session, name, { ...flags, held: false }, scope), flags);
}

async function writeImage(session: Session, image: FoundImage, flags: InspectFlags): Promise<number> {
  const { config, manifest } = image;
  const shared = isLayout(image.store) ? await sharedWith(image.store, image.reference) : NOT_SHARED;
  const index = image.indexes[0]?.descriptor.digest;
  const { layers: descriptors, annotations = {} } = manifest;
  const made = createdBy(config);
  const layers = descriptors.map((layer, index) =>
    inspectLayer(layer, { createdBy: made[index], sharedWith: shared.get(layer.digest) ?? [] }),
  );
  const applied = parseAppliedEntries(annotations[APPLY_LIST] ?? '[]') ?? [];
  if (flags.json) {
    const { digest, mediaType } = image.descriptor;
    const platform = formatPlatform(config);
    const summary = { name: shownName(image), digest, mediaType, platform, ...(index === undefined ? {} : { index }) };
    session.stdout.write(`${jsonText({ ...summary, layers, applied, config, annotations })}\n`);
    return 0;
  }
  const size = descriptors.reduce((sum, layer) => sum + layer.size, 0);
  const from = annotations[UPDATE_FROM];
  session.stdout.write(
    [
      printableLine(shownName(image)),
      `  digest    ${image.descriptor.digest}`,
      ...(index === undefined ? [] : [`  index     ${index}`]),
      `  platform  ${printableLine(formatPlatform(config))}`,
      `  created   ${printableLine(config.created ?? 'unknown')}`,
      `  layers    ${descriptors.length}, ${formatBytes(size)}`,
      ...(from === undefined ? [] : [`  updated   from ${printableLine(from)}`]),
      ...applied.map(({ name, ref: at, digest }) => printableLine(`  applies   ${name} ${at} ${digest.slice(0, 19)}`)),
      `${settings(config)}\n`,
    ].join('\n'),
  );
  writeTable(session, LAYER_COLUMNS, layers.map(layerRow));
  for (const [index, layer] of layers.entries()) writeMerged(session, index, layer);
  return 0;
}

/** Images of a layout are called by their tags. */
function shownName({ store, reference, name }: FoundImage): string {
  return isLayout(store) ? reference : name;
}

function layerRow(layer: InspectedLayer, index: number): readonly string[] {
  return [
    String(index + 1),
    layer.role,
    layer.apply?.name ?? '',
    layer.digest.slice(7, 19),
    formatBytes(layer.size),
    layer.verityRoot === undefined ? '-' : 'verity',
    layer.sharedWith.join(', '),
    layer.createdBy ?? '',
  ];
}

function writeMerged(session: Session, index: number, layer: InspectedLayer): void {
  const { role, merged, mergedCount, renumbered = [], remarks = [] } = layer;
  if (renumbered.length > 0) {
    session.stdout.write(`\nlayer ${index + 1} (${printableLine(role)}) renumbers ${renumbered.length} accounts\n`);
    const rows = renumbered.map(({ kind, name, image, from, to, paths, bytes }) => [
      ...[`${kind} ${name}`, image, String(from), String(to), String(paths), formatBytes(bytes)],
    ]);
    writeTable(session, RENUMBERED_COLUMNS, rows);
  }
  if (merged === undefined || mergedCount === undefined) return;
  session.stdout.write(`\nlayer ${index + 1} (${printableLine(role)}) settles ${mergedCount} paths\n`);
  writeTable(
    session,
    MERGED_COLUMNS,
    merged.map(([path, driver]) => [quotedName(path), driver]),
  );
  const more = mergedCount - merged.length;
  if (more > 0) session.stdout.write(`and ${more} more\n`);
  for (const remark of remarks) session.stdout.write(`note: ${printableLine(remark)}\n`);
}

async function writeImages(session: Session, store: BlobStore, flags: InspectFlags): Promise<number> {
  const rows: ImageRow[] = [];
  for await (const { tag, descriptor, manifests, platforms } of listImages(store, { signal: session.signal })) {
    const layers = new Map(manifests.flatMap(manifest => manifest.layers.map(layer => [layer.digest, layer.size])));
    const count = platforms ? layers.size : manifests[0]!.layers.length;
    const size = platforms ? sum([...layers.values()]) : sum(manifests[0]!.layers.map(layer => layer.size));
    rows.push({ name: tag, digest: descriptor.digest, layers: count, size, ...(platforms ? { platforms } : {}) });
  }
  if (flags.json) session.stdout.write(`${jsonText(rows)}\n`);
  else {
    const cells = rows.map(row => [
      quotedName(row.name),
      row.digest.slice(7, 19),
      String(row.layers),
      formatBytes(row.size),
      row.platforms?.join(', ') ?? '',
    ]);
    const columns = rows.some(row => row.platforms) ? [...IMAGE_COLUMNS, PLATFORMS_COLUMN] : IMAGE_COLUMNS;
    writeTable(session, columns, cells);
  }
  return 0;
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}

/** For each layer, the other images of the layout that hold the same blob. */
async function sharedWith(layout: LayoutStore, own: string): Promise<ReadonlyMap<Digest, readonly string[]>> {
  const users = new Map<Digest, string[]>();
  for await (const { tag, manifests } of listImages(layout)) {
    if (tag === own) continue;
    for (const { digest } of manifests.flatMap(manifest => manifest.layers)) {
      const names = users.get(digest) ?? [];
      if (!names.includes(tag)) names.push(tag);
      users.set(digest, names);
    }
  }
  return users;
}

function createdBy(config: ImageConfig): readonly (string | undefined)[] {
  return (config.history ?? []).filter(entry => entry.empty_layer !== true).map(entry => entry.created_by);
}

function settings(config: ImageConfig): string {
  const { Entrypoint, Cmd, User, WorkingDir, Env, Labels, Volumes } = config.config ?? {};
  const rows: (readonly [string, string | undefined])[] = [
    ['entrypoint', Entrypoint && JSON.stringify(Entrypoint)],
    ['cmd', Cmd && JSON.stringify(Cmd)],
    ['user', User],
    ['directory', WorkingDir],
    ['env', Env?.join(' ')],
    ['volumes', Volumes && Object.keys(Volumes).join(' ')],
    [
      'labels',
      Labels &&
        Object.entries(Labels)
          .map(([key, value]) => `${key}=${value}`)
          .join(' '),
    ],
  ];
  return rows.map(([name, value]) => (value ? `  ${name.padEnd(9)} ${printableLine(value)}\n` : '')).join('');
}

function writeTable(session: Session, columns: readonly Column[], rows: readonly (readonly string[])[]): void {
  const lines = formatTable(columns, rows, session.stdout.isTTY ? session.stdout.columns : undefined);
  session.stdout.write(lines.map(line => `${line}\n`).join(''));
}
