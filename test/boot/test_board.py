# SPDX-License-Identifier: BSD-2-Clause
"""The same image on another board: SiFive's, whose hart 0 has no MMU, whose timer is the firmware's, and which has no switch."""
from harness import RELEASE, Machine, boot_test, check_equal


@boot_test("the same image boots on sifive_u, leaves hart 0 alone and powers off")
def sifive_u():
    with Machine("sifive_u", kernel=RELEASE, machine="sifive_u", smp=4) as machine:
        machine.wait_for_shell()
        output, status = machine.run("echo $((6 * 7)); sleep 1; uname -m")
        check_equal((output, status), ("42\nriscv64\n", 0), "the shell's answer")
        harts, _ = machine.run("grep ^hart /proc/cpuinfo")
        check_equal([line.split()[-1] for line in harts.splitlines()], ["1", "2", "3", "4"], "harts in /proc/cpuinfo")
        machine.send("exit\n")
        check_equal(machine.wait_for_end(), 0, "QEMU's exit code")


@boot_test("a panic on sifive_u fails as a command")
def sifive_u_panic():
    with Machine("sifive_u panic", kernel=RELEASE, machine="sifive_u", smp=4, append="panic_test=panic",
                 panic_expected=True) as machine:
        machine.expect("^end of panic", 60)
        check_equal(machine.wait_for_end(30), 1, "QEMU's exit code")
