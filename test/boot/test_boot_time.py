# SPDX-License-Identifier: BSD-2-Clause
"""How long a boot takes, in instructions: from the kernel's first to the first process's first, on one hart whose virtual time
advances by a nanosecond with each instruction. The figures do not depend on the host.

`LENTIL_TEST_KERNEL=IMAGE test/boot/run.py "boot time"` measures another kernel in the same way, and says what it found."""
import os
import re
import subprocess

import qemu  # scripts/qemu.py; harness knows the way
from harness import LOGS, OTHER, RELEASE, SLOWNESS, TOP, Failure, boot_test, check, check_equal

# Debian 13's Linux 6.12.107 in this machine, with this initramfs.
DEBIAN = 937_000_000
# What Lentil takes, and what it may take before somebody has to explain why.
RECORDED, MARGIN = 11_520_000, 1.05
TICK = 100  # nanoseconds of the virt machine's time counter
SOURCES = os.path.join(TOP, "test/boot/clock")


def built(name, *options):
    """clock/NAME.S as a program of its own."""
    out = os.path.join(LOGS, f"clock-{name}")
    subprocess.run(["riscv64-linux-gnu-gcc", "-nostdlib", "-static", "-march=rv64ima_zicsr", "-mabi=lp64", "-Wl,--build-id=none",
                    *options, "-o", out, os.path.join(SOURCES, name + ".S")], check=True)
    return out


def ticks(kernel, initrd):
    """What the machine's counter had reached, as kernel or first process say."""
    command = qemu.qemu_command(kernel, initrd, append="quiet console=ttyS0", smp=1, memory="128M")
    command += ["-icount", "shift=0,sleep=off", "-seed", "1", "-no-reboot"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                          timeout=120 * SLOWNESS, check=False)
    found = re.search(r"^(\d+) ticks\r*$", done.stdout, re.MULTILINE)
    if not found:
        raise Failure(f"no ticks; last: {done.stdout[-200:]!r}")
    return int(found[1])


@boot_test("boot time: the first process starts after less than a quarter of the instructions of Debian's Linux, always the same")
def boot_time():
    os.makedirs(LOGS, exist_ok=True)
    elf = built("kernel", "-Wl,-N,-Ttext=0x80200000,--no-warn-rwx-segments")
    firmware_only = elf + ".bin"
    subprocess.run(["riscv64-linux-gnu-objcopy", "-O", "binary", elf, firmware_only], check=True)
    initrd = os.path.join(LOGS, "clock.cpio")
    subprocess.run([os.path.join(TOP, "scripts/mkinitramfs"), "--plain", "--add", built("init") + "=/init", "-o", initrd],
                   check=True)
    firmware = ticks(firmware_only, initrd)
    first = (ticks(RELEASE, initrd) - firmware) * TICK
    print(f"       {first:,} instructions from the kernel's first to the first process, {firmware * TICK:,} of the firmware before",
          flush=True)
    if OTHER:
        return
    check_equal((ticks(RELEASE, initrd) - firmware) * TICK, first, "instructions of a second boot")
    check(first < DEBIAN / 4, f"{first:,} instructions; Debian's Linux takes {DEBIAN:,}")
    check(first < RECORDED * MARGIN, f"{first:,} instructions; it took {RECORDED:,} once")
