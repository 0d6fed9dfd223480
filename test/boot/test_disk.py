# SPDX-License-Identifier: BSD-2-Clause
"""Disks: partitions, ext4 as mke2fs makes it, what is there after a reboot. After each test the host's e2fsck looks at the
disk. Power cuts: test_power.py."""
import hashlib
import os
import random
import re
import shutil
import struct
import subprocess
import uuid
import zlib

import qemu
from harness import CHECKED, LOGS, RELEASE, TEST_INITRD, Machine, boot_test, check

MIB = 1 << 20
PLAIN_INITRD = os.path.join(qemu.TOP, "build/initramfs.cpio.gz")
E2FS_PATH = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
# What mke2fs of Debian 13 turns on beyond that of Debian 12.
TRIXIE = ["-O", "metadata_csum_seed,orphan_file"]
MOUNT = "mkdir -p /mnt && mount -t ext4 /dev/vda /mnt"


def tool(*command):
    done = subprocess.run(command, env=E2FS_PATH, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def make_disk(name, *options, size=64 * MIB, tree=None):
    """A sparse image with an ext4 file system on all of it."""
    os.makedirs(LOGS, exist_ok=True)
    path = os.path.join(LOGS, name + ".img")
    with open(path, "wb") as file:
        file.truncate(size)
    code, text = tool("mke2fs", "-q", "-F", "-t", "ext4", *options, *(["-d", tree] if tree else []), path)
    check(code == 0, f"mke2fs: {text}")
    return path


def make_tree(name):
    """Files to put on a disk: names and their contents' sums."""
    top = os.path.join(LOGS, name)
    shutil.rmtree(top, ignore_errors=True)
    os.makedirs(os.path.join(top, "many"))
    os.makedirs(os.path.join(top, "a/deep/er"))
    rng = random.Random(6)
    contents = {"hello": b"hello, disk\n", "big": rng.randbytes(3 * MIB + 17), "a/deep/er/file": b"x" * 5000}
    for i in range(700):
        contents[f"many/name-{i:05}"] = b"%d\n" % i
    for path, data in contents.items():
        with open(os.path.join(top, path), "wb") as file:
            file.write(data)
    os.symlink("a/deep", os.path.join(top, "short-link"))
    os.symlink("a/" + "./" * 60 + "deep", os.path.join(top, "long-link"))
    return top, contents


def fsck(path, where=""):
    """e2fsck finds nothing to say, after the journal was replayed if that is still to be done."""
    copy = path + ".fsck"
    subprocess.run(["cp", "--sparse=always", path, copy], check=True)
    tool("e2fsck", "-fy", "-E", "journal_only", copy)
    code, text = tool("e2fsck", "-fn", copy)
    os.remove(copy)
    check(code == 0, f"e2fsck {where}: {' | '.join(text.splitlines()[:12])}")


def ok(machine, command, timeout=120):
    output, status = machine.run(command, timeout)
    check(status == 0, f"{command!r} failed: {output.strip()[-300:]}")
    return output


def power_off(machine):
    machine.send("exit\n")
    check(machine.wait_for_end() == 0, "QEMU's exit code")


def debugfs(path, *requests):
    done = subprocess.run(["debugfs", "-w", "-f", "-", path], input="\n".join(requests) + "\n", text=True, env=E2FS_PATH,
                          cwd=LOGS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    check(done.returncode == 0, f"debugfs: {done.stdout}")
    return done.stdout


def disk_test(sentence, name, *options, tree=None, kernel=CHECKED, initrd=TEST_INITRD, smp=2, memory="256M", size=64 * MIB,
              requests=(), after=None):
    """A test that gets the shell of a machine with such a disk, after debugfs did what it is asked to; the disk is checked
    afterwards."""
    def wrap(function):
        @boot_test(sentence)
        def test():
            path = make_disk(name, *options, tree=tree and make_tree(name + ".tree")[0], size=size)
            if requests:
                debugfs(path, *requests)
            with Machine(sentence, kernel=kernel, initrd=initrd, smp=smp, memory=memory, disk=path) as machine:
                machine.wait_for_shell()
                function(machine)
                power_off(machine)
            fsck(path)
            if after:
                after(path)
            os.remove(path)
    return wrap


def read_tree(machine):
    ok(machine, MOUNT)
    contents = make_tree("read.tree")[1]
    for name in ("hello", "big", "a/deep/er/file", "many/name-00000", "many/name-00699"):
        wanted = hashlib.sha256(contents[name]).hexdigest()
        check(wanted in ok(machine, f"sha256sum /mnt/{name}"), f"the contents of {name}")
    check(ok(machine, "ls /mnt/many | wc -l").strip() == "700", "a name is missing in the large directory")
    check(ok(machine, "cat /mnt/short-link/er/file | wc -c").strip() == "5000", "a short symbolic link")
    check(ok(machine, "cat /mnt/long-link/er/file | wc -c").strip() == "5000", "a long symbolic link")
    check("lost+found" in ok(machine, "ls /mnt"), "lost+found")
    output, status = machine.run("cat /mnt/nothing")
    check(status != 0 and "No such file" in output, "a name that is not there")


disk_test("a disk of Debian 12's mke2fs is read: files, links, large directories", "read-1k", tree=True)(read_tree)
disk_test("a disk of Debian 13's mke2fs with 4 KiB blocks is read", "read-4k", "-b", "4096", *TRIXIE, tree=True)(read_tree)


WORK = r"""
set -e
cd /mnt
mkdir -p d/e/f; echo one > d/one; cp d/one d/e/two; ln d/one d/e/hard; ln -s ../one d/e/soft
echo long > x; ln -s $(printf '%0100d' 0) d/long-link; mkfifo d/fifo; mknod d/null c 1 3; mknod d/disk b 254 0
mv d/e/two d/e/f/three; mv d/e/f d/g; rmdir d/e/f 2>/dev/null || true; echo again >> d/one
chown 1000:1000 d/one; chmod 755 d/one; touch -d '2030-01-01 00:00:00' x
dd if=/dev/urandom of=big bs=64k count=100 2>/dev/null; sha256sum big > big.sum
dd if=/dev/urandom of=holes bs=1k count=1 seek=5000 2>/dev/null; dd if=big of=holes bs=1k count=3 seek=100 conv=notrunc 2>/dev/null
sha256sum holes > holes.sum
cp big cut; truncate -s 12345 cut; truncate -s 50000 cut; sha256sum cut > cut.sum
for i in $(seq 400); do echo $i > "many-$i-$(printf '%040d' $i)"; done
mkdir sub; for i in $(seq 900); do : > sub/$(printf '%060d' $i); done
for i in $(seq 1 2 900); do rm sub/$(printf '%060d' $i); done
ls sub | wc -l; ls | grep -c many-
rm -r many-1*; cp -r d copy; rm -rf d/g
"""


def work(machine):
    ok(machine, MOUNT)
    machine.run("cat > /work.sh <<'END'\n" + WORK.strip() + "\nEND\n:")
    output = ok(machine, "sh /work.sh", 300)
    check(output.split() == ["450", "400"], f"counts of names: {output}")
    check("again" in ok(machine, "cat /mnt/d/e/hard"), "a hard link")
    check("755 1000:1000 2" in ok(machine, "stat -c '%a %u:%g %h' /mnt/d/one"), "mode, owner and links")
    ok(machine, "cd / && umount /mnt && mount -t ext4 /dev/vda /mnt && cd /mnt && sha256sum -c big.sum holes.sum cut.sum")
    check(ok(machine, "ls /mnt/sub | wc -l").strip() == "450", "names after another mount")
    blocks = int(ok(machine, "stat -c %b /mnt/holes").split()[0])
    check(blocks < 100, f"a hole takes {blocks} sectors")
    check("crw" in ok(machine, "ls -l /mnt/d/null") and "prw" in ok(machine, "ls -l /mnt/d/fifo"), "special files")
    check("again" in ok(machine, "cat /mnt/copy/one"), "a copied tree")
    ok(machine, "cd / && umount /mnt")


disk_test("files and directories are made, changed, removed and there after another mount (1 KiB blocks)", "work-1k")(work)
disk_test("files and directories on a disk of Debian 13's mke2fs (4 KiB blocks)", "work-4k", "-b", "4096", *TRIXIE)(work)
disk_test("files and directories on a disk without a journal and without checksums", "work-plain", "-O",
          "^has_journal,^metadata_csum,^64bit", kernel=RELEASE)(work)


def attributes_after(path):
    said = debugfs(path, "ea_list given", "ea_get given user.ours", "ea_get given user.long", "ea_get given user.block")
    check("user.gone" not in said, "an attribute that was removed")
    for wanted in ("ours", "L" * 500, "B" * 900, "security.capability"):
        check(wanted in said, f"debugfs does not find {wanted[:20]}: {said}")


@disk_test("the test programs for files and memory pass on a disk; e2fsprogs and the kernel see each other's attributes",
           "programs", "-b", "4096", smp=4, after=attributes_after,
           requests=("write /dev/null given", "ea_set given user.small its-value", "ea_set given user.block " + "B" * 900,
                     "ea_set given user.gone x", "ea_set given security.capability x"))
def programs(machine):
    output, status = machine.run("/test/disk_usage", 300)  # of the disk alone
    check(status == 0, f"disk_usage: {output.strip()[-400:]}")
    ok(machine, "mkdir -p /tmp && mount -t ext4 /dev/vda /tmp && chmod 1777 /tmp")
    for program in ("disk", "disk_usage", "files", "xattrs", "allocate"):
        output, status = machine.run(f"/test/{program}", 300)
        check(status == 0, f"{program}: {output.strip()[-400:]}")
    for name, wanted in (("user.small", "its-value"), ("user.block", "B" * 900)):
        check(ok(machine, f"/test/xattrs @get /tmp/given {name}") == wanted, f"the value of {name}")
    ok(machine, "/test/xattrs @set /tmp/given user.ours ours; /test/xattrs @set /tmp/given user.gone ''; "
                f"/test/xattrs @set /tmp/given user.long {'L' * 500}; /test/xattrs @remove /tmp/given user.gone")
    ok(machine, "cd / && umount /tmp")


@boot_test("what was written is there after a reboot, with the disk as the root directory")
def reboot_keeps():
    top = os.path.join(LOGS, "root.tree")
    shutil.rmtree(top, ignore_errors=True)
    shutil.copytree(os.path.join(qemu.TOP, "third_party/busybox"), os.path.join(top, "bin"), symlinks=True)
    for folder in ("dev", "proc", "etc", "sbin", "root"):
        os.makedirs(os.path.join(top, folder), exist_ok=True)
    script = "#!/bin/busybox sh\n/bin/busybox mount -t proc proc /proc\n" \
             "/bin/busybox [ -e /etc/count ] && /bin/busybox echo found $(/bin/busybox cat /etc/count)\n" \
             "/bin/busybox echo written > /etc/count\n/bin/busybox poweroff -f\n"
    with open(os.path.join(top, "sbin/init"), "w", encoding="utf-8") as file:
        file.write(script)
    os.chmod(os.path.join(top, "sbin/init"), 0o755)
    path = make_disk("root", tree=top)
    for boot, expected in enumerate(("power down", "found written")):
        with Machine(f"root on a disk, boot {boot}", disk=path, append="root=/dev/vda", memory="128M") as machine:
            machine.expect(expected, 120)
            check(machine.wait_for_end() == 0, "QEMU's exit code")
        fsck(path, f"after boot {boot}")
    os.remove(path)


# ---- partitions ----------------------------------------------------------------------------------------------------------

def gpt(image, parts):
    """Writes a GPT with partitions (first sector, sectors)."""
    size = os.path.getsize(image) // 512
    entries = b"".join(
        struct.pack("<16s16sQQQ72s", uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le,
                    uuid.UUID(int=0x1000 + i).bytes_le, first, first + count - 1, 0, f"part{i}".encode("utf-16le"))
        for i, (first, count) in enumerate(parts, 1)).ljust(128 * 128, b"\0")

    def header(at, other, table):
        fields = [b"EFI PART", 0x10000, 92, 0, 0, at, other, 34, size - 34, uuid.UUID(int=1).bytes_le, table, 128, 128,
                  zlib.crc32(entries)]
        layout = "<8sIIIIQQQQ16sQIII"
        fields[3] = zlib.crc32(struct.pack(layout, *fields))
        return struct.pack(layout, *fields).ljust(512, b"\0")

    with open(image, "r+b") as file:
        file.write(bytes(446) + struct.pack("<B3sB3sII", 0, b"", 0xee, b"", 1, size - 1) + bytes(48) + b"\x55\xaa")
        file.write(header(1, size - 1, 2) + entries)
        file.seek((size - 33) * 512)
        file.write(entries + header(size - 1, 1, size - 33))


def put_ext4(image, first, count):
    part = make_disk("part", size=count * 512)
    with open(part, "rb") as source, open(image, "r+b") as file:
        file.seek(first * 512)
        file.write(source.read())
    os.remove(part)


@boot_test("partitions of a GPT are found, by number and PARTUUID; the copy at the end serves if the first is damaged")
def gpt_partitions():
    path = os.path.join(LOGS, "gpt.img")
    with open(path, "wb") as file:
        file.truncate(48 * MIB)
    parts = [(2048, 16384), (20480, 32768)]
    gpt(path, parts)
    put_ext4(path, *parts[1])
    for damaged in (False, True):
        if damaged:
            with open(path, "r+b") as file:
                file.seek(512 + 20)
                file.write(b"\xff")
        with Machine(f"gpt damaged {damaged}", disk=path, memory="128M", smp=1) as machine:
            machine.expect(r"vda: 48 MiB, 2 partitions")
            machine.wait_for_shell()
            check("vda1" in ok(machine, "ls /dev"), "no node for the first partition")
            ok(machine, f"mkdir -p /mnt && mount -t ext4 PARTUUID={uuid.UUID(int=0x1002)} /mnt && echo {damaged} > /mnt/f")
            output, status = machine.run("mount -t ext4 /dev/vda1 /mnt")
            check(status != 0, f"an empty partition was mounted: {output}")
            ok(machine, "umount /mnt && mount -t ext4 /dev/vda2 /mnt && cat /mnt/f && umount /mnt")
            power_off(machine)
    os.remove(path)


@boot_test("partitions of an MBR are found, the logical ones too")
def mbr_partitions():
    path = os.path.join(LOGS, "mbr.img")

    def table(*entries):
        packed = b"".join(struct.pack("<B3sB3sII", 0, b"", kind, b"", first, count) for kind, first, count in entries)
        return bytes(446) + packed.ljust(64, b"\0") + b"\x55\xaa"

    with open(path, "wb") as file:
        file.truncate(48 * MIB)
        file.write(table((0x83, 2048, 8192), (5, 20480, 40000)))
        file.seek(20480 * 512)
        file.write(table((0x83, 2048, 16384), (5, 20000, 4096)))
        file.seek(40480 * 512)
        file.write(table((0x83, 64, 1024)))
    put_ext4(path, 22528, 16384)
    with Machine("mbr", disk=path, memory="128M", smp=1) as machine:
        machine.expect(r"vda: 48 MiB, 3 partitions")
        machine.wait_for_shell()
        ok(machine, "[ -b /dev/vda1 ] && [ -b /dev/vda6 ] && mkdir -p /mnt && mount -t ext4 /dev/vda5 /mnt && umount /mnt")
        power_off(machine)
    os.remove(path)


# ---- options -------------------------------------------------------------------------------------------------------------

@disk_test("mount options: ro, noexec, nodev, nosuid; a mounted disk is not mounted twice; df", "options", tree=True)
def options(machine):
    ok(machine, MOUNT + " -o noexec,nodev,nosuid")
    ok(machine, "cp /bin/busybox /mnt/bb; mknod /mnt/zero c 1 5")
    check(machine.run("/mnt/bb true")[1] == 126, "a program ran from a noexec mount")
    check(machine.run("cat /mnt/zero | head -c 1")[0] != "\0", "a device opened on a nodev mount")
    check(machine.run("mkdir -p /two; mount -t ext4 /dev/vda /two")[1] != 0, "it was mounted twice")
    check(re.search(r"/dev/vda /mnt ext4 rw,nosuid,nodev,noexec", ok(machine, "cat /proc/mounts")), "/proc/mounts")
    check("5" in ok(machine, "df -P /mnt | tail -1"), "df")
    ok(machine, "exec 3> /mnt/held")
    check("busy" in machine.run("mount -o remount,ro /mnt")[0], "read-only with a file open for writing")
    ok(machine, "exec 3< /mnt/held && rm /mnt/held")
    check("busy" in machine.run("mount -o remount,ro /mnt")[0], "read-only with a removed file in use")
    ok(machine, "exec 3<&-; mount -o remount,ro /mnt")
    output, status = machine.run("echo x > /mnt/new")
    check(status != 0 and "Read-only" in output, f"a file was made on a read-only mount: {output}")
    ok(machine, "mount -o remount,rw /mnt && echo x > /mnt/new && sync && umount /mnt")
    ok(machine, MOUNT + " -o ro && cat /mnt/new && umount /mnt")
    output, status = machine.run("cd /; mount -t ext4 /dev/vda /mnt; cd /mnt; umount /mnt")
    check(status != 0 and "busy" in output.lower(), "a mount that is in use was unmounted")
    ok(machine, "cd /; umount /mnt")


@disk_test("a full disk says so, and has room again when files go", "full", size=24 * MIB)
def full(machine):
    ok(machine, MOUNT)
    for _ in range(2):
        output, status = machine.run("dd if=/dev/zero of=/mnt/fill bs=64k; sync", 300)
        check("No space left" in output, f"dd said: {output}")
        ok(machine, "rm /mnt/fill; sync; dd if=/dev/zero of=/mnt/some bs=64k count=100 conv=fsync; rm /mnt/some")
    ok(machine, "umount /mnt")


@disk_test("a file much larger than memory is written, read and mapped: clean pages are given back, dirty ones written",
           "pressure", memory="64M", size=300 * MIB, kernel=RELEASE, initrd=PLAIN_INITRD,
           requests=(f"write {qemu.TOP}/build/user/test/pressure pressure", "sif pressure mode 0100755"))
def pressure(machine):
    ok(machine, MOUNT)
    output = ok(machine, "cd /mnt && PRESSURE_MIB=200 ./pressure", 600)
    check("1..1" in output, output)
    ok(machine, "cd /; umount /mnt")


# ---- damage --------------------------------------------------------------------------------------------------------------

@boot_test("damaged disks are refused or read as far as they go, and never stop the kernel")
def damaged():
    top, _ = make_tree("damaged.tree")
    whole = []
    for options in ((), ("-O", "^metadata_csum")):  # without checksums more damage is believed at first
        path = make_disk("damaged", *options, tree=top, size=16 * MIB)
        with open(path, "rb") as file:
            good = file.read()
        whole.append((good, [i for i in range(0, 3 * MIB, 1024) if any(good[i:i + 1024])]))
    rng = random.Random(int(os.environ.get("LENTIL_SEED", "6")))
    rounds = int(os.environ.get("LENTIL_DAMAGED_DISKS", "8"))
    for number in range(rounds):
        good, metadata = whole[number % 2]
        image = bytearray(good)
        for _ in range(rng.choice([1, 4, 40, 400])):
            at = rng.choice(metadata) + rng.randrange(1024)
            image[at] = rng.randrange(256)
        with open(path, "wb") as file:
            file.write(image)
        with Machine(f"damaged {number}", disk=path, memory="128M", smp=2) as machine:
            machine.wait_for_shell()
            machine.run(MOUNT + " && { find /mnt | wc -l; cat /mnt/* /mnt/*/* > /dev/null; cp -r /mnt/a /mnt/b; "
                        "rm -rf /mnt/many; echo x > /mnt/y; sync; }; cd /; umount /mnt; true", 180)
            check("alive" in ok(machine, "echo alive"), "the shell")
            power_off(machine)
    os.remove(path)


def crafted(name, *requests, options=("-O", "^metadata_csum")):
    """A disk that debugfs changed: nothing in it has a checksum to tell."""
    path = make_disk(name, *options, size=24 * MIB)
    for size in (1000, 5000):
        with open(os.path.join(LOGS, f"x{size}"), "wb") as file:
            file.write(b"x" * size)
    return path, debugfs(path, *requests)


@boot_test("files that point into the log or the tables, names of reserved inodes and directories in two places are refused")
def crafted_disks():
    layout = crafted("layout", "stat <8>", "stats")[1]
    log = int(re.search(r"^\(0-\d+\):(\d+)-", layout, re.M)[1])
    table = int(re.search(r"inode table at (\d+)", layout)[1])
    paths = [
        crafted("crafted-0", "write x5000 log", f"sif log block[5] {log + 100}", "write x5000 table",
                f"sif table block[5] {table + 3}", "write x5000 good", "ln <8> journal", "ln <2> top", "ln <7> resize",
                "mkdir one", "mkdir two", "ln one two/one")[0],
        crafted("crafted-1", "mkdir one", "mkdir one/two", "ln one one/two/up", "ln one/two one/two/self")[0],
        # What a truncation cut off before the power went.
        crafted("crafted-2", "write x1000 short", "sif short size 10")[0],
    ]
    more = []
    for number, path in enumerate(paths):
        with open(path, "r+b") as file:
            file.write(b"%d" % number)
        more += ["-drive", f"file={path},if=none,format=raw,id=d{number}", "-device", f"virtio-blk-device,drive=d{number}"]
    with Machine("crafted disks", memory="128M", smp=2, more=more) as machine:
        machine.wait_for_shell()
        ok(machine, "set -e; for d in /dev/vd?; do n=/d$(head -c 1 $d); mkdir $n; mount -t ext4 $d $n; done; set +e; cd /d0")
        check("x" * 5000 in ok(machine, "cat good"), "a good file")
        for name in ("log", "table", "journal", "top", "resize", "one/."):
            output, status = machine.run(f"ls two > /dev/null; cat {name}")
            refused = "needs cleaning" in output if name != "one/." else "directory" in output
            check(status != 0 and refused, f"{name}: {output[:200]}")
        output, status = machine.run("ls two/one")
        check(status != 0 and "needs cleaning" in output, f"a directory in two places: {output}")
        output, status = machine.run("echo y > good")
        check(status != 0, "a damaged disk is written on")
        output, status = machine.run("cd /d1; rmdir one/two/up; rmdir one/two/self; mv one/two/up x; ls -R one/two")
        check("needs cleaning" in output, f"directories in a circle: {output}")
        ok(machine, "cd /d2; truncate -s 5000 short; umount /d2 2>/dev/null; cat short | tr -d '\\000' > /all")
        check(ok(machine, "cat /all").strip() == "x" * 10, "what was cut off came back")
        ok(machine, "echo y | dd of=short bs=1 seek=9000 conv=notrunc; sync short; cd /; umount /d2")
        power_off(machine)
    fsck(paths[2])
    check(b"x" * 11 not in open(paths[2], "rb").read(), "what was cut off lies on the disk yet")
    for path in paths:
        os.remove(path)
