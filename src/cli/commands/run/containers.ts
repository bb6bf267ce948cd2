import { containersHome, listContainers, removeContainer } from '../../../container/container-record.ts';
import { readPrivileges } from '../../../host/privileges.ts';
import type { Session } from '../../session.ts';
import { jsonText } from '../../ui/json-text.ts';
import { formatTable } from '../../ui/table.ts';

/** `stk containers`. */
export async function runContainers(session: Session, flags: { readonly json?: boolean }): Promise<number> {
  const containers = await listContainers(containersHome(session.global.stkDir));
  if (flags.json) {
    const list = containers.map(({ name, record, inUse }) => ({
      name,
      inUse,
      ...record,
      readable: record !== undefined,
    }));
    session.stdout.write(`${jsonText(list)}\n`);
    return 0;
  }
  const rows = containers.map(({ name, record, inUse }) => [
    name,
    record?.tag ?? '(cannot be read)',
    record?.digest.slice(0, 19) ?? '',
    inUse ? 'in use' : 'at rest',
    record?.createdAt ?? '',
  ]);
  const columns = ['NAME', 'IMAGE', 'DIGEST', 'STATE', 'CREATED'].map(heading => ({ heading }));
  session.stdout.write(
    formatTable(columns, rows)
      .map(line => `${line}\n`)
      .join(''),
  );
  return 0;
}

/** `stk rm NAME…`. */
export async function runRm(session: Session, names: readonly string[]): Promise<number> {
  const privileges = await readPrivileges();
  if (!privileges.canMount && !session.inside) return session.enter();
  for (const name of names) {
    await removeContainer(containersHome(session.global.stkDir), name, session.signal);
    session.stdout.write(`${name}\n`);
  }
  return 0;
}
