import { Box, Text, render, useStdout } from 'ink';
import { useLayoutEffect, type ReactNode } from 'react';
import { stripVTControlCharacters } from 'node:util';
import { TerminalStream } from './terminal-stream.ts';

/** Lines redrawn at the bottom of a terminal, below lines that stay. */
export interface LiveView {
  /** Adds lasting lines and replaces the live ones, in one write. Both may hold SGR codes, nothing else that is active. */
  draw(lasting: readonly string[], live: readonly string[]): void;
  /** Takes the live lines away and shows the cursor again. */
  close(): void;
}

/** Opens the view. Standard input is left alone: no raw mode, and Ctrl-C stays a signal. */
export function openLiveView(terminal: NodeJS.WriteStream, liveAfterResize: () => readonly string[]): LiveView {
  const stream = new TerminalStream(terminal);
  let write: (text: string) => void = () => {};
  const onWriter = (given: (text: string) => void) => {
    write = given;
  };
  const tree = (live: readonly string[]) => <LiveLines lines={live} onWriter={onWriter} />;
  const app = render(tree([]), {
    stdout: stream as unknown as NodeJS.WriteStream,
    stderr: stream as unknown as NodeJS.WriteStream,
    exitOnCtrlC: false,
    patchConsole: false,
  });
  const draw = (lasting: readonly string[], live: readonly string[]) => {
    stream.cork();
    try {
      if (lasting.length > 0) write(`${lasting.join('\n')}\n`);
      app.rerender(tree(live));
    } finally {
      stream.uncork();
    }
    stream.drawn(live.map(line => stripVTControlCharacters(line)));
  };
  stream.on('resize', () => draw([], liveAfterResize()));
  return {
    draw,
    close() {
      stream.cork();
      app.clear();
      app.unmount();
      app.cleanup();
      stream.uncork();
      stream.destroy();
    },
  };
}

/** Lines as they are, cut at the width of the terminal. */
export function LiveLines(props: {
  readonly lines: readonly string[];
  /** Receives Ink's way of writing above the live lines. */
  readonly onWriter: (write: (text: string) => void) => void;
}): ReactNode {
  const { write } = useStdout();
  const { onWriter } = props;
  useLayoutEffect(() => {
    onWriter(write);
  }, [onWriter, write]);
  return (
    <Box flexDirection="column">
      {props.lines.map((line, index) => (
        <Text key={index} wrap="truncate-end">
          {line}
        </Text>
      ))}
    </Box>
  );
}
