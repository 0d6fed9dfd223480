# SPDX-License-Identifier: BSD-2-Clause
"""Makes the image of an SD card that a HiFive board boots: Debian's U-Boot (SPL, and the rest with OpenSBI), a partition with
the kernel, its initial file system and the board's device tree, and one for data, which is ext4. No root is needed. Write it
with `dd if=OUT.img of=/dev/CARD bs=4M conv=fsync`; docs/boards.md has the steps."""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FILES = os.path.join(TOP, "third_party/boards")
BOARDS = {"unleashed": "hifive-unleashed-a00", "unmatched": "hifive-unmatched-a00"}

SECTOR = 512
MIB = 1 << 20
# The boot ROM finds the SPL by its partition's type, and U-Boot's SPL finds the rest in this sector.
SPL_SECTOR, SPL_TYPE = 34, "5B193300-FC78-40CD-8002-E86C45580B47"
UBOOT_SECTOR, UBOOT_TYPE = 2082, "2E54B353-1271-4842-806F-E436D6AF6985"
LINUX_TYPE = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
BOOT_SECTOR, BOOT_SIZE = 8 * MIB // SECTOR, 48 * MIB
DATA_SECTOR = BOOT_SECTOR + BOOT_SIZE // SECTOR
LEAST_SIZE = 128 * MIB
# What U-Boot and Lentil read. Newer features of ext4 would only be refused.
BOOT_FS = ["-t", "ext2", "-L", "lentil-boot"]
DATA_FS = ["-t", "ext4", "-L", "lentil-data"]


def bytes_of(text):
    """512M, 4G or a number of bytes."""
    factor = {"K": 1 << 10, "M": MIB, "G": 1 << 30}.get(text[-1:].upper(), 1)
    try:
        return int(text if factor == 1 else text[:-1]) * factor
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 512M or 4G") from None


def firmware(board, name):
    return os.path.join(FILES, f"u-boot/sifive_{board}", name)


def extlinux(device_tree, append):
    lines = ["default lentil", "timeout 1", "label lentil", "    kernel /Image", "    initrd /initramfs.cpio.gz",
             f"    fdt /{device_tree}.dtb"]
    if append:
        lines.append(f"    append {append}")
    return "\n".join(lines) + "\n"


def make_file_system(options, folder, size, path):
    """A file system of `size` bytes with what is in `folder`, as if root owned it."""
    with open(path, "wb") as file:
        file.truncate(size)
    subprocess.run(["mke2fs", "-q", *options, "-b", "4096", "-E", "root_owner=0:0", "-d", folder, path], check=True,
                   env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})


def uboot_for(board, work):
    """Debian's u-boot.itb; for the Unleashed with one word more in the device tree that U-Boot itself reads.

    QEMU answers the command that resets a card with the state before it, which U-Boot takes for a failure when its SPL has used
    the card: so it gets a first try that may fail. A real card passes both."""
    original = firmware(board, "u-boot.itb")
    if board != "unleashed":
        return original
    changed, tree, where = os.path.join(work, "u-boot.itb"), os.path.join(work, "u-boot.dtb"), ["/images/fdt-1", "data"]
    read = subprocess.run(["fdtget", "-t", "bx", original, *where], check=True, capture_output=True, text=True)
    with open(tree, "wb") as file:
        file.write(bytes(int(word, 16) for word in read.stdout.split()))
    subprocess.run(["fdtput", "-p", "-t", "s", tree, "/config", "bootcmd", "mmc dev 0; run distro_bootcmd"], check=True)
    shutil.copyfile(original, changed)
    with open(tree, "rb") as file:
        subprocess.run(["fdtput", "-t", "bx", changed, *where, *(f"{byte:x}" for byte in file.read())], check=True)
    return changed


def copy_into(image, path, sector, room=None):
    """A file to a sector of the image; blocks of zeros stay holes."""
    size = os.path.getsize(path)
    if room is not None and size > room:
        sys.exit(f"sdcard: {path} has {size} bytes, {room} is the most")
    with open(path, "rb") as file, open(image, "r+b") as card:
        card.seek(sector * SECTOR)
        while block := file.read(64 << 10):
            if block.count(0) == len(block):
                card.seek(len(block), os.SEEK_CUR)
            else:
                card.write(block)


