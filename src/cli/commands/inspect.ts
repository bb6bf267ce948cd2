import { formatBytes } from '../../core/bytes.ts';
import type { Digest } from '../../core/digest.ts';
import { StkError } from '../../core/errors.ts';
import type { Descriptor, ImageConfig, Manifest } from '../../oci/descriptor.ts';
import { LayoutStore } from '../../oci/layout.ts';
import { readIndex, tagOf } from '../../oci/layout-index.ts';
import { parseImageConfig, parseManifest } from '../../oci/parse-manifest.ts';
import { LAYER_ROLE, VERITY_ROOT } from '../../oci/layer-annotations.ts';
import type { Session } from '../session.ts';
import { formatTable, type Column } from '../ui/table.ts';
import { openLocalImage } from './image-ref.ts';

const IMAGE_COLUMNS: readonly Column[] = [
  { heading: 'IMAGE' },
  { heading: 'DIGEST' },
  { heading: 'LAYERS', align: 'right' },
  { heading: 'SIZE', align: 'right' },
];

const LAYER_COLUMNS: readonly Column[] = [
  { heading: '#', align: 'right' },
  { heading: 'ROLE' },
  { heading: 'DIGEST' },
  { heading: 'SIZE', align: 'right' },
  { heading: 'VERITY' },
  { heading: 'SHARED WITH', shrink: 'end' },
  { heading: 'MADE BY', shrink: 'end' },
];

interface LocalImage {
  readonly tag: string;
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
}

/** `stk inspect [REF]`. */
export async function runInspect(
  session: Session,
  ref: string | undefined,
  flags: { readonly json?: boolean },
): Promise<number> {
  if (ref === undefined) return listImages(session, await LayoutStore.open(session.global.ociDir), flags);
  const { layout, tag, path } = await openLocalImage(session, ref);
  if (path !== undefined)
    throw new StkError('usage', `inspect takes an image, not a path: ${ref}`, { hint: `stk ls ${ref}` });
  const image = await readImage(layout, tag);
  const config = parseImageConfig(await readBlob(layout, image.manifest.config), image.manifest.config.digest);
  const shared = await sharedWith(layout, tag);
  const layers = image.manifest.layers.map((layer, index) => ({
    role: layer.annotations?.[LAYER_ROLE] ?? 'layer',
    digest: layer.digest,
    mediaType: layer.mediaType,
    size: layer.size,
    verityRoot: layer.annotations?.[VERITY_ROOT],
    createdBy: createdBy(config)[index],
    sharedWith: shared.get(layer.digest) ?? [],
  }));
  const summary = { name: tag, digest: image.descriptor.digest, mediaType: image.descriptor.mediaType };
  if (flags.json) {
    session.stdout.write(
      `${JSON.stringify({ ...summary, layers, config, annotations: image.manifest.annotations ?? {} })}\n`,
    );
    return 0;
  }
  session.stdout.write(
    `${tag}\n  digest    ${image.descriptor.digest}\n  platform  ${config.os}/${config.architecture}\n`,
  );
  session.stdout.write(`  created   ${config.created ?? 'unknown'}\n${settings(config)}\n`);
  const rows = layers.map((layer, index) => [
    String(index + 1),
    layer.role,
    layer.digest.slice(7, 19),
    formatBytes(layer.size),
    layer.verityRoot === undefined ? '-' : 'verity',
    layer.sharedWith.join(', '),
    layer.createdBy ?? '',
  ]);
  writeTable(session, LAYER_COLUMNS, rows);
  return 0;
}

async function listImages(session: Session, layout: LayoutStore, flags: { readonly json?: boolean }): Promise<number> {
  const rows: { name: string; digest: Digest; layers: number; size: number }[] = [];
  for (const tag of await layout.tags()) {
    const { descriptor, manifest } = await readImage(layout, tag);
    const size = manifest.layers.reduce((sum, layer) => sum + layer.size, 0);
    rows.push({ name: tag, digest: descriptor.digest, layers: manifest.layers.length, size });
  }
  if (flags.json) session.stdout.write(`${JSON.stringify(rows)}\n`);
  else {
    const cells = rows.map(row => [row.name, row.digest.slice(7, 19), String(row.layers), formatBytes(row.size)]);
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
  return rows.map(([name, value]) => (value ? `  ${name.padEnd(9)} ${value}\n` : '')).join('');
}

function writeTable(session: Session, columns: readonly Column[], rows: readonly (readonly string[])[]): void {
  const lines = formatTable(columns, rows, session.stdout.isTTY ? session.stdout.columns : undefined);
  session.stdout.write(lines.map(line => `${line}\n`).join(''));
}
