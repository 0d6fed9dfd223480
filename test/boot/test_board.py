# SPDX-License-Identifier: BSD-2-Clause
"""The same image on another board: SiFive's, whose hart 0 has no MMU, whose timer is the firmware's, and which has no switch."""
import os
import subprocess

from harness import LOGS, RELEASE, TOP, Machine, boot_test, check, check_equal, count_guest_lines
import sdcard  # scripts/sdcard.py; harness knows the way
from test_applets import run_applets


@boot_test("a panic on sifive_u fails as a command")
def sifive_u_panic():
    with Machine("sifive_u panic", kernel=RELEASE, machine="sifive_u", smp=4, append="panic_test=panic",
                 panic_expected=True) as machine:
        machine.expect("^end of panic", 60)
        check_equal(machine.wait_for_end(30), 1, "QEMU's exit code")


def make_card(name, additions=(), data=None):
    """A card with the default userland and `additions` (HOST=GUEST). Returns its path."""
    os.makedirs(LOGS, exist_ok=True)
    initrd, card = os.path.join(LOGS, name + ".cpio.gz"), os.path.join(LOGS, name + ".img")
    words = [word for addition in additions for word in ("--add", addition)]
    subprocess.run([os.path.join(TOP, "scripts/mkinitramfs"), *words, "-o", initrd], check=True)
    sdcard.make(card, "unleashed", RELEASE, initrd, size=128 << 20, data=data)
    return card


@boot_test("an emulated Unleashed boots its SD card through SPL, OpenSBI and U-Boot", own_lines=True)
def card_boot(report):
    card = make_card("card", [os.path.join(TOP, "test/applets/applets.sh") + "=/test/applets.sh"])
    with Machine("card", card=card, smp=4, memory="8G") as machine:
        machine.expect("U-Boot SPL", 60)
        machine.expect("Found /extlinux/extlinux.conf", 120)
        machine.wait_for_shell()
        report.ok("a card boots on an emulated Unleashed, to the shell")

        harts, _ = machine.run("grep ^hart /proc/cpuinfo")
        check_equal([line.split()[-1] for line in harts.splitlines()], ["1", "2", "3", "4"], "harts in /proc/cpuinfo")
        free, _ = machine.run("free -m | grep Mem")
        check(8000 < int(free.split()[3]) < 8192, f"free memory: {free}")
        report.ok("the Unleashed has four harts and 8 GiB of memory in use, its own firmware's left out")

        wrong = [f"{title}: {why}" for title, why in run_applets(machine) if why]
        check(not wrong, "; ".join(wrong[:3]))
        report.ok("the applet script prints on the Unleashed what it prints elsewhere")

        mount = "mkdir /d && mount -t ext4 /dev/mmcblk0p4 /d"
        written, status = machine.run(f"{mount} && seq 1 20000 >/d/numbers && umount /d && seq 1 20000 | md5sum")
        check_equal(status, 0, "status of writing to the data partition")
        machine.send("reboot -f\n")
        machine.expect("U-Boot SPL", 60)
        machine.wait_for_shell()
        report.ok("a reboot from inside goes through the firmware again")
        check_equal(machine.run(f"{mount} && md5sum </d/numbers"), (written, 0), "the file on the data partition")
        report.ok("a file written to the card's data partition is there after a reboot")
        machine.send("exit\n")
        check_equal(machine.wait_for_end(), 0, "QEMU's exit code")
        report.ok("a power-off from inside ends the emulated Unleashed")


LOAN_PROGRAMS = ("loan", "loan_rules", "loan_exec", "loan_signals", "loan_threads")


@boot_test("the loan tests run on sifive_u", own_lines=True)
def loans(report):
    with Machine("sifive_u loans", machine="sifive_u", smp=4) as machine:
        machine.wait_for_shell()
        for program in LOAN_PROGRAMS:
            machine.send(f"/test/{program}\n")
            count_guest_lines(report, machine, f"sifive_u {program}", 600)
        machine.send("exit\n")
        check_equal(machine.wait_for_end(), 0, "QEMU's exit code")
