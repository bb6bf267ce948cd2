import { spawn, type ChildProcess } from 'node:child_process';
import { StkError } from '../../core/errors.ts';
import { closeSync } from '../files.ts';
import { findTool } from '../find-tool.ts';
import { keepInheritedFiles } from '../inherited-files.ts';
import { sendMessage } from '../syscalls/descriptor-message.ts';
import { openSocketPair } from '../syscalls/descriptor-socket.ts';
import { failedWith } from '../syscalls/failure.ts';
import { callNumber, machineAbis } from '../system-calls.ts';

/** Of the server that a keeper becomes: devices as `NAME=DESCRIPTOR` separated by spaces, and the deaths in a row before it. */
export const KEPT_DEVICES = 'STK_SERVE_KEPT';
export const DEATHS = 'STK_SERVE_DEATHS';
/** Descriptor of the socket that a server and its keeper have inherited, to listen on. */
export const LISTENING_DESCRIPTOR = 3;
const PAIR_DESCRIPTOR = 4;

/**
 * A FUSE connection lives for as long as somebody has its descriptor open. So a process that does nothing but wait keeps
 * those of a server open, as the server sends them, and the socket that it listens on. When the server is gone without
 * having taken them back, it was killed: the keeper becomes a new one, which finds them open. Perl, which takes two megabytes
 * of memory and can make any system call; whatever makes the server die does not reach it.
 *
 * It gives up after five deaths that each came within a minute of the start: a request that kills the server would come
 * again for ever. When it ends, the kernel fails whoever waits for the mounts.
 *
 * A message is `+NAME` with a descriptor, or `-NAME`. It is received by recvmsg(2) into a `struct msghdr`, a `struct iovec`
 * and a control message with room for one descriptor (unix(7), SCM_RIGHTS).
 */
const KEEPER = String.raw`
  my ($recvmsg, $pair, $deaths, @server) = @ARGV;
  my $word = length pack 'J', 0;
  my ($data, $control) = ('', '');
  vec($data, 4095, 8) = vec($control, 63, 8) = 0;
  sub address { unpack 'J', pack 'P', $_[0] }
  sub uptime { open my $file, '<', '/proc/uptime'; <$file> =~ /^(\d+)/ ? $1 : 0 }
  my ($started, %kept) = uptime();
  open my $socket, '+<&=', $pair or exit 1;
  $SIG{$_} = 'IGNORE' for 'HUP', 'INT';
  for (;;) {
    my $vector = pack 'J2', address($data), 4096;
    my $message = pack 'J7', 0, 0, address($vector), 1, address($control), $word + 12, 0;
    my $length = syscall $recvmsg + 0, $pair + 0, $message, 0;
    next if $length < 0 and $! == 4;
    last if $length <= 0;
    my ($what, $name) = substr($data, 0, $length) =~ /^([-+])(.*)$/ or next;
    my $old = delete $kept{$name};
    if (defined $old) { open my $file, '<&=', $old and close $file }
    $kept{$name} = unpack 'l', substr $control, $word + 8, 4 if $what eq '+';
  }
  exit 0 unless %kept;
  $deaths = uptime() - $started < 60 ? $deaths + 1 : 1;
  exit 1 if $deaths > 5;
  close $socket;
  $ENV{STK_SERVE_KEPT} = join ' ', map { "$_=$kept{$_}" } keys %kept;
  $ENV{STK_SERVE_DEATHS} = $deaths;
  exec { $server[0] } @server;
`;

export interface KeepOptions {
  /** The server's program and arguments. */
  readonly command: readonly string[];
  /** The server's whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Deaths in a row that came before. */
  readonly deaths: number;
  /** What the keeper inherits as `LISTENING_DESCRIPTOR`; it stays the caller's. */
  readonly listening: number;
  /** Called where it ended although the server lives. */
  readonly onEnd: () => void;
}

/** A process that keeps the descriptors of this one. */
export interface Keeper {
  readonly pid: number;
  /** Has it keep another descriptor, which stays the caller's, under a name free of white space and `=`. */
  keep(name: string, fd: number): void;
  /** Has it close one. */
  drop(name: string): void;
}

/** Starts a keeper in this process's session. Throws `missing-capability` where there is no Perl. */
export async function startKeeper(options: KeepOptions): Promise<Keeper> {
  const [abi] = machineAbis();
  const receive = abi && callNumber(abi, 'recvmsg');
  const perl = await findTool('perl');
  if (receive === undefined || perl === undefined) {
    throw new StkError(
      'missing-capability',
      'nothing can keep the mounts of a server that is killed: there is no perl',
    );
  }
  const [own, peer] = openSocketPair('packets');
  keepInheritedFiles();
  const words = ['-e', KEEPER, '--', receive, PAIR_DESCRIPTOR, options.deaths, ...options.command].map(String);
  const child: ChildProcess = spawn(perl, words, {
    cwd: '/',
    stdio: ['ignore', 'inherit', 'inherit', options.listening, peer],
    env: options.env,
  });
  closeSync(peer);
  let isOpen = true;
  const end = () => {
    if (!isOpen) return;
    isOpen = false;
    closeSync(own);
    options.onEnd();
  };
  child.on('error', end).on('exit', end);
  child.unref();
  const send = (text: string, fd?: number) => {
    try {
      if (isOpen) sendMessage(own, Buffer.from(text), fd);
    } catch (error) {
      // It has ended just now, and the one that follows gets everything anew.
      if (!failedWith(error, 'EPIPE', 'ECONNRESET')) throw error;
    }
  };
  return { pid: child.pid ?? 0, keep: (name, fd) => send(`+${name}`, fd), drop: name => send(`-${name}`) };
}
