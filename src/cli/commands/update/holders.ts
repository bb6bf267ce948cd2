import { AsyncScope } from '../../../core/async-scope.ts';
import { isDigest, type Digest } from '../../../core/digest.ts';
import { StkError } from '../../../core/errors.ts';
import { LAYER_ROLE } from '../../../oci/layer-annotations.ts';
import { findHolders, type Holder } from '../../../update/find-holders.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { printableLine } from '../../ui/printable-line.ts';
import { formatTable, type Column } from '../../ui/table.ts';
import type { ImageFlags } from '../images/image-flags.ts';
import { findNamed, imageName } from '../images/image-names.ts';

export interface HoldersFlags extends ImageFlags {
  readonly all?: string;
  readonly json?: boolean;
}

const COLUMNS: readonly Column[] = [
  { heading: 'IMAGE' },
  { heading: 'DIGEST' },
  { heading: 'LAYER' },
  { heading: 'AS' },
];

/** `stk holders LAYER|IMAGE`: the images that hold a layer, or any of an image's own. Status 0 also where there are none. */
export async function runHolders(session: Session, what: string, flags: HoldersFlags): Promise<number> {
  await using scope = new AsyncScope();
  const wanted = await wantedLayers(session, what, flags, scope);
  const ports = { stores: session.stores, scope, signal: session.signal };
  const { holders, failed, images } = await findHolders(ports, flags.all, wanted, {
    tlsVerify: flags.tlsVerify !== false,
  });
  if (flags.json) session.stdout.write(`${jsonText(holders, 2)}\n`);
  else if (holders.length === 0) session.stdout.write(`none of ${images} images holds it\n`);
  else {
    const width = session.stdout.isTTY ? session.stdout.columns : undefined;
    const lines = formatTable(COLUMNS, holders.flatMap(rows), width);
    session.stdout.write(`${lines.map(printableLine).join('\n')}\n`);
  }
  const [first] = failed;
  if (first === undefined) return 0;
  const names = failed.map(({ name, error }) => `${name}: ${error.message}`);
  throw new StkError(first.error.code, `${failed.length} images could not be looked at:\n${names.join('\n')}`, {
    cause: first.error,
  });
}

function rows({ name, digest, layers }: Holder): string[][] {
  return layers.map(layer => [
    name,
    digest.slice(7, 19),
    layer.digest.slice(7, 19),
    [layer.role ?? 'layer', layer.appliedAs ?? ''].join(' ').trim(),
  ]);
}

/** A layer by its digest, or what an image has above its base: all of its layers where it does not say which those are. */
async function wantedLayers(
  session: Session,
  what: string,
  flags: HoldersFlags,
  scope: AsyncScope,
): Promise<ReadonlySet<Digest>> {
  if (isDigest(what)) return new Set([what]);
  const { manifest } = await findNamed(session, imageName(what, flags), flags, scope);
  const own = manifest.layers.filter(({ annotations }) => annotations?.[LAYER_ROLE] !== 'base');
  return new Set((own.length > 0 ? own : manifest.layers).map(({ digest }) => digest));
}
