#!/bin/bash
# Fetches Debian's static busybox of another architecture, for tests of what an emulator runs:
#
#   scripts/foreign-busybox.sh ARCHITECTURE FILE      makes FILE, if it is missing; ARCHITECTURE is Debian's name
#
# Package lists and caches are its own, so that this host goes on knowing of one architecture.
set -euo pipefail
architecture=${1:?usage: foreign-busybox.sh ARCHITECTURE FILE}
target=$(realpath -m "${2:?usage: foreign-busybox.sh ARCHITECTURE FILE}")
[ ! -e "$target" ] || exit 0
mkdir -p "$(dirname "$target")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p state/lists/partial cache/archives/partial
apt=(apt-get -qq -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture" -o Acquire::Languages=none
  -o "Dir::State=$work/state" -o Dir::State::status=/dev/null -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
"${apt[@]}" update >&2
"${apt[@]}" download busybox-static >&2
dpkg -x ./*.deb root
cp root/bin/busybox "$target.$$"
mv "$target.$$" "$target"
