# SPDX-License-Identifier: BSD-2-Clause
"""What the kernel costs in memory: its image, what it owns after boot, a process, a thread and a loan that wait."""
import os
import re
import shutil
import subprocess

import qemu  # scripts/qemu.py; harness knows the way
from harness import LOGS, RELEASE, TOP, Machine, boot_test, check, initrd_with
from test_disk import make_disk

KIB = 1024
PAGE_RECORD = 16  # bytes of metadata, the goal
# (goal, what may not be exceeded): the second is the goal where that is reached, and else a little more than what is needed now.
LIMITS = {
    "text and read-only data": (512 * KIB, 844 * KIB),
    "the kernel's own after boot, with 128 MiB": (1536 * KIB, 2480 * KIB),
    "child": (20 * KIB, 72 * KIB),
    "thread": (9 * KIB, 28 * KIB),
    "loan": (1 * KIB, 5 * KIB // 2),
}


def sections(elf):
    text = subprocess.run(["riscv64-linux-gnu-size", "-A", elf], check=True, capture_output=True, text=True).stdout
    return {line.split()[0]: int(line.split()[1]) for line in text.splitlines() if line.startswith(".")}


def value(text, name):
    return int(re.search(rf"^{name}:?\s+(\d+)", text, re.MULTILINE)[1])


@boot_test("the kernel's memory: its image, what it owns after boot, a child, a thread and a loan that wait, each within its limit")
def footprint():
    size = sections(os.path.join(TOP, "build/lentil.elf"))
    measured = {"text and read-only data": size[".text"] + size[".rodata"]}
    with Machine("footprint", kernel=RELEASE, initrd=initrd_with("footprint"), memory="128M", smp=1) as machine:
        machine.wait_for_shell()
        text, _ = machine.run("cat /proc/meminfo")
        image = sum(size[name] for name in (".text", ".rodata", ".data", ".bss"))
        records = 128 * KIB // 4 * PAGE_RECORD
        measured["the kernel's own after boot, with 128 MiB"] = image + records + value(text, "Slab") * KIB
        # A page has no more than its record: but for these, the firmware's 512 KiB and the device tree all memory is managed.
        check(value(text, "MemTotal") * KIB >= 128 * KIB * KIB - image - records - 640 * KIB, f"more is missing: {text}")
        text, status = machine.run("/test/footprint")
        check(status == 0, text)
        for name in ("child", "thread", "loan"):
            measured[name] = value(text, name)
        machine.send("exit\n")
        machine.wait_for_end()
    for name, bytes_now in measured.items():
        print(f"# {name}: {bytes_now} bytes, goal {LIMITS[name][0]}")
    over = [f"{name} takes {now} bytes, more than {LIMITS[name][1]}" for name, now in measured.items() if now > LIMITS[name][1]]
    check(not over, "; ".join(over))


@boot_test("a shell in 8 MiB, firmware included, from a disk")
def eight():
    top = os.path.join(LOGS, "eight.tree")
    shutil.rmtree(top, ignore_errors=True)
    shutil.copytree(os.path.join(TOP, "third_party/busybox"), os.path.join(top, "bin"), symlinks=True)
    for folder in ("dev", "proc", "sbin"):
        os.makedirs(os.path.join(top, folder))
    with open(os.path.join(top, "sbin/init"), "w", encoding="utf-8") as file:
        file.write("#!/bin/busybox sh\n/bin/busybox mount -t proc proc /proc\nexec /bin/busybox sh\n")
    os.chmod(os.path.join(top, "sbin/init"), 0o755)
    path = make_disk("eight", size=16 << 20, tree=top)
    with Machine("8 MiB", kernel=RELEASE, initrd=None, disk=path, append="root=/dev/vda", memory="8M", smp=1) as machine:
        machine.expect("~ # ")
        machine.send("busybox grep MemFree /proc/meminfo; busybox sort /proc/lentil/objects | busybox wc -l\n")
        free = int(machine.expect(r"^MemFree: +(\d+) kB")[1])
        check(free > 2048, f"{free} KiB are free")
        machine.send("busybox poweroff -f\n")
        machine.wait_for_end()
    os.remove(path)
