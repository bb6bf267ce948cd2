# Sourced by ./setup --tests: what only the tests need.

# Rootless tests of root's run as this account; the name is also in test/rig/users.ts.
test_user=stk-test
if [ "$(id -u)" = 0 ]; then
  if ! id "$test_user" >/dev/null 2>&1; then
    say "adding the user $test_user"
    useradd --create-home --shell /bin/sh "$test_user"
  fi
  for file in /etc/subuid /etc/subgid; do
    grep -q "^$test_user:" "$file" 2>/dev/null && continue
    # The first range above all others.
    first=$(awk -F: 'BEGIN { end = 100000 } $2 + $3 > end { end = $2 + $3 } END { print end }' "$file" 2>/dev/null || echo 100000)
    echo "$test_user:$first:65536" >>"$file"
  done
fi

if [ -e /dev/fuse ] && [ "$(stat -c %a /dev/fuse)" != 666 ]; then
  say "letting ordinary users open /dev/fuse"
  as_root chmod 0666 /dev/fuse || say "tests with FUSE will be skipped"
fi

# The same tests run on a newer Node. npm has its binary as a package, kept apart from the dependencies.
newer_node=.cache/node24
if [ ! -x "$newer_node/node" ]; then
  say "installing Node 24 for the second test run"
  mkdir -p "$newer_node"
  echo '{ "private": true }' >"$newer_node/package.json"
  platform="linux-$(node -p process.arch)"
  npm install --prefix "$newer_node" --no-save --no-package-lock --no-audit --no-fund "node-$platform@24" >&2
  ln -sfn "node_modules/node-$platform/bin/node" "$newer_node/node"
fi

# A kernel with dm-verity, to be booted in an emulator; see scripts/dm-verity-vm.sh.
if [ "$(uname -m)" = x86_64 ] && command -v apt-get >/dev/null && [ ! -e .cache/test-kernel/vmlinuz ]; then
  say "unpacking Debian's kernel for the tests of dm-verity"
  scripts/dm-verity-vm-kernel.sh .cache/test-kernel || { as_root apt-get update -q >&2 && scripts/dm-verity-vm-kernel.sh .cache/test-kernel; } ||
    say "tests of the kernel's dm-verity will be skipped"
fi

# Programs for a processor that this host does not have.
if command -v apt-get >/dev/null && [ ! -e .cache/foreign/busybox ]; then
  say "fetching a program of another architecture"
  case $(uname -m) in aarch64) foreign=amd64 ;; *) foreign=arm64 ;; esac
  scripts/foreign-busybox.sh "$foreign" .cache/foreign/busybox || say "tests of emulated steps will fail"
fi
