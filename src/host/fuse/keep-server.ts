/**
 * A FUSE connection lives for as long as somebody has its descriptor open. So a process that does nothing but wait keeps
 * it open, and starts the server again on it if that is killed. A shell: it takes a megabyte of memory, and whatever
 * makes the server die does not reach it.
 *
 * It gives up after five deaths that each came within a minute of the start: a request that kills the server would come
 * again for ever. When it ends, the kernel fails whoever waits for the mount.
 */
const KEEPER = `
state=$1
shift
read -r settings
deaths=0
server= told= ending=
trap 'told=1 ending=1; [ -z "$server" ] || kill -TERM "$server" 2>/dev/null' TERM INT HUP
while :; do
  read -r started _ </proc/uptime
  "$@" <<END &
$settings
END
  server=$!
  exec 3>/dev/null
  # A signal ends the wait, too.
  while wait "$server"; status=$?; [ -n "$told" ]; do told=; done
  [ $status -ne 0 ] && [ -z "$ending" ] && grep -q '"canResend":true' "$state" 2>/dev/null || exit $status
  read -r now _ </proc/uptime
  [ $((\${now%.*} - \${started%.*})) -lt 60 ] && deaths=$((deaths + 1)) || deaths=1
  [ $deaths -le 5 ] || exit $status
done
`;

/**
 * The command that runs a server and starts it anew for as long as its state file says that it can take over. The server
 * gets its settings on its standard input each time, and descriptor 3 is the null device from the second time on.
 */
export function keepingCommand(stateFile: string, server: readonly string[]): readonly string[] {
  return ['/bin/sh', '-c', KEEPER, 'stk-keep-server', stateFile, ...server];
}
