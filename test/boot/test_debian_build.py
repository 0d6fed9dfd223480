# SPDX-License-Identifier: BSD-2-Clause
"""What is built from source on a Debian root, on request: a package (LENTIL_TEST_DEBIAN=large), Lentil itself
(LENTIL_TEST_DEBIAN=nightly; hours)."""
import hashlib
import os
import subprocess

from harness import LOGS, TOP, Machine, boot_test, check, check_equal
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


def second_disk(path):
    return ["-drive", f"file={path},if=none,format=raw,id=disk1", "-device", "virtio-blk-device,drive=disk1"]


if "large" in ASKED_FOR:
    @boot_test("large Debian root: make -j8 builds Debian's zlib from its source, which passes its own tests", rank=3)
    def zlib():
        root, source = disk_of("debian", "zlib-root"), sources_disk("zlib")
        with debian_machine("large Debian root make", root, more=second_disk(source)) as machine:
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


HOUR = 3600


def own_source_disk():
    """The repository as it is committed, and third_party/, on a disk with room to build in. One that a run left behind is
    taken again, with what was built on it, if the source is still the same."""
    path = os.path.join(LOGS, "own-source.img")
    archive = subprocess.run(["git", "-C", TOP, "archive", "HEAD"], check=True, stdout=subprocess.PIPE).stdout
    recipe = hashlib.sha256(archive).hexdigest()
    if os.path.exists(path) and os.path.exists(path + ".recipe"):
        with open(path + ".recipe", encoding="utf-8") as file:
            if file.read() == recipe:
                return path
    tree = path + ".tree"
    subprocess.run(["rm", "-rf", tree, path, path + ".recipe"], check=True)
    os.makedirs(tree)
    subprocess.run(["tar", "-x", "-C", tree], input=archive, check=True)
    subprocess.run(["cp", "-rL", os.path.join(TOP, "third_party"), tree], check=True)
    with open(path, "wb") as file:
        file.truncate(2 << 30)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, path], check=True, env=E2FS_PATH)
    subprocess.run(["rm", "-rf", tree], check=True)
    with open(path + ".recipe", "w", encoding="utf-8") as file:
        file.write(recipe)
    return path


if "nightly" in ASKED_FOR:
    @boot_test("Lentil builds Lentil: meson, ninja and g++ make a kernel from its source, and it boots", rank=9)
    def builds_itself():
        root, source = disk_of("debian-self", "self-root"), own_source_disk()
        harts = len(os.sched_getaffinity(0))
        with debian_machine("Lentil builds Lentil", root, harts, "4G", second_disk(source)) as machine:
            enter(machine)
            ok(machine, "mount /dev/vdb /mnt && cd /mnt", HOUR)
            try:
                # On a riscv64 machine the names in the cross file are those of its own compiler.
                ok(machine, "[ -e build/build.ninja ] || meson setup build --cross-file scripts/cross/riscv64.ini "
                            "-Dprecompiled=true -Ddebug_info=false", HOUR)
                ok(machine, f"ninja -C build -j {harts} Image > build/log 2>&1 || {{ tail -n 20 build/log; false; }}", 24 * HOUR)
            finally:
                ok(machine, "cd; umount /mnt", HOUR)
            leave(machine)
        fsck(source, "after the build")
        image = os.path.join(LOGS, "self-Image")
        subprocess.run(["debugfs", "-R", f"dump /build/Image {image}", source], check=True, env=E2FS_PATH, stderr=subprocess.DEVNULL)
        with Machine("what Lentil built", kernel=image, initrd=os.path.join(TOP, "build/initramfs.cpio.gz")) as machine:
            machine.wait_for_shell()
            check_equal(machine.run("echo built by itself"), ("built by itself\n", 0), "the shell's answer")
        os.remove(root)
        os.remove(source)
