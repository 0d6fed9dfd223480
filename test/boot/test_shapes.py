# SPDX-License-Identifier: BSD-2-Clause
"""QEMU's virt board in other shapes: interrupt controllers, sockets, memory sizes, kinds of harts."""
import subprocess

import qemu  # scripts/qemu.py; harness knows the way
from harness import RELEASE, Machine, boot_test, check_equal

DEFAULT_INITRD = qemu.INITRD


def has_cpu_option(option):
    """Whether this QEMU knows an option of its processors (later ones have more)."""
    done = subprocess.run(["qemu-system-riscv64", "-M", "virt", "-cpu", f"rv64,{option}", "-S", "-display", "none", "-monitor", "stdio"],
                          input="quit\n", capture_output=True, text=True, check=False)
    return done.returncode == 0


def shape(sentence, message="", harts=1, **options):
    """Boots, asks the shell (by an interrupt of the serial line) and powers off."""
    @boot_test(f"virt: {sentence}")
    def test():
        with Machine(f"virt {sentence}", kernel=RELEASE, initrd=DEFAULT_INITRD, smp=harts, **options) as machine:
            if message:
                machine.expect(message, 60)
            machine.wait_for_shell()
            answer, _ = machine.run("nproc")
            check_equal(answer, f"{harts}\n", "harts at work")
            machine.send("exit\n")
            check_equal(machine.wait_for_end(), 0, "QEMU's exit code")


shape("seven harts and 16 GiB", harts=7, memory="16G")
shape("a shell in 16 MiB", memory="16M")
shape("timer and IPIs by ACLINT", machine="virt,aclint=on", harts=5)
shape("interrupts by APLIC", machine="virt,aia=aplic", harts=6)
shape("interrupts as messages, by APLIC and IMSIC", machine="virt,aia=aplic-imsic", harts=3)
shape("two sockets, each with memory and an interrupt controller", harts=4, memory="512M",
      more=["-numa", "node,mem=256M,cpus=0-1,nodeid=0", "-numa", "node,mem=256M,cpus=2-3,nodeid=1"])
shape("harts without the hypervisor extension", more=["-cpu", "rv64,h=off"])
shape("harts of SiFive's U54 kind", more=["-cpu", "sifive-u54"], harts=2)
if has_cpu_option("sv48=on"):
    shape("harts with Sv48", more=["-cpu", "rv64,sv48=on"])
