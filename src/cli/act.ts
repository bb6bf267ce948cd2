import type { Session } from './session.ts';

/** Adds a command's action: it gets a session and returns the exit status. */
export type Act = <A extends readonly unknown[]>(
  action: (session: Session, ...args: A) => Promise<number>,
) => (...args: unknown[]) => Promise<void>;
