import { describe, expect, it } from 'vitest';
import type { Digest } from '../../core/digest.ts';
import type { StkEvent } from '../../core/events.ts';
import { plainFormatter, quietFormatter } from './plain.ts';

const digest = `sha256:${'0123456789abcdef'.repeat(4)}` as Digest;

const build: readonly StkEvent[] = [
  { type: 'build-started', images: ['base', 'app'], at: 0 },
  { type: 'image-started', image: 'base', at: 0 },
  { type: 'message', level: 'info', text: 'found cached layer base', group: 'base', at: 1 },
  {
    type: 'image-finished',
    image: 'base',
    outcome: 'cached',
    tags: ['base', 'base-tar'],
    digest,
    layers: 1,
    sizeBytes: 3e6,
    durationMs: 20,
    at: 20,
  },
  { type: 'task-started', id: 'pull-1', group: 'docker://h/r', kind: 'pull', label: 'aabb', at: 20 },
  { type: 'task-progress', id: 'pull-1', doneBytes: 1e6, totalBytes: 8e6, at: 1000 },
  { type: 'task-progress', id: 'pull-1', doneBytes: 2e6, totalBytes: 8e6, at: 5100 },
  { type: 'task-progress', id: 'pull-1', doneBytes: 3e6, totalBytes: 8e6, at: 5200 },
  { type: 'task-progress', id: 'pull-1', doneBytes: 8e6, totalBytes: 8e6, at: 9000 },
  {
    type: 'task-finished',
    id: 'pull-1',
    group: 'docker://h/r',
    kind: 'pull',
    label: 'aabb',
    outcome: 'done',
    durationMs: 8980,
    at: 9000,
  },
  { type: 'task-started', id: 'run-2', group: 'app', kind: 'run', label: 'run', at: 9000 },
  { type: 'task-output', id: 'run-2', group: 'app', stream: 'stderr', lines: ['+ apt-get update'], at: 9100 },
  { type: 'task-output', id: 'run-2', group: 'app', stream: 'stdout', lines: ['1%\r2%', '\u001b[2Jx\ty'], at: 9200 },
  { type: 'message', level: 'debug', text: 'a detail', at: 9300 },
  { type: 'message', level: 'warning', text: 'odd file\nsecond line', group: 'app', at: 9300 },
  {
    type: 'task-finished',
    id: 'run-2',
    group: 'app',
    kind: 'run',
    label: 'run',
    outcome: 'failed',
    durationMs: 400,
    at: 9400,
  },
  {
    type: 'image-finished',
    image: 'app',
    outcome: 'failed',
    tags: [],
    layers: 0,
    sizeBytes: 0,
    durationMs: 9400,
    at: 9400,
  },
  { type: 'message', level: 'error', text: 'no luck', at: 9500 },
];

function lines(format: (event: StkEvent) => readonly string[]): string[] {
  return build.flatMap(event => format(event));
}

describe('plain', () => {
  it('renders a build', () => {
    expect(lines(plainFormatter({ color: false, debug: false }))).toEqual([
      'building base, app',
      'base │ found cached layer base',
      'base │ image cached, 1 layer, 3.00 MB, tagged base-tar, sha256:0123456789ab, in 0.0s',
      'docker://h/r │ pull aabb: started',
      'docker://h/r │ pull aabb: 2.00 MB of 8.00 MB (25%)',
      'docker://h/r │ pull aabb: done in 9.0s, 8.00 MB',
      'app │ run: started',
      'app │ + apt-get update',
      'app │ 2%',
      'app │ x\ty',
      'app │ warning: odd file',
      'app │ second line',
      'app │ run: failed after 0.4s',
      'app │ image failed after 9.4s',
      'error: no luck',
    ]);
  });

  it('shows debug messages where asked for', () => {
    expect(lines(plainFormatter({ color: false, debug: true }))).toContain('debug: a detail');
  });

  it('differs in colour only', () => {
    const colored = lines(plainFormatter({ color: true, debug: false }));
    const stripped = colored.map(line => line.replace(/\u001b\[\d+m/g, ''));
    expect(stripped).toEqual(lines(plainFormatter({ color: false, debug: false })));
    expect(colored.join('')).toContain('\u001b[33mwarning: odd file\u001b[39m');
  });

  it.each([
    ['run', 'app', 'run', 'run'],
    ['pack', 'app', 'imports /opt', 'pack imports /opt'],
    ['convert', 'docker://h/r', 'docker://h/r aabb', 'convert aabb'],
    ['convert', '/x/root.tar', '/x/root.tar', 'convert'],
    ['copy', 'app', '\u001b[2Jx', 'copy x'],
  ] as const)('names the task %s of %s with label %j', (kind, group, label, title) => {
    const format = plainFormatter({ color: false, debug: false });
    expect(format({ type: 'task-started', id: '1', group, kind, label, at: 0 })).toEqual([
      `${group} │ ${title}: started`,
    ]);
  });

  it('ignores progress of unknown tasks and forgets finished ones', () => {
    const format = plainFormatter({ color: false, debug: false });
    expect(format({ type: 'task-progress', id: 'x', doneBytes: 1, at: 1e6 })).toEqual([]);
  });
});

it('quiet shows warnings and errors only', () => {
  expect(lines(quietFormatter({ color: false }))).toEqual([
    'app │ warning: odd file',
    'app │ second line',
    'error: no luck',
  ]);
});
