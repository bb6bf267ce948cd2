import { readPrivileges } from '../../../host/privileges.ts';
import { listMounts, repairMounts, type MountList } from '../../../mount/list-mounts.ts';
import { stateHome } from '../../../mount/state-directory.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { quotedName } from '../../ui/quoted-name.ts';
import { formatTable, type Column } from '../../ui/table.ts';

const COLUMNS: readonly Column[] = [
  { heading: 'TARGET', shrink: 'start' },
  { heading: 'STATUS' },
  { heading: 'IMAGE', shrink: 'start' },
  { heading: 'DIGEST' },
  { heading: 'LAYERS', align: 'right' },
  { heading: 'SHARED', align: 'right' },
  { heading: 'HOW' },
  { heading: 'VERITY' },
  { heading: 'ACCESS' },
];

/** `stk mounts`. */
export async function runMounts(
  session: Session,
  flags: { readonly json?: boolean; readonly repair?: boolean },
): Promise<number> {
  const home = await stateHome(session.environment, await readPrivileges());
  const request = { home, signal: session.signal };
  if (flags.repair) {
    const { cleared, releasedLayers } = await repairMounts(request);
    if (flags.json) session.stdout.write(`${jsonText({ cleared, releasedLayers })}\n`);
    else {
      for (const target of cleared) session.stdout.write(`cleared ${quotedName(target)}\n`);
      session.stdout.write(`cleared ${cleared.length} mounts and ${releasedLayers} layers\n`);
    }
    return 0;
  }
  const list = await listMounts(request);
  if (flags.json) session.stdout.write(`${jsonText(list)}\n`);
  else print(session, list);
  return 0;
}

function print(session: Session, { mounts, strays }: MountList): void {
  const rows = mounts.map(mount => [
    quotedName(mount.target),
    mount.status,
    mount.image,
    mount.digest.slice(7, 19),
    String(mount.layers),
    String(mount.sharedLayers),
    mount.method.layers === 'kernel' ? 'kernel' : mount.method.overlay === 'kernel' ? 'fuse' : 'fuse, fuse-overlayfs',
    mount.method.verity,
    mount.writable ? 'writable' : 'read-only',
  ]);
  const lines = formatTable(COLUMNS, rows, session.stdout.isTTY ? session.stdout.columns : undefined);
  session.stdout.write(lines.map(line => `${line}\n`).join(''));
  const unsound = mounts.filter(mount => mount.status !== 'mounted').length;
  if (unsound + strays.length === 0) return;
  session.stderr.write(
    `${unsound} mounts do not stand, ${strays.length} leftovers of crashes: \`stk mounts --repair\` clears them away\n`,
  );
}
