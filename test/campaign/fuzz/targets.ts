import { bufferReader } from '../../../src/core/blob-reader.ts';
import { StkError } from '../../../src/core/errors.ts';
import { absPath } from '../../../src/core/paths.ts';
import { parseRequest } from '../../../src/host/fuse/wire.ts';
import { TarReader } from '../../../src/layer/tar-reader.ts';
import { parseVeritySuperblock } from '../../../src/layer/verity-format.ts';
import { parseImageName } from '../../../src/oci/image-name.ts';
import { parseAppliedEntries } from '../../../src/oci/layer-annotations.ts';
import { parseImageConfig, parseIndex, parseManifest } from '../../../src/oci/parse-manifest.ts';
import { parseRecipe } from '../../../src/recipe/parse.ts';
import { parsePolicy } from '../../../src/signing/signature-policy.ts';
import { openSquashfs } from '../../../src/squashfs/squashfs-reader.ts';
import { CorruptBlock } from '../../../src/squashfs/malformed.ts';
import { zstdDecode } from '../../../src/squashfs/zstd-decode.ts';

/** What reads foreign bytes: it may refuse them with a `StkError`, and nothing else. */
export interface Target {
  readonly name: string;
  /** Real inputs that are mutated. */
  readonly samples: readonly Uint8Array[];
  /** How often it is chosen, beside the others. */
  readonly weight: number;
  read(bytes: Buffer): unknown;
}

const MOST_CONTENT = 4 << 20;

/** @param files real files: squashfs images, tars, zstd frames, recipes, and the documents of a layout */
export function targets(
  files: Readonly<Record<'squashfs' | 'tar' | 'zstd' | 'recipes' | 'verity', readonly Buffer[]>> & {
    readonly documents: Readonly<Record<'manifest' | 'index' | 'config' | 'applied', readonly Buffer[]>>;
  },
): readonly Target[] {
  const { documents } = files;
  const root = absPath('/', '/');
  const policy = JSON.stringify({
    default: [{ type: 'reject' }],
    transports: {
      docker: {
        'h.example/a': [{ type: 'sigstoreSigned', keyPath: '/k', signedIdentity: { type: 'matchRepository' } }],
      },
    },
  });
  const names = [
    'docker://h.example:5000/a/b:1@sha256:' + 'a'.repeat(64),
    'oci:dir:tag',
    'app:1:/etc',
    'oci-archive:f.tar:x',
  ];
  const text = (bytes: Buffer) => bytes.toString('utf8');
  return [
    {
      name: 'recipe',
      weight: 3,
      samples: files.recipes,
      read: bytes => parseRecipe(text(bytes), { file: '/r.yaml', directory: root, workingDirectory: root }),
    },
    { name: 'manifest', weight: 2, samples: documents.manifest, read: bytes => parseManifest(bytes, 'm') },
    { name: 'index', weight: 1, samples: documents.index, read: bytes => parseIndex(bytes, 'i') },
    { name: 'configuration', weight: 2, samples: documents.config, read: bytes => parseImageConfig(bytes, 'c') },
    { name: 'applied entries', weight: 1, samples: documents.applied, read: bytes => parseAppliedEntries(text(bytes)) },
    {
      name: 'image name',
      weight: 2,
      samples: names.map(name => Buffer.from(name)),
      read: bytes => parseImageName(text(bytes)),
    },
    {
      name: 'policy',
      weight: 1,
      samples: [Buffer.from(policy)],
      read: bytes => parsePolicy(text(bytes), 'p', () => Promise.resolve('key')),
    },
    { name: 'squashfs', weight: 6, samples: files.squashfs, read: readSquashfs },
    { name: 'tar', weight: 4, samples: files.tar, read: readTar },
    { name: 'zstd', weight: 3, samples: files.zstd, read: readZstd },
    { name: 'verity superblock', weight: 1, samples: files.verity, read: parseVeritySuperblock },
    { name: 'FUSE request', weight: 1, samples: [fuseRead()], read: parseRequest },
  ];
}

/** Every inode and attribute, and the content of small files. */
async function readSquashfs(bytes: Buffer): Promise<void> {
  await using image = await openSquashfs(bufferReader(bytes));
  let left = 2000;
  for await (const { node } of image.walk()) {
    if (left-- === 0) return;
    if (node.type === 'file') await image.readFile(node, { maxBytes: MOST_CONTENT });
  }
}

async function readTar(bytes: Buffer): Promise<void> {
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += 8192) yield bytes.subarray(at, at + 8192);
  }
  await using tar = new TarReader(chunks());
  while ((await tar.next()) !== undefined);
}

/** The decoder leaves it to its caller to say which image is damaged. */
function readZstd(bytes: Buffer): void {
  try {
    zstdDecode(bytes, MOST_CONTENT);
  } catch (error) {
    if (!(error instanceof CorruptBlock)) throw error;
    throw new StkError('invalid-input', error.message);
  }
}

/** A header of `FUSE_READ` (fuse.h, struct fuse_in_header) with its body. */
function fuseRead(): Buffer {
  const request = Buffer.alloc(80);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt32LE(15, 4);
  request.writeBigUInt64LE(7n, 8);
  request.writeBigUInt64LE(1n, 16);
  return request;
}
