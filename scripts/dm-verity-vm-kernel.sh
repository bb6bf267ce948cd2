#!/bin/bash
# Unpacks Debian's kernel for virtual machines, for tests of what the running kernel may lack:
#
#   scripts/dm-verity-vm-kernel.sh DIRECTORY      makes DIRECTORY/vmlinuz and DIRECTORY/modules, if they are missing
set -euo pipefail
target=$(realpath -m "${1:?usage: dm-verity-vm-kernel.sh DIRECTORY}")
[ ! -e "$target/vmlinuz" ] || exit 0
mkdir -p "$(dirname "$target")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# The package without a version depends on the newest one.
package=$(apt-cache depends --important linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)$/\1/p' | head -n 1)
[ -n "$package" ] || { echo "apt knows no linux-image-cloud-amd64" >&2; exit 1; }
apt-get download -q -o APT::Sandbox::User=root "$package" >&2
dpkg -x ./*.deb root

made=$target.$$
mkdir -p "$made/modules"
# In the order in which they can be loaded.
for module in loop dm-mod dm-bufio reed_solomon dm-verity squashfs overlay fuse; do
  file=$(find root -name "$module.ko*" | head -n 1)
  case $file in
    *.xz) xz -dc "$file" >"$made/modules/$module.ko" ;;
    *.zst) zstd -qdc "$file" >"$made/modules/$module.ko" ;;
    ?*) cp "$file" "$made/modules/$module.ko" ;;
    # Built into the kernel.
    *) ;;
  esac
done
cp root/boot/vmlinuz-* "$made/vmlinuz"
rm -rf "$target"
mv "$made" "$target"
