import { describe, expect, it } from 'vitest';
import { AsyncScope } from './async-scope.ts';
import { formatBytes, formatDuration } from './bytes.ts';
import { canonicalJson } from './canonical-json.ts';
import { codeFrame, nearest } from './diagnostics.ts';
import { Digester, chainId, digestOf, parseDigest } from './digest.ts';
import { StkError, redact } from './errors.ts';
import { Limiter, mapLimited } from './limiter.ts';
import { imagePath, joinInside } from './paths.ts';
import { SingleFlight } from './single-flight.ts';
import { Remembered } from './remembered.ts';

describe('digest', () => {
  it('hashes bytes and counts them', () => {
    const digester = new Digester();
    digester.update(Buffer.from('ab'));
    digester.update(Buffer.from('c'));
    expect(digester.sizeBytes).toBe(3);
    expect(digester.finish()).toBe('sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });

  it.each(['', 'sha256:', 'sha512:ab', `sha256:${'A'.repeat(64)}`, `sha256:${'a'.repeat(63)}/`, 7, null])(
    'refuses %s',
    text => expect(() => parseDigest(text)).toThrow(StkError),
  );

  it('chains layers from the bottom up', () => {
    const [a, b] = [digestOf('a'), digestOf('b')];
    expect(chainId([])).toBeUndefined();
    expect(chainId([a])).toBe(a);
    expect(chainId([a, b])).toBe(digestOf(`${a} ${b}`));
  });
});

it('an error shows no password in its message, hint or facts', () => {
  const reference = 'docker://user:secret@host/x';
  const error = new StkError('usage', reference, { hint: `write ${reference}`, facts: { reference } });
  expect(JSON.stringify([error.message, error.hint, error.facts])).not.toContain('secret');
});

describe('redact', () => {
  it.each([
    ['https://user:secret@host/x', 'https://***@host/x'],
    ['https://user:sec@ret@host/x@y', 'https://***@host/x@y'],
    ['docker://user:sec/ret@host/x:1', 'docker://***@host/x:1'],
    [
      'docker://host:5000/x@sha256:ab and docker://h/x:1@sha256:ab',
      'docker://host:5000/x@sha256:ab and docker://h/x:1@sha256:ab',
    ],
    ['Authorization: Bearer abcdefghijkl', 'Authorization: Bearer ***'],
    ['GET /t?token=abc&x=1', 'GET /t?token=***&x=1'],
    ['bell\u0007', 'bell\\x07'],
  ])('%s', (text, expected) => expect(redact(text)).toBe(expected));
});

describe('paths', () => {
  it('joins inside a root only', () => {
    expect(joinInside('/a/b', 'c/../d')).toBe('/a/b/d');
    for (const bad of ['../x', '/x', 'c/../../x', 'a\0b']) expect(() => joinInside('/a/b', bad)).toThrow(StkError);
  });

  it.each([
    ['/', ''],
    ['./a//b/', 'a/b'],
    ['../../etc', 'etc'],
    ['a/../b/.', 'b'],
  ])('image path of %s', (text, expected) => expect(imagePath(text)).toBe(expected));
});

describe('limiter', () => {
  it('never exceeds its limit and is first in, first out', async () => {
    const limiter = new Limiter(2);
    let running = 0;
    const order: number[] = [];
    await Promise.all(
      [0, 1, 2, 3, 4].map(n =>
        limiter.run(async () => {
          expect(++running).toBeLessThanOrEqual(2);
          order.push(n);
          await Promise.resolve();
          running--;
        }),
      ),
    );
    expect(order).toEqual([0, 1, 2, 3, 4]);
  });

  it('leaves the queue when aborted and gives its place to the next', async () => {
    const limiter = new Limiter(1);
    let release = () => {};
    const first = limiter.run(() => new Promise<void>(resolve => (release = resolve)));
    const controller = new AbortController();
    const second = limiter.run(async () => 'never', controller.signal);
    const third = limiter.run(async () => 'third');
    controller.abort();
    await expect(second).rejects.toMatchObject({ code: 'interrupted' });
    release();
    await first;
    expect(await third).toBe('third');
  });

  it('lends a place to those that its holder waits for', async () => {
    const limiter = new Limiter(1);
    let inner: Promise<string> | undefined;
    const outer = limiter.run(slot => slot.lend(async () => inner!));
    inner = limiter.run(async () => 'inner');
    expect(await outer).toBe('inner');
    await expect(limiter.run(slot => slot.lend(() => Promise.reject(new Error('failed'))))).rejects.toThrow('failed');
    expect(await limiter.run(async () => 'again')).toBe('again');
  });

  it('aborts the siblings of a failure, awaits them and throws the failure', async () => {
    const seen: string[] = [];
    const work = mapLimited([1, 2], 2, async (item, signal) => {
      if (item === 1) throw new Error('first');
      await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()));
      seen.push('sibling ended');
    });
    await expect(work).rejects.toThrow('first');
    expect(seen).toEqual(['sibling ended']);
  });
});

it('single flight shares a running promise and forgets a settled one', async () => {
  const flights = new SingleFlight<string, number>();
  let calls = 0;
  const work = async () => ++calls;
  expect(await Promise.all([flights.run('k', work), flights.run('k', work)])).toEqual([1, 1]);
  expect(await flights.run('k', work)).toBe(2);
});

it('single flight does the work anew for who joined one that failed, within its own time', async () => {
  const flights = new SingleFlight<string, number>();
  const failing = flights.share('k', async () => Promise.reject(new Error('mine')));
  const joined = flights.share('k', async () => 2);
  await expect(failing).rejects.toThrow('mine');
  expect(await joined).toBe(2);
  let end: (value: number) => void = () => {};
  const slow = flights.share('k', () => new Promise<number>(resolve => (end = resolve)));
  const controller = new AbortController();
  const impatient = flights.share('k', async () => 4, controller.signal);
  controller.abort();
  await expect(impatient).rejects.toMatchObject({ code: 'interrupted' });
  end(3);
  expect(await slow).toBe(3);
});

it('a scope gives back in reverse order, everything even after a failure', async () => {
  const order: string[] = [];
  const run = async () => {
    await using scope = new AsyncScope();
    scope.defer(() => void order.push('a'));
    scope.defer(() => {
      throw new Error('b failed');
    });
    scope.defer(() => void order.push('c'));
  };
  await expect(run()).rejects.toThrow('b failed');
  expect(order).toEqual(['c', 'a']);
});

it('canonical JSON sorts keys at every depth', () => {
  expect(canonicalJson({ b: [{ d: 1, c: undefined }], a: null })).toBe('{"a":null,"b":[{"d":1}]}');
});

it('a code frame points at the span', () => {
  const span = { file: 'f', line: 2, column: 3, endLine: 2, endColumn: 6 };
  expect(codeFrame('app:\n  rnu: x\n', span)).toBe(' 1 | app:\n 2 |   rnu: x\n   |   ~~~');
});

it.each([
  ['rnu', 'run'],
  ['form', 'from'],
  ['zzzzzz', undefined],
])('nearest to %s', (word, expected) => expect(nearest(word, ['run', 'from', 'imports'])).toBe(expected));

it('formats sizes and durations', () => {
  expect([0, 999, 1000, 15_340, 1_000_000, 57_300_000].map(formatBytes)).toEqual([
    '0 B',
    '999 B',
    '1.00 kB',
    '15.3 kB',
    '1.00 MB',
    '57.3 MB',
  ]);
  expect([300, 12_000, 125_000, 3_720_000].map(formatDuration)).toEqual(['0.3s', '12.0s', '2m05s', '1h02m']);
});

it('what was found out is remembered, a failure is not', async () => {
  const remembered = new Remembered<string, number>();
  let calls = 0;
  const find = async () => {
    if (++calls === 1) throw new Error('not now');
    return calls;
  };
  await expect(remembered.get('a', find)).rejects.toThrow('not now');
  expect(await Promise.all([remembered.get('a', find), remembered.get('a', find)])).toEqual([2, 2]);
  expect(await remembered.get('a', find)).toBe(2);
  expect(remembered.size).toBe(1);
});
