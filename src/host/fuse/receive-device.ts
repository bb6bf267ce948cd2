import { StkError } from '../../core/errors.ts';
import type { AbsPath } from '../../core/paths.ts';
import { findTool, missingTool } from '../find-tool.ts';
import { fuseOptions, type FuseMountOptions } from './mount-device.ts';

/**
 * An ordinary user outside of a namespace mounts through setuid fusermount3, which hands the descriptor over a socket
 * (SCM_RIGHTS; `_FUSE_COMMFD` names the socket). Node has no recvmsg(2), so a few lines of another language start
 * fusermount3, receive the descriptor, and then become the server by exec: no process more than without them.
 * Perl first: on Debian it is essential, and starts in 3 ms against Python's 15.
 */
const PERL = String.raw`
use strict; use Socket; use POSIX ();
my ($call, $slot, $tool, $options, $target, @server) = @ARGV;
$^F = 255;
socketpair(my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0) or die "socketpair: $!\n";
my $child = fork() // die "fork: $!\n";
if (!$child) {
  close $ours;
  $ENV{_FUSE_COMMFD} = fileno $theirs;
  exec { $tool } $tool, '-o', $options, '--', $target or POSIX::_exit(127);
}
close $theirs;
my ($byte, $control) = ('', '');
vec($byte, 0, 8) = 0;
vec($control, 63, 8) = 0;
my $vector = pack('PL!', $byte, 1);
my $message = pack('L!Ix![L!]PL!PL!ix![L!]', 0, 0, $vector, 1, $control, 64, 0);
my $got;
do { $got = syscall($call, fileno $ours, $message, 0) } while $got < 0 && $!{EINTR};
waitpid $child, 0;
exit($? >> 8 || 1) if $got < 1 || $? != 0;
my (undef, $level, $type, $fd) = unpack('L!iii', $control);
die "fusermount3 sent no descriptor\n" if $level != SOL_SOCKET || $type != 1;
if ($fd != $slot) { POSIX::dup2($fd, $slot) // die "dup2: $!\n"; POSIX::close($fd) }
close $ours if fileno $ours != $slot;
exec { $server[0] } @server or die "exec: $!\n";
`;

const PYTHON = String.raw`
import os, socket, struct, sys
slot, tool, options, target = sys.argv[1:5]
ours, theirs = socket.socketpair()
child = os.fork()
if child == 0:
    os.set_inheritable(theirs.fileno(), True)
    os.environ['_FUSE_COMMFD'] = str(theirs.fileno())
    os.execv(tool, [tool, '-o', options, '--', target])
theirs.close()
data, control, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4))
_, status = os.waitpid(child, 0)
if status != 0 or not control:
    sys.exit(os.waitstatus_to_exitcode(status) or 1)
fd = struct.unpack('i', control[0][2][:4])[0]
os.dup2(fd, int(slot))
if fd != int(slot):
    os.close(fd)
os.execv(sys.argv[5], sys.argv[5:])
`;

/** Number of recvmsg(2), by Node's name of the architecture (the kernel's tables of system calls). */
const RECVMSG: Readonly<Record<string, number>> = {
  x64: 47,
  arm64: 212,
  riscv64: 212,
  loong64: 212,
  arm: 297,
  ia32: 372,
  s390x: 372,
  ppc64: 342,
};

export interface ReceivedDevice {
  readonly target: AbsPath;
  /** Descriptor under which the server finds the device. */
  readonly slot: number;
  /** The server's program (absolute) and arguments. */
  readonly command: readonly string[];
  readonly mount: FuseMountOptions;
  /** Chosen by what is installed if absent. */
  readonly language?: 'perl' | 'python3';
}

/**
 * The command that mounts `target` through fusermount3 and then becomes the server. A mount that fails is its exit
 * status, with the reason on stderr. Throws `missing-capability` where fusermount3, or both perl and python3, are absent.
 */
export async function receivingCommand(device: ReceivedDevice): Promise<readonly string[]> {
  const tool = await findTool('fusermount3');
  if (tool === undefined) throw missingTool('fusermount3');
  const rest = [String(device.slot), tool, fuseOptions(device.mount).join(','), device.target, ...device.command];
  const call = RECVMSG[process.arch];
  const perl = device.language === 'python3' || call === undefined ? undefined : await findTool('perl');
  if (perl !== undefined) return [perl, '-e', PERL, String(call), ...rest];
  const python = device.language === 'perl' ? undefined : await findTool('python3');
  if (python !== undefined) return [python, '-I', '-c', PYTHON, ...rest];
  throw new StkError('missing-capability', 'neither perl nor python3 is installed, and one must receive a descriptor', {
    hint: 'install perl, or work inside a user namespace, where no descriptor has to be received',
  });
}
