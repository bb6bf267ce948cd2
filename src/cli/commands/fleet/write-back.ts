import { StkError } from '../../../core/errors.ts';
import { say, type Emit } from '../../../core/events.ts';
import { absPath } from '../../../core/paths.ts';
import { writeBack, type WrittenReference } from '../../../fleet/write-back.ts';
import { writeFileAtomic } from '../../../host/atomic-write.ts';
import { readFile, stat } from '../../../host/files.ts';
import { formatImageName, parseImageName } from '../../../oci/image-name.ts';
import type { Session } from '../../session.ts';

export interface WriteBackOptions {
  /** By the image's name as `formatImageName` has it. */
  readonly images: ReadonlyMap<string, WrittenReference>;
  readonly dryRun: boolean;
  readonly emit: Emit;
}

/** Replaces references in files (see `writeBack`), each as a whole. Throws `not-found` for a file that cannot be read. */
export async function writeBackFiles(
  { workingDirectory, stores }: Session,
  files: readonly string[],
  { images, dryRun, emit }: WriteBackOptions,
): Promise<void> {
  const find = (text: string) => {
    const name = parseImageName(text);
    const whole = name.kind === 'oci' || name.kind === 'tag' ? stores.resolveDirectory(name) : name;
    return images.get(formatImageName(whole));
  };
  for (const file of files) {
    const target = absPath(file, workingDirectory);
    const before = await readFile(target, 'utf8').catch((cause: unknown) => {
      throw new StkError('not-found', `cannot read ${target}, which is to be written back to`, { cause });
    });
    const { text, changed, unknown } = writeBack(before, find);
    for (const image of unknown) say(emit, 'warning', `${file}: ${image} is none of the images that were looked at`);
    if (changed.length === 0) continue;
    say(emit, 'info', `${file}: ${dryRun ? 'would write' : 'wrote'} line ${changed.join(', ')}`);
    if (!dryRun) await writeFileAtomic(target, text, { exactMode: (await stat(target)).mode & 0o7777 });
  }
}
