import type { Session } from '../session.ts';
export async function runLs(_session: Session, _ref: string | undefined, _flags: object): Promise<number> {
  return 0;
}
