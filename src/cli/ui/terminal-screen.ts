import type { StkEvent } from '../../core/events.ts';
import { closingLines, lastingLines, outputSoFar } from './lasting-lines.ts';
import { LineWriter } from './line-writer.ts';
import { liveLines } from './live-lines.ts';
import type { LiveView } from './ink/live-view.tsx';
import { painter } from './paint.ts';
import { initialState, reduce } from './reduce.ts';
import type { Screen } from './screen.ts';

/** Seven frames a second; also how long work must last before the view is loaded at all. */
const FRAME_MS = 150;
/** Lines waiting for the next frame, or for the end of a suspension. */
const MAX_WAITING_LINES = 10_000;

export interface TerminalOptions {
  readonly stderr: NodeJS.WriteStream;
  readonly color: boolean;
  readonly debug: boolean;
}

/**
 * A terminal: what has ended stays as lines, what is running is redrawn below them. The view is loaded with the first
 * task that lasts longer than a frame.
 */
export function terminalScreen({ stderr, color, debug }: TerminalOptions): Screen {
  const paint = painter(color);
  const writer = new LineWriter(stderr);
  let state = initialState;
  let waiting: string[] = [];
  let leftOut = 0;
  let view: LiveView | undefined;
  let loading: Promise<void> | undefined;
  let suspended = false;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  const takeWaiting = () => {
    const lines = leftOut > 0 ? [`… ${leftOut} lines left out`, ...waiting] : waiting;
    [waiting, leftOut] = [[], 0];
    return lines;
  };
  const frame = () => {
    // A terminal that does not know its size says 0.
    return liveLines(state, { columns: stderr.columns || 80, rows: stderr.rows || 24, now: Date.now(), paint });
  };
  const draw = () => {
    if (suspended || closed) return;
    const lines = takeWaiting();
    if (view) view.draw(lines, frame());
    else writer.write(lines);
    if (!view && state.running.size > 0) loading ??= load();
    if (!view && !loading && state.running.size === 0) stop();
  };
  const load = async () => {
    try {
      const { openLiveView } = await import('./ink/live-view.tsx');
      if (!suspended && !closed) view = openLiveView(stderr, () => frame());
      loading = undefined;
    } catch (error) {
      // Without the view the lasting lines still appear; `loading` stays set, so it is not tried again.
      waiting.push(`! progress cannot be drawn: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const start = () => {
    timer ??= setInterval(draw, FRAME_MS).unref();
  };
  const stop = () => {
    clearInterval(timer);
    timer = undefined;
  };
  const closeView = () => {
    view?.close();
    view = undefined;
  };

  return {
    show(event: StkEvent) {
      for (const line of lastingLines(state, event, { paint, debug })) waiting.push(line);
      if (waiting.length > 2 * MAX_WAITING_LINES) {
        leftOut += waiting.length - MAX_WAITING_LINES;
        waiting = waiting.slice(-MAX_WAITING_LINES);
      }
      state = reduce(state, event);
      if (!suspended) start();
    },
    async suspend() {
      stop();
      await loading;
      closeView();
      writer.write([...takeWaiting(), ...outputSoFar(state, paint)]);
      suspended = true;
      writer.hold();
    },
    async resume() {
      suspended = false;
      writer.release();
      start();
    },
    async close() {
      stop();
      await loading;
      closed = true;
      closeView();
      writer.write([...takeWaiting(), ...closingLines(state, Date.now(), paint)]);
      await writer.close();
    },
  };
}
