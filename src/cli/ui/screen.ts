import type { StkEvent } from '../../core/events.ts';

/** One way of showing events; `show` neither throws nor blocks. */
export interface Screen {
  show(event: StkEvent): void;
  suspend(): Promise<void>;
  resume(): Promise<void>;
  close(): Promise<void>;
}
