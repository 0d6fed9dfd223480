# SPDX-License-Identifier: BSD-2-Clause
"""A Debian 13 root on a disk: its first process, its shell, a tour of its commands, its orderly end.

LENTIL_TEST_DEBIAN=large asks for what takes minutes more: compilers, git, Python, gdb, editors, terminals (test_debian_large.py)."""
import os
import re
import subprocess

import userland
from harness import LOGS, RELEASE, Failure, Machine, boot_test, check
from test_disk import fsck

TOURS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tours")
ASKED_FOR = os.environ.get("LENTIL_TEST_DEBIAN", "").split(",")


def tour_of(name):
    """Pairs of a command, which a line with `$ ` in front is, and what comes back: the lines up to the next one."""
    with open(os.path.join(TOURS, name + ".txt"), encoding="utf-8") as file:
        text = re.sub(r"^#.*\n", "", file.read(), flags=re.MULTILINE)
    pairs = [part.partition("\n") for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]
    return [(command, wanted) for command, _, wanted in pairs]


def without_ends(text):
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n")).rstrip()


def disk_of(name, copy=None):
    """A copy of the image, for one test."""
    os.makedirs(LOGS, exist_ok=True)
    path = os.path.join(LOGS, (copy or name) + ".img")
    subprocess.run(["cp", "--sparse=always", userland.make(name), path], check=True)
    return path


def debian_machine(name, disk, harts=4, memory="1G", more=()):
    return Machine(name, kernel=RELEASE, initrd=None, append="root=/dev/vda", memory=memory, smp=harts, disk=disk, more=more)


def enter(machine):
    machine.wait_for_shell()
    machine.send("PS1='len''til:dash# ' exec dash\n")
    machine.wait_for_shell()


def leave(machine):
    machine.send("poweroff\n")
    check(machine.wait_for_end() == 0, "QEMU's exit code")


def tour(report, machine, where, name, timeout):
    for command, wanted in tour_of(name):
        sentence = f"{where}: {command}"
        try:
            output, status = machine.run(command, timeout)
        except Failure as failure:
            report.not_ok(sentence, str(failure))
            raise
        if without_ends(output) == without_ends(wanted):
            report.ok(sentence)
        else:
            report.not_ok(sentence, f"{without_ends(output)[-200:]!r}, status {status}")


def take_tours(report, root, tours, harts, timeout):
    where = f"{root} on {harts} hart{'s' if harts > 1 else ''}"
    path = disk_of(root, f"{root}-{harts}")
    with debian_machine(f"Debian root {where}", path, harts) as machine:
        enter(machine)
        report.ok(f"{where}: busybox's init starts a login shell on the console")
        for name in tours:
            tour(report, machine, where, name, timeout)
        leave(machine)
        report.ok(f"{where}: poweroff ends everything and the machine")
    fsck(path, f"after {where}")
    report.ok(f"{where}: the disk is clean afterwards")
    os.remove(path)


@boot_test("Debian on a disk: a tour of 4 harts", own_lines=True, rank=3)
def four_harts(report):
    take_tours(report, "debian-small", ["debian-small"], 4, 60)


@boot_test("Debian on a disk: a tour of one hart", own_lines=True, rank=3)
def one_hart(report):
    take_tours(report, "debian-small", ["debian-small"], 1, 60)
