#!/bin/bash
# Runs a script as root in a machine of its own that QEMU emulates, with Debian's kernel, Node, stk, and the tools that
# stk mounts with as root. Needs no privileges, no KVM, no network, and no disk: all of the machine is one initrd.
#
#   scripts/dm-verity-vm.sh KERNEL NODE DIST PAYLOAD
#
# KERNEL is what dm-verity-vm-kernel.sh made. PAYLOAD is a directory with an executable check.sh, which is run in its copy
# at /payload. What it prints is printed, its exit status is the exit status; what the kernel said goes to stderr.
set -euo pipefail
[ $# = 4 ] || { echo "usage: dm-verity-vm.sh KERNEL NODE DIST PAYLOAD" >&2; exit 2; }
kernel=$1 node=$2 dist=$3 payload=$4
limit_seconds=400

PATH=$PATH:/usr/sbin:/sbin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bin,dev,etc,proc,run,sys,tmp,usr/bin,usr/sbin,modules,stk}
cp "$(command -v busybox)" "$root/bin/busybox"

install_program() {
  local program=$1 name=$2
  cp "$program" "$root/usr/bin/$name"
  ldd "$program" 2>/dev/null | grep -o '/[^ ]*' || true
}
{
  install_program "$(readlink -f "$node")" node
  for tool in flock losetup mount rm stat umount veritysetup; do
    install_program "$(readlink -f "$(command -v $tool)")" $tool
  done
} | sort -u | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  [ -e "$root$library" ] || cp -L "$library" "$root$library"
done
cp "$kernel"/modules/*.ko "$root/modules/"
cp -r "$dist" "$root/stk/dist"
cp -r "$payload" "$root/payload"

cat >"$root/usr/bin/stk" <<'END'
#!/bin/sh
exec node /stk/dist/stk.js "$@"
END
cat >"$root/init" <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
exec </dev/null >/dev/ttyS1 2>&1
stty -onlcr </dev/ttyS1
for module in loop dm-mod dm-bufio reed_solomon dm-verity squashfs overlay fuse; do
  [ ! -e /modules/$module.ko ] || insmod /modules/$module.ko
done
cd /payload
./check.sh
echo "exit status $?"
poweroff -f
END
chmod +x "$root/init" "$root/usr/bin/stk"
(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null >"$work/initrd")

timeout --kill-after 5 $limit_seconds qemu-system-x86_64 -accel tcg,thread=multi -cpu Nehalem -smp 1 -m 1024 \
  -nodefaults -no-reboot -display none -serial "file:$work/console" -serial "file:$work/output" \
  -kernel "$kernel/vmlinuz" -initrd "$work/initrd" -append 'console=ttyS0 panic=-1 mitigations=off quiet' </dev/null >&2 ||
  echo "the emulator ended with $?" >&2
tail -n 60 "$work/console" >&2
sed '/^exit status [0-9]*$/d' "$work/output"
exit "$(sed -n 's/^exit status \([0-9]*\)$/\1/p' "$work/output" | grep . || echo 125)"
