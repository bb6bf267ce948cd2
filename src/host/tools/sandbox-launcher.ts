import { StkError } from '../../core/errors.ts';
import { realpath } from '../files.ts';
import { findTool, missingTool } from '../find-tool.ts';
import { callNumber, machineAbis, type SystemCall } from '../system-calls.ts';

/** Device nodes of the host that bubblewrap binds into the sandbox (`--dev`). */
const DEVICES = ['null', 'zero', 'full', 'random', 'urandom', 'tty'].map(name => `/dev/${name}`);

const CALLS: readonly SystemCall[] = [
  ...(['keyctl', 'close', 'unshare', 'mount', 'capget', 'capset', 'prctl'] as const),
  ...(['personality', 'setgroups', 'prlimit64'] as const),
];

const UNLIMITED = -1;
const MIB = 1024 * 1024;
/**
 * Soft and hard limits by the number of the resource (asm-generic/resource.h), as a service of a usual system has them;
 * where the hard one may not be raised, the caller's. Those of pending signals depend on the host's memory and stay.
 */
const LIMITS: readonly (readonly [resource: number, soft: number, hard: number])[] = [
  ...[0, 1, 2, 5, 6, 9, 10, 15].map(resource => [resource, UNLIMITED, UNLIMITED] as const),
  [3, 8 * MIB, UNLIMITED],
  [4, 0, UNLIMITED],
  [7, 1024, 524_288],
  [8, 8 * MIB, 8 * MIB],
  [12, 819_200, 819_200],
  [13, 0, 0],
  [14, 0, 0],
];

/**
 * What has to be done in the process that becomes bubblewrap, by Perl, which can make any system call.
 *
 * - It joins a new session keyring without a name: the caller's holds tickets and keys of filesystems (keyrings(7)).
 * - It takes a Landlock domain from which no abstract socket outside can be reached, since Linux 6.12: such sockets are of the
 *   network, which may be the host's (landlock(7), "Scope flags").
 * - It bounds the capabilities that any program of the sandbox can have. bubblewrap itself needs more for a moment: those
 *   are inheritable, and it gives them up (capabilities(7), "Transformation of capabilities during execve").
 * - It closes every descriptor from the given one on.
 * - It goes back to the usual umask, limits, priority, personality and secure bits, as far as they are not locked, so that
 *   nothing of the caller's changes what runs or shows in what it makes. The real root leaves the caller's other groups; an
 *   ordinary user may need them to reach what is to be mounted.
 * - For the real root, it takes a mount namespace where the given files are read-only. Owner and mode of a device node
 *   that is bound into a sandbox are the host's, and root may change them there; and what runs as the first process of
 *   the sandbox could be written to by its name in /proc.
 */
