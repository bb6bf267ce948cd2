import type { Emit } from '../../core/events.ts';

/** One way of showing events; `show` neither throws nor blocks. */
export interface Screen {
  readonly show: Emit;
  suspend(): Promise<void>;
  resume(): Promise<void>;
  close(): Promise<void>;
}
