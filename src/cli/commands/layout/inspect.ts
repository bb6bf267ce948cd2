import { formatBytes } from '../../../core/bytes.ts';
import type { Digest } from '../../../core/digest.ts';
import { StkError } from '../../../core/errors.ts';
import type { Descriptor, ImageConfig, Manifest } from '../../../oci/descriptor.ts';
import { LayoutStore } from '../../../oci/layout.ts';
import { readIndex, tagOf } from '../../../oci/layout-index.ts';
import { parseImageConfig, parseManifest } from '../../../oci/parse-manifest.ts';
import { APPLY_LIST, UPDATE_FROM, parseAppliedEntries } from '../../../oci/layer-annotations.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { quotedName } from '../../ui/quoted-name.ts';
import { printableLine } from '../../ui/printable-line.ts';
import { formatTable, type Column } from '../../ui/table.ts';
import { openLocalImage } from '../images/image-ref.ts';
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

const MERGED_COLUMNS: readonly Column[] = [{ heading: 'PATH', shrink: 'start' }, { heading: 'SETTLED BY' }];

interface LocalImage {
  readonly tag: string;
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
}

/** An image with its configuration, wherever it lies. */
interface WholeImage extends LocalImage {
  readonly config: ImageConfig;
  /** For each layer, other images of the same layout that have it. */
  readonly shared: ReadonlyMap<Digest, readonly string[]>;
}

export interface InspectFlags {
  readonly json?: boolean;
  readonly tlsVerify: boolean;
}

/** `stk inspect [REF]`. */
export async function runInspect(session: Session, ref: string | undefined, flags: InspectFlags): Promise<number> {
  if (ref === undefined) return listImages(session, await LayoutStore.open(session.global.ociDir), flags);
  const image = ref.startsWith('docker://')
    ? await readRegistryImage(session, ref, flags)
    : await readLocalImage(session, ref);
  const { config, manifest } = image;
  const { layers: descriptors, annotations = {} } = manifest;
  const made = createdBy(config);
  const layers = descriptors.map((layer, index) =>
    inspectLayer(layer, { createdBy: made[index], sharedWith: image.shared.get(layer.digest) ?? [] }),
  );
  const applied = parseAppliedEntries(annotations[APPLY_LIST] ?? '[]') ?? [];
  if (flags.json) {
    const { digest, mediaType } = image.descriptor;
    const summary = { name: image.tag, digest, mediaType };
    session.stdout.write(`${jsonText({ ...summary, layers, applied, config, annotations })}\n`);
    return 0;
  }
  const size = descriptors.reduce((sum, layer) => sum + layer.size, 0);
  const from = annotations[UPDATE_FROM];
  session.stdout.write(
    [
      printableLine(image.tag),
      `  digest    ${image.descriptor.digest}`,
      `  platform  ${config.os}/${config.architecture}`,
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

async function readLocalImage(session: Session, ref: string): Promise<WholeImage> {
  const { layout, tag, path } = await openLocalImage(session, ref);
  if (path !== undefined)
    throw new StkError('usage', `inspect takes an image, not a path: ${ref}`, { hint: `stk ls ${ref}` });
  const image = await readImage(layout, tag);
  const { digest } = image.manifest.config;
  const config = parseImageConfig(await readBlob(layout, image.manifest.config), digest);
  return { ...image, config, shared: await sharedWith(layout, tag) };
}

async function readRegistryImage(session: Session, ref: string, flags: InspectFlags): Promise<WholeImage> {
  const { findSourceImage } = await import('../images/image-source.ts');
  const found = await findSourceImage(session, ref, flags, session.scope);
  return { ...found, tag: ref, shared: new Map() };
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

function writeMerged(session: Session, index: number, { role, merged, mergedCount }: InspectedLayer): void {
  if (merged === undefined || mergedCount === undefined) return;
  session.stdout.write(`\nlayer ${index + 1} (${printableLine(role)}) settles ${mergedCount} paths\n`);
  writeTable(
    session,
    MERGED_COLUMNS,
    merged.map(([path, driver]) => [quotedName(path), driver]),
  );
  const more = mergedCount - merged.length;
  if (more > 0) session.stdout.write(`and ${more} more\n`);
}

async function listImages(session: Session, layout: LayoutStore, flags: InspectFlags): Promise<number> {
  const rows: { name: string; digest: Digest; layers: number; size: number }[] = [];
  for (const tag of await layout.tags()) {
    const { descriptor, manifest } = await readImage(layout, tag);
    const size = manifest.layers.reduce((sum, layer) => sum + layer.size, 0);
    rows.push({ name: tag, digest: descriptor.digest, layers: manifest.layers.length, size });
  }
  if (flags.json) session.stdout.write(`${jsonText(rows)}\n`);
  else {
    const cells = rows.map(row => [
      quotedName(row.name),
      row.digest.slice(7, 19),
      String(row.layers),
      formatBytes(row.size),
    ]);
    writeTable(session, IMAGE_COLUMNS, cells);
  }
  return 0;
}

async function readImage(layout: LayoutStore, tag: string): Promise<LocalImage> {
  const { descriptor, bytes } = await layout.readManifest(tag);
  const parsed = parseManifest(bytes, tag);
  if (parsed.kind === 'manifest') return { tag, descriptor, manifest: parsed.manifest };
  throw new StkError('unsupported', `${tag} is an index of ${parsed.manifest.manifests.length} images`, {
    hint: 'name one of them by its digest',
  });
}

async function readBlob(layout: LayoutStore, descriptor: Descriptor): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of layout.readBlob(descriptor)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** For each layer, the other images of the layout that hold the same blob. */
async function sharedWith(layout: LayoutStore, own: string): Promise<ReadonlyMap<Digest, string[]>> {
  const users = new Map<Digest, string[]>();
  for (const entry of (await readIndex(layout.directory)).manifests) {
    const tag = tagOf(entry);
    if (tag === undefined || tag === own || !(await layout.hasBlob(entry))) continue;
    const parsed = parseManifest(await readBlob(layout, entry), tag);
    if (parsed.kind !== 'manifest') continue;
    for (const layer of parsed.manifest.layers) {
      const names = users.get(layer.digest) ?? [];
      if (!names.includes(tag)) names.push(tag);
      users.set(layer.digest, names);
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
