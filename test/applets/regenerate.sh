#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Makes expected.txt: runs applets.sh with Debian's riscv64 busybox-static under qemu-riscv64 (user emulation), that is,
# with the same program on a kernel that is known to be right.
#   test/applets/regenerate.sh BUSYBOX [OUTPUT]
# BUSYBOX is the riscv64 busybox that scripts/setup unpacks. It runs in namespaces of its own, where riscv64 programs
# execute through binfmt_misc and /bin holds nothing but busybox; nothing on this machine changes. Needs Linux 6.7.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
busybox=$(realpath "${1:?usage: regenerate.sh BUSYBOX [OUTPUT]}")
output=$(realpath "${2:-$here/expected.txt}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/tmp"
cp "$busybox" "$work/bin/busybox"
cp "$here/applets.sh" "$work/bin/applets.sh"
for applet in $(qemu-riscv64 "$busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$work/bin/$applet"
done
export work
unshare --mount --user --map-root-user --pid --fork --mount-proc bash -euc '
    binfmt=/proc/sys/fs/binfmt_misc
    mount -t binfmt_misc none $binfmt
    magic="\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xf3\\x00"
    mask="\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff"
    # P: keep argv[0], which names the applet; F: open the emulator now, /usr/bin is about to be covered.
    printf "%s" ":riscv64:M::$magic:$mask:$(command -v qemu-riscv64):PF" > $binfmt/register
    mount --bind "$work/bin" /usr/bin
    mount -t tmpfs none /tmp
    cd /tmp
    exec /bin/busybox sh /bin/applets.sh' > "$output" 2>&1 < /dev/null
tail -n 1 "$output"
