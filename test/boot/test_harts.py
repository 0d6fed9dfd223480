# SPDX-License-Identifier: BSD-2-Clause
"""Harts that are not all the same, or have errata: what the kernel makes of them, and what programs see."""
import os
import re
import subprocess

from harness import LOGS, RELEASE, Machine, boot_test, check, check_equal, count_guest_lines

ONE_THREAD = ["-accel", "tcg,thread=single"]  # of the host: then hart 0 is the first in the firmware's race
KERNEL_TEXT = 0xFFFFFFFF80000000
U74 = "rv64,mvendorid=0x489,marchid=0x8000000000000007,mimpid=0x20181004"


def guest(machine, report, program, words=""):
    machine.send(f"/test/{program} '{words}'\n")
    count_guest_lines(report, machine, f"{os.path.basename(machine.log_path)[:-4]} {program}", 120)


def power_off(machine):
    machine.send("exit\n")
    check_equal(machine.wait_for_end(), 0, "QEMU's exit code")


def fences(path):
    """Addresses of the sfence.vma that were executed: those that fence all, and those that choose by address or space."""
    everything, chosen = set(), set()
    with open(path, encoding="ascii", errors="replace") as log:
        for line in log:
            if found := re.match(r"0x([0-9a-f]+):\s+([0-9a-f]{8})\s", line):
                word = int(found[2], 16)
                if word & 0xFE007FFF == 0x12000073:
                    (chosen if word >> 15 & 0x3FF else everything).add(int(found[1], 16))
    return everything, chosen


@boot_test("the errata of SiFive's U74 are worked around", own_lines=True)
def errata(report):
    log = os.path.join(LOGS, "fences.asm")
    # What is executed for the first time, of the firmware and of the kernel.
    more = ["-cpu", U74, "-d", "in_asm", "-dfilter", f"0x80000000+0x100000,{KERNEL_TEXT:#x}+0x200000", "-D", log]
    with Machine("U74", kernel=RELEASE, smp=2, more=more) as machine:
        for name in ("CIP-453", "CIP-1200"):
            machine.expect(f"errata: {name} worked around", 60)
        machine.wait_for_shell()
        guest(machine, report, "boards")
        guest(machine, report, "loan_memory", "translation that another hart holds")
        guest(machine, report, "cow", "not seen on another")
        power_off(machine)
    everything, chosen = fences(log)
    check(any(at >= KERNEL_TEXT for at in everything) and any(at < KERNEL_TEXT for at in everything),
          "no fence was seen in the kernel, or none in the firmware")
    check_equal(sorted(hex(at) for at in chosen), [], "fences that choose")
    report.ok("on a U74 no sfence.vma chooses by address or space, the firmware's for other harts neither")


@boot_test("harts of several kinds", own_lines=True)
def kinds(report):
    tree = os.path.join(LOGS, "kinds.dtb")
    subprocess.run(["qemu-system-riscv64", "-M", f"virt,dumpdtb={tree}", "-smp", "4", "-m", "512M", *ONE_THREAD], check=True,
                   capture_output=True)

    def change(hart, isa):
        subprocess.run(["fdtput", "-t", "s", tree, f"/cpus/cpu@{hart}", "riscv,isa", isa], check=True)

    change(0, "rv64imafdch_zicsr_zifencei_zihintpause_zba_zbb_zbs")
    change(1, "rv64imac_zicsr_zifencei")
    change(2, "rv64imafdc_zicsr_zifencei_zba_zbc")
    change(3, "rv64imafdc_zicsr_zifencei_zihintpause_zba_zbb_zfhmin")
    with Machine("kinds", kernel=RELEASE, more=["-dtb", tree, *ONE_THREAD]) as machine:
        machine.expect("harts left alone, for they lack what the boot hart has: 1", 60)
        machine.wait_for_shell()
        harts, _ = machine.run("grep ^hart /proc/cpuinfo")
        check_equal([line.split()[-1] for line in harts.splitlines()], ["0", "2", "3"], "harts in /proc/cpuinfo")
        check_equal(machine.run("nproc")[0], "3\n", "harts at work")
        report.ok("a hart without the boot hart's floating point runs no thread; the others do")
        guest(machine, report, "boards")
        guest(machine, report, "fp_state")
        power_off(machine)
