#!/bin/sh
# Sets up, builds the recipe of this directory, and looks at what came out.
set -eu
cd "$(dirname "$0")/.."
./setup

show() {
  echo
  echo "\$ $*"
}

stk() { node dist/stk.js "$@"; }

show stk build
stk build
show stk inspect demo
stk inspect demo

show stk ls -l demo:/etc
stk ls -l demo:/etc

digest=$(stk inspect demo --json | node -e '
  const image = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
  console.log(image.layers.at(-1).digest.replace("sha256:", ""));')
layer=oci/blobs/sha256/$digest
mounted=$(mktemp -d)
end() {
  if [ "$(id -u)" = 0 ]; then umount "$mounted"; else fusermount3 -u "$mounted"; fi
  rmdir "$mounted"
}
if [ "$(id -u)" = 0 ]; then
  show "mount -t squashfs -o loop,ro $layer $mounted"
  mount -t squashfs -o loop,ro "$layer" "$mounted"
else
  show "squashfuse_ll -o ro $layer $mounted"
  squashfuse_ll -o ro "$layer" "$mounted"
fi
trap end EXIT
show "find $mounted"
find "$mounted" | head -n 20
