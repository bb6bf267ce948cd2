import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';

interface Descriptor {
  readonly digest: string;
  readonly size: number;
  readonly mediaType: string;
}

interface Document {
  readonly manifests?: readonly Descriptor[];
  readonly layers?: readonly Descriptor[];
  readonly config?: Descriptor;
}

/**
 * What is wrong with an OCI layout (image-spec, image-layout.md), found without the program under test: every blob has the
 * digest that it is named after, and whatever the index reaches is there in its size.
 */
export async function wrongInLayout(layout: string): Promise<string[]> {
  const problems: string[] = [];
  const blobs = new Map<string, Buffer>();
  for (const name of await readdir(path.join(layout, 'blobs/sha256'))) {
    if (!/^[0-9a-f]{64}$/.test(name)) continue;
    const bytes = await readFile(path.join(layout, 'blobs/sha256', name));
    if (createHash('sha256').update(bytes).digest('hex') !== name) problems.push(`blob ${name} has another digest`);
    blobs.set(`sha256:${name}`, bytes);
  }
  const read = async (file: string) => JSON.parse(await readFile(path.join(layout, file), 'utf8')) as Document;
  try {
    await read('oci-layout');
    const pending = [await read('index.json')];
    for (let document = pending.pop(); document; document = pending.pop()) {
      const reached = [...(document.manifests ?? []), ...(document.layers ?? []), document.config ?? []].flat();
      for (const { digest, size, mediaType } of reached) {
        const bytes = blobs.get(digest);
        if (bytes?.length !== size)
          problems.push(`${digest} is ${bytes ? `${bytes.length} bytes, not ${size}` : 'gone'}`);
        else if (/\.(?:manifest|index)\.v1\+json$/.test(mediaType))
          pending.push(JSON.parse(bytes.toString()) as Document);
      }
    }
  } catch (error) {
    problems.push(`the layout cannot be read: ${String(error)}`);
  }
  return problems;
}
