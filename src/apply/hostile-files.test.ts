import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fakeContext, mergePath, type FakeMerge } from '../../test/rig/merge-versions.ts';
import type { MergeDriver } from './driver.ts';
import { accounts } from './accounts/accounts.ts';
import { apk } from './apk/apk.ts';
import { generated } from './generated/generated.ts';
import { logs } from './text/logs.ts';
import { rpm } from './rpm/rpm.ts';

const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
const FILES: readonly (readonly [MergeDriver, string, Buffer])[] = [
  [accounts, 'etc/passwd', Buffer.from('root:x:0:0:root:/root:/bin/sh\na:x:1:1::/:\n')],
  [accounts, 'etc/shadow', Buffer.from('root:*:19000:0:99999:7:::\n')],
  [accounts, 'etc/group', Buffer.from('root:x:0:\nadm:x:4:a,b\n')],
  [accounts, 'etc/subuid', Buffer.from('a:100000:65536\n')],
  [generated, 'etc/ssl/certs/ca-certificates.crt', Buffer.from(PEM + PEM.replace('AAAA', 'BBBB'))],
  [generated, 'etc/ld.so.cache', readFileSync('/etc/ld.so.cache').subarray(0, 20_000)],
  [generated, 'usr/lib/__pycache__/a.cpython-311.pyc', Buffer.alloc(20, 7)],
  [logs, 'var/log/dpkg.log', Buffer.from('one\ntwo\n')],
  [logs, 'var/log/wtmp', Buffer.alloc(768, 3)],
  [logs, 'etc/shells', Buffer.from('/bin/sh\n')],
  [apk, 'lib/apk/db/installed', Buffer.from('P:a\nV:1\nF:bin\nR:a\n\nP:b\nV:2\n\n')],
  [apk, 'lib/apk/db/scripts.tar', Buffer.alloc(1024)],
  [apk, 'lib/apk/db/triggers', Buffer.from('Q1a= /usr\n')],
  [apk, 'etc/apk/world', Buffer.from('a\nb=1\n')],
  [rpm, 'var/lib/rpm/rpmdb.sqlite', Buffer.from('SQLite format 3\0'.padEnd(1024, '\0'))],
];

/** Bytes of a file, changed here and there, cut or continued with anything. */
function spoilt(good: Buffer): fc.Arbitrary<Buffer> {
  const edit = fc.tuple(fc.nat(Math.max(good.length - 1, 0)), fc.uint8Array({ maxLength: 6 }));
  return fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)),
    fc.nat(good.length).map(length => good.subarray(0, length)),
    fc.array(edit, { minLength: 1, maxLength: 4 }).map(edits => {
      const bad = Buffer.from(good);
      for (const [at, bytes] of edits) bad.set(bytes.subarray(0, bad.length - at), at);
      return bad;
    }),
    fc.uint8Array({ maxLength: 50 }).map(bytes => Buffer.concat([good, bytes])),
    fc.string({ unit: 'binary', maxLength: 60 }).map(text => Buffer.concat([good, Buffer.from(text)])),
  );
}

describe('drivers', () => {
  it.each(FILES.map(([driver, path, good]) => ({ driver, path, good })))(
    'answer whatever is in $path',
    async ({ driver, path, good }) => {
      expect(driver.claims(path)).toBe(true);
      await fc.assert(
        fc.asyncProperty(
          fc.option(spoilt(good), { nil: undefined }),
          spoilt(good),
          spoilt(good),
          async (before, one, two) => {
            const merge: FakeMerge = {
              ancestor: { [path]: before },
              sides: { one: { [path]: one }, two: { [path]: two } },
            };
            await driver.survey?.(fakeContext(merge));
            const outcome = await mergePath(driver, path, merge);
            if (outcome.type !== 'conflict') return;
            // One line that a terminal can show; and a rule, unless one side's file would contradict the tree.
            expect(outcome.conflict.message).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
            if (driver === accounts) {
              // None that loses an account.
              expect(['first', 'last']).not.toContain(outcome.conflict.remedies[0]);
              return;
            }
            const isDatabase = ['dpkg', 'apk', 'rpm'].includes(driver.name) && !path.includes('alternatives');
            if (!isDatabase) expect(outcome.conflict.remedies.length).toBeGreaterThan(0);
            else if (path !== 'etc/apk/world') expect(outcome.conflict.remedies).toEqual([]);
          },
        ),
        { numRuns: 150 },
      );
    },
  );

  it.each(FILES.map(([driver, path]) => ({ driver, path })))(
    'answer whatever stands at $path',
    async ({ driver, path }) => {
      const link = { [path]: { symlink: '/etc/shadow' } };
      for (const sides of [
        { one: link, two: { [path]: 'x' } },
        { one: {}, two: { [path]: 'x' } },
        { one: {}, two: link },
        { one: { [path]: 'y' }, two: {} },
      ]) {
        for (const ancestor of [{}, link, { [path]: 'z' }]) {
          const outcome = await mergePath(driver, path, { ancestor, sides });
          expect(outcome.type).toBeTypeOf('string');
        }
      }
    },
  );
});
