import { say, type Emit } from '../../core/events.ts';
import type { AbsPath } from '../../core/paths.ts';
import { jsonFormatter } from './json.ts';
import { LineWriter } from './line-writer.ts';
import { openLogFile, type LogFile } from './log-file.ts';
import type { Screen } from './screen.ts';
import { terminalScreen } from './terminal-screen.ts';
import { plainFormatter, quietFormatter, type LineFormatter } from './plain.ts';

export const UI_MODES = ['auto', 'tty', 'plain', 'json', 'quiet'] as const;
export type UiMode = (typeof UI_MODES)[number];

export interface UiOptions {
  /** `auto` is `tty` where standard error is a terminal that can be redrawn, else `plain`. */
  readonly mode: UiMode;
  /** Where progress goes; it stays the caller's. */
  readonly stderr: NodeJS.WriteStream;
  readonly color: boolean;
  /** Shows `debug` messages. */
  readonly debug: boolean;
  /** What `auto` looks at: a dumb terminal and a CI service get `plain`. */
  readonly environment?: { readonly TERM?: string | undefined; readonly CI?: string | undefined };
  /** Receives the plain rendering besides, all `debug` messages included; emptied first. */
  readonly logFile?: AbsPath;
}

/** Shows events to whoever waits for the work. */
export interface Ui {
  /** Never throws and never blocks. */
  readonly emit: Emit;
  /** The output of steps is on the screen already, so an error that quotes it again may leave the quotation out. */
  readonly showsStepOutput: boolean;
  /**
   * Hands the terminal to somebody else, such as a debugging shell; nothing is written until the returned function is
   * called, what happens meanwhile is shown then.
   */
  suspend(): Promise<() => Promise<void>>;
  /** Writes what is left and gives the terminal back as it was. Idempotent; later events are ignored. */
  close(): Promise<void>;
}

/** Opens the progress display. Throws `storage` where the log file cannot be opened. */
export function openUi(options: UiOptions): Ui {
  const mode = options.mode === 'auto' ? automaticMode(options) : options.mode;
  const log: LogFile | undefined =
    options.logFile === undefined
      ? undefined
      : openLogFile(options.logFile, error => say(emit, 'warning', `the log file ends here: ${error.message}`));
  const screen = openScreen(mode, options);
  let closing: Promise<void> | undefined;
  const emit: Emit = event => {
    if (closing) return;
    log?.write(event);
    screen.show(event);
  };
  const closeAll = async () => {
    await screen.close();
    await log?.close();
  };
  return {
    emit,
    showsStepOutput: mode === 'plain' || mode === 'tty',
    async suspend() {
      await screen.suspend();
      let resumed: Promise<void> | undefined;
      return () => (resumed ??= screen.resume());
    },
    close() {
      return (closing ??= closeAll());
    },
  };
}

function automaticMode({ stderr, environment }: UiOptions): 'tty' | 'plain' {
  const ci = environment?.CI;
  // As Ink sees it, which does not redraw there: even an empty variable counts.
  const isCi = ci !== undefined && ci !== '0' && ci !== 'false';
  return stderr.isTTY && environment?.TERM !== 'dumb' && !isCi ? 'tty' : 'plain';
}

function openScreen(mode: Exclude<UiMode, 'auto'>, options: UiOptions): Screen {
  if (mode === 'tty') return terminalScreen(options);
  return lineScreen(lineFormatter(mode, options), options.stderr);
}

function lineFormatter(mode: 'plain' | 'json' | 'quiet', options: UiOptions): LineFormatter {
  if (mode === 'json') return jsonFormatter(options);
  return mode === 'quiet' ? quietFormatter(options) : plainFormatter(options);
}

function lineScreen(format: LineFormatter, stderr: NodeJS.WriteStream): Screen {
  const writer = new LineWriter(stderr);
  return {
    show: event => writer.write(format(event)),
    suspend: async () => writer.hold(),
    resume: async () => writer.release(),
    close: () => writer.close(),
  };
}
