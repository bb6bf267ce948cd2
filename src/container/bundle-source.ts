import { StkError, isStkError } from '../core/errors.ts';
import type { ImageConfig } from '../oci/descriptor.ts';
import type { LayoutStore } from '../oci/layout.ts';
import { parseImageConfig } from '../oci/parse-manifest.ts';
import { imageLayers, type LayeredImage } from '../mount/image-layers.ts';
import { openLayerStack } from '../sources/layer-stack.ts';
import type { LayerStack } from '../squashfs/layer-stack.ts';
import type { AccountFiles } from './bundle-user.ts';

/** Far beyond any real account file, configuration aside. */
const MAX_ACCOUNT_BYTES = 16 * 1024 * 1024;
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

/** What a container's configuration is made from. Symlinks are followed inside the image alone. */
export interface BundleSource extends AsyncDisposable {
  readonly config: ImageConfig;
  accountFiles(): Promise<AccountFiles>;
  /** Attributes of a directory of the image; `undefined` where there is none. The path is absolute. */
  directory(path: string): Promise<{ readonly mode: number; readonly uid: number; readonly gid: number } | undefined>;
}

/**
 * Opens an image without mounting it. Throws `unsupported` for images of another operating system and what `imageLayers`
 * throws.
 */
export async function openBundleSource(
  layout: LayoutStore,
  image: LayeredImage,
  signal?: AbortSignal,
): Promise<BundleSource> {
  const layers = imageLayers(layout, image);
  const config = await readImageConfig(layout, image, signal);
  if (config.os !== 'linux') {
    throw new StkError('unsupported', `${image.name} is an image for ${config.os}`, {
      hint: 'only images for linux can be run here',
    });
  }
  const stack = await openLayerStack(
    layout,
    layers.map(({ descriptor }) => ({ squashfs: descriptor })),
    signal,
  );
  const resolve = async (path: string) =>
    (await stack?.resolve(Buffer.from(path, 'utf8').toString('latin1'), signal))?.node;
  return {
    config,
    accountFiles: async () => ({
      passwd: await readText(stack, await resolve('/etc/passwd'), signal),
      group: await readText(stack, await resolve('/etc/group'), signal),
    }),
    directory: async path => {
      const inode = (await resolve(path))?.inode;
      return inode?.type === 'directory' ? inode : undefined;
    },
    async [Symbol.asyncDispose]() {
      await stack?.[Symbol.asyncDispose]();
    },
  };
}

/** The configuration of an image, checked against its digest. Throws `invalid-input` where it is malformed or huge. */
export async function readImageConfig(
  layout: LayoutStore,
  image: LayeredImage,
  signal?: AbortSignal,
): Promise<ImageConfig> {
  const descriptor = image.manifest.config;
  if (descriptor.size > MAX_CONFIG_BYTES) {
    throw new StkError('invalid-input', `${image.name}: its configuration is ${descriptor.size} bytes long`);
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of layout.readBlob(descriptor, signal ? { signal } : {})) chunks.push(chunk);
  return parseImageConfig(Buffer.concat(chunks), `${image.name}: its configuration`);
}

async function readText(
  stack: LayerStack | undefined,
  node: Awaited<ReturnType<LayerStack['lookup']>>,
  signal: AbortSignal | undefined,
): Promise<string> {
  if (!stack || node?.inode.type !== 'file') return '';
  try {
    const bytes = await stack.readFile(node, { maxBytes: MAX_ACCOUNT_BYTES, ...(signal ? { signal } : {}) });
    return bytes.toString('latin1');
  } catch (cause) {
    if (!isStkError(cause, 'unsupported')) throw cause;
    throw new StkError('unsupported', `the image's account files are beyond ${MAX_ACCOUNT_BYTES} bytes`, { cause });
  }
}
