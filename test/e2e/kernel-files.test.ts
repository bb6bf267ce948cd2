import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MASKED_PATHS } from '../../src/sandbox/protected-paths.ts';
import { missing, requires } from '../rig/gates.ts';
import { buildPerlImage, runPerl, type Place } from '../rig/perl-image.ts';
import { StkRig } from '../rig/stk-rig.ts';
import { commandAs, type Actor } from '../rig/users.ts';

const NEEDS = ['root', 'userns', 'overlay', 'fuse', 'tool:busybox', 'tool:perl'] as const;
requires(...NEEDS);

/**
 * Opens every file below /proc and /sys for writing, and names those that it could. The capability to pass by modes opens
 * what has no use for a write, too: nobody may write by its mode, and it takes not even a write of nothing.
 */
const OPEN_ALL = String.raw`
  my $seen = 0;
  my @todo = ('/proc', '/sys');
  while (defined(my $directory = shift @todo)) {
    opendir(my $handle, $directory) or next;
    for my $name (readdir $handle) {
      next if $name eq '.' or $name eq '..';
      my $path = "$directory/$name";
      lstat $path or next;
      next if -l _;
      if (-d _) { push @todo, $path; next }
      my $mode = (stat _)[2];
      $seen++;
      # O_WRONLY | O_NONBLOCK, then O_RDWR | O_NONBLOCK
      for my $flags (04001, 04002) {
        sysopen(my $file, $path, $flags) or next;
        last unless $mode & 0222 or defined syswrite($file, '', 0);
        $path =~ s#^/proc/\d+(?:/task/\d+)?/#/proc/PID/#;
        print "$path\n";
        last;
      }
    }
  }
  print "looked at $seen\n";
`;

/** Tells of masked places what can be read in them. */
const READ_MASKED = String.raw`
  for my $path (split ' ', $ENV{PLACES} || die 'no places') {
    lstat $path or next;
    if (-d _) {
      opendir(my $handle, $path) or next;
      print "$path/$_\n" for grep { !/^\.\.?$/ } readdir $handle;
    } elsif (open(my $file, '<', $path)) {
      print "$path\n" if sysread($file, my $bytes, 1);
    }
  }
  print "looked\n";
`;

const PLACES = MASKED_PATHS.join(' ');

/**
 * What the processes of a sandbox may write of their own (proc(5)). A network namespace's own files are among them: with
 * the host's network those of the host that need no capability, such as lists of a packet filter.
 */
const OWN = new RegExp(
  `^/proc/PID/(?:${[
    ...['autogroup', 'clear_refs', 'comm', 'coredump_filter', 'gid_map', 'loginuid', 'mem', 'oom_adj', 'oom_score_adj'],
    ...['projid_map', 'sched', 'setgroups', 'timens_offsets', 'timerslack_ns', 'uid_map', 'make-it-fail', 'fail-nth'],
    ...['latency', 'seccomp_cache', 'ksm_stat', 'attr/.+', 'net/.+'],
  ].join('|')})$`,
);

describe.each<Actor>(['root', 'user'])('the kernel’s own files in a sandbox of %s', actor => {
  let rig: StkRig;

  beforeAll(async () => {
    if ((await missing(...NEEDS)) !== undefined) return;
    rig = await StkRig.open({ as: actor });
    await buildPerlImage(rig);
  });
  afterAll(async () => await rig?.[Symbol.asyncDispose]());

  it.each<Place>(['step', 'container'])('cannot be opened for writing from a %s', async place => {
    const lines = await runPerl(rig, place, OPEN_ALL);
    expect(Number(/^looked at (\d+)$/.exec(lines.at(-1) ?? '')?.[1])).toBeGreaterThan(1000);
    const opened = new Set(lines.slice(0, -1));
    expect(opened).toContain('/proc/PID/comm');
    expect([...opened].filter(file => !OWN.test(file))).toEqual([]);
  });

  it.each<Place>(['step', 'container'])('tell nothing where they are masked in a %s', async place => {
    expect(await runPerl(rig, place, READ_MASKED, { env: { PLACES } })).toEqual(['looked']);
  });
});

it('can be opened for writing on the host', async () => {
  const open = "sysopen(my $file, '/proc/sys/kernel/core_pattern', 1) and print 'opened'";
  const { file, args } = await commandAs('root', ['perl', '-e', open], {});
  expect((await execa(file, args)).stdout).toBe('opened');
});
