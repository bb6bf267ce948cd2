import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { startTask } from '../../core/events.ts';
import { terminalScreen } from './terminal-screen.ts';

/** Ink does not redraw in CI, and looks when it is loaded. */
vi.hoisted(() => {
  delete process.env['CI'];
  delete process.env['CONTINUOUS_INTEGRATION'];
});

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] });
});

afterEach(() => {
  vi.useRealTimers();
});

function open() {
  const terminal = Object.assign(new PassThrough(), { columns: 80, rows: 24, isTTY: true });
  const chunks: string[] = [];
  terminal.on('data', (chunk: Buffer) => chunks.push(chunk.toString()));
  const screen = terminalScreen({ stderr: terminal as unknown as NodeJS.WriteStream, color: false, debug: false });
  return { terminal, screen, text: () => chunks.join('') };
}

/** Lets the view be loaded and draw. */
async function frames() {
  await vi.advanceTimersByTimeAsync(200);
  await import('./ink/live-view.tsx');
  await vi.advanceTimersByTimeAsync(400);
}

it('draws work that lasts, and gives the terminal back clean', async () => {
  const { screen, terminal, text } = open();
  const task = startTask(screen.show, 'app', 'run', 'run');
  task.output('stdout', ['working \u001b[2Jhard']);
  await frames();
  expect(text()).toContain(' app run ');
  expect(text()).toContain('  │ working hard');
  expect(text()).toContain('\u001b[?25l');
  task.finish('failed');
  await screen.close();
  expect(text().lastIndexOf('\u001b[?25h')).toBeGreaterThan(text().lastIndexOf('\u001b[?25l'));
  expect(text()).toMatch(/ {2}│ working hard\n✗ app run: failed after \S+\n$/);
  expect(terminal.listenerCount('resize')).toBe(0);
});

it('is silent while suspended and draws again afterwards', async () => {
  const { screen, text } = open();
  const task = startTask(screen.show, 'app', 'run', 'run');
  task.output('stderr', ['+ make']);
  await frames();
  await screen.suspend();
  expect(text().endsWith('app run: output so far\n  │ + make\n')).toBe(true);
  const before = text().length;
  await vi.advanceTimersByTimeAsync(1000);
  expect(text()).toHaveLength(before);
  await screen.resume();
  await frames();
  await frames();
  expect(text().slice(before)).toContain(' app run: make ');
  await screen.close();
});

it('never loads the view for work that is over at once', async () => {
  const { screen, text } = open();
  startTask(screen.show, 'app', 'check', 'check').finish('done');
  await frames();
  await screen.close();
  expect(text()).toBe('✓ app check: done in 0.0s\n');
});

it('keeps only the last of a hundred thousand lines', async () => {
  const { screen, text } = open();
  const task = startTask(screen.show, 'app', 'run', 'run');
  for (let index = 0; index < 100_000; index++) task.output('stdout', [`line ${index}`]);
  task.finish('failed');
  await screen.close();
  const lines = text()
    .split('\n')
    .filter(line => line.includes('│ line'));
  expect(lines).toHaveLength(50);
  expect(lines.at(-1)).toContain('line 99999');
});
