# SPDX-License-Identifier: BSD-2-Clause
"""Card images, looked at from this machine as a board's boot ROM, its SPL and U-Boot would: no board is emulated."""
import json
import os
import subprocess

from harness import LOGS, RELEASE, TOP, boot_test, check, check_equal
import sdcard  # scripts/sdcard.py; harness knows the way

INITRD = os.path.join(TOP, "build/initramfs.cpio.gz")
COMPATIBLE = {"unleashed": "sifive,hifive-unleashed-a00", "unmatched": "sifive,hifive-unmatched-a00"}
ENVIRONMENT = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT).stdout


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def part_of(image, sector, size):
    with open(image, "rb") as file:
        file.seek(sector * 512)
        return file.read(size)


def partition(image, entry, name):
    """A partition as a file of its own, for e2fsprogs."""
    path = f"{image}.{name}"
    with open(path, "wb") as file:
        file.write(part_of(image, entry["start"], entry["size"] * 512))
    return path


def check_loaders(image, board):
    """What starts before any file system is read."""
    spl = bytes_of(sdcard.firmware(board, "u-boot-spl.bin"))
    check(len(spl) > 10000 and part_of(image, 34, len(spl)) == spl, "the SPL is not where the boot ROM looks")
    itb = os.path.join(LOGS, "card.itb")
    size = int.from_bytes(part_of(image, 2082, 8)[4:], "big")  # of the tree at the beginning
    with open(itb, "wb") as file:
        # What it holds lies in it, or behind it up to the end of the partition.
        file.write(part_of(image, 2082, max(size, os.path.getsize(sdcard.firmware(board, "u-boot.itb")))))
    check_equal(bytes_of(itb)[:4], b"\xd0\x0d\xfe\xed", "the first word of u-boot.itb")
    for part in ("opensbi", "uboot"):
        where = (f"/images/{part}", "data")
        check_equal(output("fdtget", "-t", "bx", itb, *where), output("fdtget", "-t", "bx", sdcard.firmware(board, "u-boot.itb"), *where),
                    f"{part} in u-boot.itb")
    tree = os.path.join(LOGS, "card.dtb")
    with open(tree, "wb") as file:
        file.write(bytes(int(byte, 16) for byte in output("fdtget", "-t", "bx", itb, "/images/fdt-1", "data").split()))
    check(COMPATIBLE[board].encode() in output("fdtget", tree, "/", "compatible").split(), "U-Boot's own tree is another board's")


def check_boot_partition(image, entry, board, append):
    boot = partition(image, entry, "boot")
    output("e2fsck", "-fn", boot)

    def read(path):
        return output("debugfs", "-R", f"cat {path}", boot)

    words = dict(line.split(None, 1) for line in read("/extlinux/extlinux.conf").decode("ascii").splitlines())
    check_equal(words["default"], words["label"], "the label that extlinux.conf takes")
    check_equal(read(words["kernel"]), bytes_of(RELEASE), "the kernel")
    check_equal(read(words["kernel"])[48:56], b"RISCV\0\0\0", "the header that booti wants")
    check_equal(read(words["initrd"]), bytes_of(INITRD), "the initramfs")
    check_equal(words["fdt"], f"/hifive-{board}-a00.dtb", "the device tree's name")
    tree = partition(image, entry, "dtb")
    with open(tree, "wb") as file:
        file.write(read(words["fdt"]))
    check(COMPATIBLE[board].encode() in output("fdtget", tree, "/", "compatible").split(), "the device tree is another board's")
    check_equal(words.get("append"), append, "the command line")


@boot_test("card images", own_lines=True)
def images(report):
    os.makedirs(LOGS, exist_ok=True)
    data = os.path.join(LOGS, "card-data")
    os.makedirs(data, exist_ok=True)
    with open(os.path.join(data, "hello"), "w", encoding="ascii") as file:
        file.write("world\n")
    for board in sorted(sdcard.BOARDS):
        image = os.path.join(LOGS, f"card-{board}.img")
        subprocess.run([os.path.join(TOP, "scripts/sdcard"), "--board", board, "--size", "128M", "--append", "quiet run=ls", "--data", data,
                        "--kernel", RELEASE, "--initrd", INITRD, image], check=True, stdin=subprocess.DEVNULL)
        check_equal(os.path.getsize(image), 128 << 20, "the image's size")
        output("sfdisk", "--verify", image)
        table = json.loads(output("sfdisk", "--json", image))["partitiontable"]
        check_equal((table["label"], table["sectorsize"]), ("gpt", 512), "the partition table")
        entries = table["partitions"]
        check_equal([(e["name"], e["start"], e["type"]) for e in entries],
                    [("spl", 34, "5B193300-FC78-40CD-8002-E86C45580B47"), ("u-boot", 2082, "2E54B353-1271-4842-806F-E436D6AF6985"),
                     ("boot", 16384, "0FC63DAF-8483-4772-8E79-3D69D8477DE4"),
                     ("data", 114688, "0FC63DAF-8483-4772-8E79-3D69D8477DE4")], "the partitions")
        check("LegacyBIOSBootable" in entries[2].get("attrs", ""), "U-Boot does not look into the boot partition")
        report.ok(f"the card of the {board} has the partitions that its boot ROM and its SPL look for")
        check_loaders(image, board)
        report.ok(f"the card of the {board} has the board's SPL, OpenSBI and U-Boot where they are looked for")
        check_boot_partition(image, entries[2], board, "quiet run=ls")
        report.ok(f"the boot partition of the {board} has all that its extlinux.conf names, and the board's own device tree")
        files = partition(image, entries[3], "data")
        output("e2fsck", "-fn", files)
        features = output("dumpe2fs", "-h", files).decode()
        check("has_journal" in features and "lentil-data" in features, "the data partition is no ext4 with that label")
        check_equal(output("debugfs", "-R", "cat /hello", files), b"world\n", "the file on the data partition")
        report.ok(f"the data partition of the {board} is an ext4 with the files it was given")
        for leftover in ("", ".boot", ".dtb", ".data"):
            os.remove(image + leftover)
