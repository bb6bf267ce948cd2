import { PassThrough } from 'node:stream';
import { render } from 'ink-testing-library';
import { describe, expect, it, vi } from 'vitest';
import { LiveLines, openLiveView } from './live-view.tsx';

/** Ink does not redraw in CI, and looks when it is loaded. */
vi.hoisted(() => {
  delete process.env['CI'];
  delete process.env['CONTINUOUS_INTEGRATION'];
});

describe('LiveLines', () => {
  it('shows lines as they are', () => {
    const { lastFrame, unmount } = render(<LiveLines lines={['a  b', '日本語 ✓']} onWriter={() => {}} />);
    expect(lastFrame()).toBe('a  b\n日本語 ✓');
    unmount();
  });

  it('cuts what does not fit instead of wrapping it', () => {
    const { lastFrame, unmount } = render(<LiveLines lines={['x'.repeat(150)]} onWriter={() => {}} />);
    expect(lastFrame()).toBe(`${'x'.repeat(99)}…`);
    unmount();
  });

  it('hands out a way to write above', () => {
    const writers: ((text: string) => void)[] = [];
    const onWriter = (write: (text: string) => void) => {
      writers.push(write);
    };
    const { frames, unmount } = render(<LiveLines lines={['live']} onWriter={onWriter} />);
    writers[0]!('lasting\n');
    expect(frames.at(-1)).toContain('lasting\n');
    unmount();
  });
});

describe('openLiveView', () => {
  function open() {
    const chunks: string[] = [];
    const terminal = Object.assign(new PassThrough(), { columns: 80, rows: 5, isTTY: true });
    terminal.on('data', (chunk: Buffer) => chunks.push(chunk.toString()));
    const view = openLiveView(terminal as unknown as NodeJS.WriteStream, () => ['after resize']);
    return { chunks, terminal, view };
  }

  it('writes a frame with its lasting lines in one piece', () => {
    const { chunks, view } = open();
    view.draw([], ['one']);
    const before = chunks.length;
    view.draw(['lasting'], ['two']);
    expect(chunks.length - before).toBe(1);
    expect(chunks.at(-1)).toContain('lasting\n');
    view.close();
  });

  it('never clears the screen, even where a frame is higher than it', () => {
    const { chunks, view } = open();
    const frame = ['1', '2', '3', '4', '5', '6', '7', '8', '9'];
    for (const round of ['a', 'b', 'c']) {
      view.draw(
        [`lasting ${round}`],
        frame.map(line => line + round),
      );
    }
    view.close();
    expect(chunks.join('')).not.toMatch(/\u001b\[[23]J|\u001bc/);
  });

  it('takes away what the terminal wrapped when it became narrower, and draws anew', () => {
    const { chunks, terminal, view } = open();
    view.draw([], ['x'.repeat(79), 'y']);
    terminal.columns = 30;
    const before = chunks.length;
    terminal.emit('resize');
    expect(chunks[before]).toBe('\u001b[2A\u001b[J');
    view.close();
  });

  it('shows the cursor again and lets go of the terminal', () => {
    const { chunks, terminal, view } = open();
    view.draw([], ['one']);
    view.close();
    const text = chunks.join('');
    expect(text.lastIndexOf('\u001b[?25h')).toBeGreaterThan(text.lastIndexOf('\u001b[?25l'));
    expect(terminal.listenerCount('resize')).toBe(0);
    expect(terminal.writableEnded).toBe(false);
  });
});
