# SPDX-License-Identifier: BSD-2-Clause
"""A package is built from its source on the large Debian root, on request (LENTIL_TEST_DEBIAN=large)."""
import os
import subprocess

from harness import LOGS, TOP, boot_test, check
from test_debian import ASKED_FOR, debian_machine, disk_of, enter, leave
from test_disk import E2FS_PATH, fsck, ok


def sources_disk(name):
    """A disk with a package's source and room to build it."""
    path = os.path.join(LOGS, f"source-{name}.img")
    fetched = subprocess.run([os.path.join(TOP, "scripts/packages"), "--source", name], check=True, stdout=subprocess.PIPE, text=True)
    with open(path, "wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", os.path.dirname(fetched.stdout.splitlines()[0]), path], check=True,
                   env=E2FS_PATH)
    return path


if "large" in ASKED_FOR:
    @boot_test("large Debian root: make -j8 builds Debian's zlib from its source, which passes its own tests", rank=3)
    def zlib():
        root, source = disk_of("debian", "zlib-root"), sources_disk("zlib")
        more = ["-drive", f"file={source},if=none,format=raw,id=disk1", "-device", "virtio-blk-device,drive=disk1"]
        with debian_machine("large Debian root make", root, more=more) as machine:
            enter(machine)
            ok(machine, "mount /dev/vdb /mnt && cd /mnt/zlib-* && ./configure", 1200)
            ok(machine, "make -j8", 2400)
            tested = ok(machine, "make check", 1200)
            for kind in ("", " shared", " 64-bit"):
                check(f"*** zlib{kind} test OK ***" in tested, f"zlib's{kind} test: {tested[-200:]!r}")
            ok(machine, "sha256sum libz.a libz.so.1.* minigzip; cd; umount /mnt")
            leave(machine)
        for path in (root, source):
            fsck(path, "after the build")
            os.remove(path)