def make(out, board, kernel, initrd, append="", size=512 * MIB, data=None):
    """Writes the image `out`; `data` is a folder for the data partition."""
    sectors = size // SECTOR
    table = f"""label: gpt
first-lba: {SPL_SECTOR}
start={SPL_SECTOR}, size={UBOOT_SECTOR - SPL_SECTOR}, type={SPL_TYPE}, name=spl
start={UBOOT_SECTOR}, size=8192, type={UBOOT_TYPE}, name=u-boot
start={BOOT_SECTOR}, size={BOOT_SIZE // SECTOR}, type={LINUX_TYPE}, name=boot, attrs=LegacyBIOSBootable
start={DATA_SECTOR}, size={sectors - DATA_SECTOR - 2048}, type={LINUX_TYPE}, name=data
"""
    new = out + ".new"
    with open(new, "wb") as file:
        file.truncate(size)
    with tempfile.TemporaryDirectory() as work:
        try:
            subprocess.run(["sfdisk", "--quiet", new], input=table, text=True, check=True,
                           env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
            copy_into(new, firmware(board, "u-boot-spl.bin"), SPL_SECTOR, (UBOOT_SECTOR - SPL_SECTOR) * SECTOR)
            copy_into(new, uboot_for(board, work), UBOOT_SECTOR, 8192 * SECTOR)
            boot = os.path.join(work, "boot")
            os.makedirs(os.path.join(boot, "extlinux"))
            with open(os.path.join(boot, "extlinux/extlinux.conf"), "w", encoding="ascii") as file:
                file.write(extlinux(BOARDS[board], append))
            shutil.copyfile(kernel, os.path.join(boot, "Image"))
            shutil.copyfile(initrd, os.path.join(boot, "initramfs.cpio.gz"))
            shutil.copyfile(os.path.join(FILES, f"dtb/sifive/{BOARDS[board]}.dtb"), os.path.join(boot, BOARDS[board] + ".dtb"))
            make_file_system(BOOT_FS, boot, BOOT_SIZE, os.path.join(work, "boot.img"))
            copy_into(new, os.path.join(work, "boot.img"), BOOT_SECTOR)
            empty = os.path.join(work, "empty")
            os.mkdir(empty)
            make_file_system(DATA_FS, data or empty, (sectors - DATA_SECTOR - 2048) * SECTOR, os.path.join(work, "data.img"))
            copy_into(new, os.path.join(work, "data.img"), DATA_SECTOR)
            os.replace(new, out)
        except BaseException:
            os.unlink(new)
            raise


def main():
    parser = argparse.ArgumentParser(prog="scripts/sdcard", description=__doc__)
    parser.add_argument("out", metavar="OUT.img", help="the image to write")
    parser.add_argument("--board", choices=sorted(BOARDS), default="unleashed", help="(default: unleashed)")
    parser.add_argument("--append", default="", metavar="WORDS", help="the kernel's command line")
    parser.add_argument("--size", type=bytes_of, default=512 * MIB, metavar="SIZE",
                        help="of the whole image; QEMU wants a power of two (default: 512M)")
    parser.add_argument("--data", metavar="FOLDER", help="what is in the data partition at first (default: nothing)")
    parser.add_argument("--initrd", metavar="FILE", help="initramfs, cpio or cpio.gz (default: busybox and a shell)")
    parser.add_argument("--kernel", metavar="FILE", help="(default: build/Image)")
    options = parser.parse_args()
    if options.size < LEAST_SIZE or options.size % MIB:
        parser.error("--size wants at least 128M, in whole MiB")
    if not (options.kernel and options.initrd):
        built = subprocess.run([os.path.join(TOP, "scripts/build"), "boot"], stdin=subprocess.DEVNULL, check=False)
        if built.returncode:
            return built.returncode
    try:
        make(options.out, options.board, options.kernel or os.path.join(TOP, "build/Image"),
             options.initrd or os.path.join(TOP, "build/initramfs.cpio.gz"), options.append, options.size, options.data)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"sdcard: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
