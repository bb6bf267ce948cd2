import { StkError } from '../../../core/errors.ts';
import { absPath } from '../../../core/paths.ts';
import type { Fleet, FleetImages } from '../../../fleet/fleet-model.ts';
import { readFleet } from '../../../fleet/read-fleet.ts';
import { selectTags, type SelectPorts, type SelectedTag, type SelectedTags } from '../../../fleet/select-images.ts';
import { formatImageName, parseImageName } from '../../../oci/image-name.ts';
import { imageReference } from '../../../stores/find-image.ts';
import type { Session } from '../../session.ts';

/** Reads a fleet file that the command line names. Throws `RecipeError` for one with problems. */
export async function openFleet(session: Session, name: string): Promise<Fleet> {
  const file = absPath(name === '-' ? '/dev/stdin' : name, session.workingDirectory);
  const bytes = await session.given.read(file).catch((cause: unknown) => {
    throw new StkError('not-found', `cannot read the fleet file ${file}`, { cause, facts: { path: file } });
  });
  return readFleet(bytes.toString('utf8'), file);
}

/** The tags of a fleet, or those that the command line names; without either, those of the default layout. */
export async function wantedTags(
  refs: readonly string[],
  fleet: Fleet | undefined,
  ports: SelectPorts,
): Promise<SelectedTags> {
  if (fleet) return selectTags(fleet.images, ports);
  const { directory } = ports.stores.resolveDirectory({ kind: 'tag' });
  const tags: SelectedTag[] = [];
  const places: FleetImages[] = [];
  for (const ref of refs.length === 0 ? [formatImageName({ kind: 'oci', directory })] : refs) {
    const name = parseImageName(ref);
    const isPlace = name.tag === undefined && name.digest === undefined && name.kind !== 'tag';
    if (isPlace) places.push(allOf(ref));
    else tags.push(await oneTag(ref, ports));
  }
  const selected = await selectTags(places, ports);
  return { tags: [...tags, ...selected.tags], failed: selected.failed };
}

async function oneTag(ref: string, { stores, tlsVerify, scope }: SelectPorts): Promise<SelectedTag> {
  const opened = await stores.open(parseImageName(ref), { tlsVerify }, scope);
  return { store: opened.store, tag: imageReference(opened), name: opened.text, by: allOf(ref) };
}

function allOf(from: string): FleetImages {
  return { from, tags: ['*'], newest: undefined, exclude: [], platforms: [], tag: undefined, move: 'always' };
}