const PROGRAM = String.raw`
  my ($keyctl, $close, $unshare, $mount, $capget, $capset, $prctl, @rest) = @ARGV;
  my ($personality, $setgroups, $prlimit, $first, $bounds, $limits, $count, @words) = @rest;
  my @files = splice @words, 0, $count;
  delete $ENV{PERL_BADLANG};
  sub fail { print STDERR "stk: cannot $_[0]: $!\n"; exit 1 }
  # Refused by a kernel without keyrings, by a filter that this process is under itself, and where a user has too many:
  # nothing in the sandbox can ask for keys even then.
  syscall($keyctl + 0, 1, 0);
  my $scope = pack 'Q3', 0, 0, 1;
  my $rules = syscall(444, $scope, length $scope, 0);
  $rules < 0 or syscall(446, $rules + 0, 0) == 0 or fail('leave abstract sockets');
  umask 022;
  syscall($personality + 0, 0);
  syscall($prctl + 0, 28, 0, 0, 0, 0);
  setpriority(0, 0, 0) if getpriority(0, 0) != 0;
  for (split /;/, $limits) {
    my ($resource, $soft, $hard) = map { $_ < 0 ? ~0 : $_ + 0 } split /,/;
    my ($new, $old) = (pack('Q2', $soft, $hard), pack('Q2', 0, 0));
    next if syscall($prlimit + 0, 0, $resource, $new, 0) == 0;
    syscall($prlimit + 0, 0, $resource, 0, $old);
    my $most = (unpack 'Q2', $old)[1];
    $new = pack('Q2', $soft < $most ? $soft : $most, $hard < $most ? $hard : $most);
    syscall($prlimit + 0, 0, $resource, $new, 0);
  }
  syscall($setgroups + 0, 0, 0) if @files;
  if (@files) {
    push @files, readlink '/proc/self/fd/1' if -t STDOUT;
    my ($root, $slave, $bind, $readonly) = ('/', 0x80000 | 0x4000, 0x1000, 0x1000 | 0x20 | 1);
    syscall($unshare + 0, 0x20000) == 0 or fail('make a mount namespace');
    syscall($mount + 0, 0, $root, 0, $slave, 0) == 0 or fail('keep mounts to itself');
    for my $file (@files) {
      next unless -e $file;
      syscall($mount + 0, "$file", "$file", 0, $bind, 0) == 0 or fail("bind $file");
      syscall($mount + 0, 0, "$file", 0, $readonly, 0) == 0 or fail("make $file read-only");
    }
  }
  my ($header, $sets) = (pack('L2', 0x20080522, 0), "\0" x 24);
  syscall($capget + 0, $header, $sets) == 0 or fail('read capabilities');
  my @sets = unpack 'L6', $sets;
  @sets[2, 5] = @sets[1, 4];
  $sets = pack 'L6', @sets;
  syscall($capset + 0, $header, $sets) == 0 or fail('make capabilities inheritable');
  my %kept = map { $_ => 1 } split /,/, $bounds;
  for my $capability (0 .. 63) {
    syscall($prctl + 0, 23, $capability, 0, 0, 0) == 1 or next;
    $kept{$capability} or syscall($prctl + 0, 24, $capability, 0, 0, 0) == 0 or fail('drop capabilities');
  }
  opendir(my $open, '/proc/self/fd') or fail('list descriptors');
  my @open = grep { /^\d+$/ && $_ >= $first } readdir $open;
  syscall($close + 0, $_ + 0) for @open;
  exec { $words[0] } @words or fail("execute $words[0]");
`;

/** Without it, Perl complains on the caller's standard error where the fixed locale is missing. */
export const LAUNCHER_ENVIRONMENT: Readonly<Record<string, string>> = { PERL_BADLANG: '0' };

export interface SandboxLaunch {
  /** Arguments of bubblewrap. */
  readonly args: readonly string[];
  /** The first descriptor that is closed; bubblewrap gets those below. */
  readonly closeFrom: number;
  /** Numbers of the capabilities that the sandbox is bounded to. */
  readonly capabilities: readonly number[];
  /** Without a user namespace between the sandbox and the host. */
  readonly realRoot: boolean;
}

/** A command line that becomes bubblewrap, see above. Throws `missing-capability`. */
export async function sandboxLaunch(launch: SandboxLaunch): Promise<readonly [string, ...string[]]> {
  const [perl, bwrap] = await Promise.all(['perl', 'bwrap'].map(find));
  const [abi] = machineAbis();
  const numbers = CALLS.map(call => (abi === undefined ? undefined : callNumber(abi, call)));
  if (numbers.includes(undefined)) {
    throw new StkError('missing-capability', `sandboxes are not known on ${process.arch} processors`);
  }
  const files = launch.realRoot ? [...DEVICES, bwrap!] : [];
  const settings = [launch.closeFrom, launch.capabilities.join(','), LIMITS.map(limit => limit.join(',')).join(';')];
  const words = [...numbers, ...settings, files.length, ...files, bwrap!, ...launch.args].map(String);
  return [perl!, '-e', PROGRAM, '--', ...words];
}

async function find(name: string): Promise<string> {
  const found = await findTool(name);
  if (found === undefined) throw missingTool(name);
  return realpath(found);
}
