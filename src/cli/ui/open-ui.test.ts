import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { say } from '../../core/events.ts';
import { absPath, type AbsPath } from '../../core/paths.ts';
import { openUi, type UiOptions } from './open-ui.ts';

/** Ink does not redraw in CI, and looks when it is loaded. */
vi.hoisted(() => {
  delete process.env['CI'];
  delete process.env['CONTINUOUS_INTEGRATION'];
});

class Terminal extends PassThrough {
  columns = 80;
  rows = 24;
  text = '';
  readonly isTTY: boolean;

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
    this.on('data', (chunk: Buffer) => (this.text += chunk.toString()));
  }
}

function open(options: Partial<UiOptions> & { isTTY?: boolean } = {}) {
  const { isTTY = false, ...rest } = options;
  const terminal = new Terminal(isTTY);
  const stderr = terminal as unknown as NodeJS.WriteStream;
  return { terminal, ui: openUi({ mode: 'auto', stderr, color: false, debug: false, ...rest }) };
}

afterEach(() => {
  vi.useRealTimers();
});

describe('modes', () => {
  it.each([
    ['plain', 'app │ hello\nwarning: careful\n'],
    ['quiet', 'warning: careful\n'],
    ['tty', '· app hello\n! warning: careful\n'],
  ] as const)('%s', async (mode, expected) => {
    const { ui, terminal } = open({ mode });
    say(ui.emit, 'info', 'hello', 'app');
    say(ui.emit, 'warning', 'careful');
    await ui.close();
    expect(terminal.text).toBe(expected);
  });

  it('json', async () => {
    const { ui, terminal } = open({ mode: 'json' });
    say(ui.emit, 'info', 'hello', 'app');
    await ui.close();
    expect(JSON.parse(terminal.text)).toMatchObject({ type: 'message', text: 'hello' });
  });

  it.each([
    [true, {}, '· hello\n'],
    [true, { TERM: 'xterm' }, '· hello\n'],
    [true, { TERM: 'dumb' }, 'hello\n'],
    [true, { CI: 'true' }, 'hello\n'],
    [true, { CI: 'false' }, '· hello\n'],
    [false, {}, 'hello\n'],
  ])('auto with a terminal %s in %j', async (isTTY, environment, expected) => {
    const { ui, terminal } = open({ isTTY, environment });
    say(ui.emit, 'info', 'hello');
    await ui.close();
    expect(terminal.text).toBe(expected);
  });
});

it('close is idempotent, and what comes later is ignored', async () => {
  const { ui, terminal } = open();
  await Promise.all([ui.close(), ui.close()]);
  say(ui.emit, 'info', 'late');
  await ui.close();
  expect(terminal.text).toBe('');
});

it.each(['plain', 'tty'] as const)('suspend keeps %s silent until resumed', async mode => {
  const { ui, terminal } = open({ mode });
  say(ui.emit, 'info', 'before');
  const resume = await ui.suspend();
  const before = terminal.text;
  expect(before).toContain('before');
  say(ui.emit, 'info', 'during');
  await new Promise(resolve => setImmediate(resolve));
  expect(terminal.text).toBe(before);
  await resume();
  await resume();
  await ui.close();
  expect(terminal.text.match(/during/g)).toHaveLength(1);
});

describe('log file', () => {
  it('receives the plain rendering with details, whatever the mode', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'stk-ui-'));
    try {
      const logFile = absPath('log', directory);
      const { ui, terminal } = open({ mode: 'quiet', logFile, color: true });
      say(ui.emit, 'debug', 'detail', 'app');
      await ui.close();
      expect(await readFile(logFile, 'utf8')).toBe('app │ debug: detail\n');
      expect(terminal.text).toBe('');
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it('that cannot be opened is a storage error', () => {
    const logFile = '/nonexistent/directory/log' as AbsPath;
    expect(() => open({ logFile })).toThrow(expect.objectContaining({ code: 'storage' }));
  });

  it('that breaks is reported and the work goes on', async () => {
    const { ui, terminal } = open({ logFile: '/dev/full' as AbsPath });
    say(ui.emit, 'info', 'one');
    await vi.waitFor(() => expect(terminal.text).toContain('warning: the log file ends here'), 5000);
    say(ui.emit, 'info', 'two');
    await ui.close();
    expect(terminal.text).toContain('two\n');
  });
});
