import { sharedSecrets } from '../apply/identities/shared-secrets.ts';
import { AsyncScope } from '../core/async-scope.ts';
import { say } from '../core/events.ts';
import { openLayer } from '../sources/layer-stack.ts';
import type { StackLayer } from '../sources/ports.ts';
import { LayerStack } from '../squashfs/layer-stack.ts';
import type { SquashfsReader } from '../squashfs/squashfs-reader.ts';
import type { ImageBuild } from './image-build.ts';

interface AppliedLayersOf {
  readonly name: string;
  /** Bottom up, its base included. */
  readonly layers: readonly StackLayer[];
}

/** Warns of keys and ids of a machine that applied images bring in their own layers, with the line that removes them. */
export async function warnOfSharedSecrets(
  { layout, emit, definition, signal }: ImageBuild,
  base: readonly StackLayer[],
  images: readonly AppliedLayersOf[],
): Promise<void> {
  await using scope = new AsyncScope();
  const opened = new Map<string, SquashfsReader>();
  const stackOf = async (layers: readonly StackLayer[]) => {
    const readers: SquashfsReader[] = [];
    for (const { squashfs } of layers) {
      const { digest } = squashfs;
      const reader = opened.get(digest) ?? scope.use(await openLayer(layout, { digest }, signal));
      opened.set(digest, reader);
      readers.push(reader);
    }
    return readers.length === 0 ? undefined : new LayerStack(readers);
  };
  const below = await stackOf(base);
  for (const { name, layers } of images) {
    const tree = await stackOf(layers);
    if (tree === undefined) continue;
    for (const { text, removal } of await sharedSecrets({ name, tree, base: below }, signal)) {
      say(emit, 'warning', `${text}; end the script that makes it with: ${removal}`, definition.name);
    }
  }
}
