# SPDX-License-Identifier: BSD-2-Clause
"""The machine comes up, gives a shell, and powers off."""
from harness import CHECKED, RELEASE, Machine, boot_test, check_equal


def boots_to_shell(sentence, **options):
    @boot_test(sentence)
    def test():
        with Machine(sentence, **options) as machine:
            machine.wait_for_shell()
            output, status = machine.run("echo $((6 * 7)); uname -s")
            check_equal((output, status), ("42\nLinux\n", 0), "the shell's answer")
            harts, _ = machine.run("grep -c ^processor /proc/cpuinfo")
            check_equal(harts, f"{options.get('smp', 4)}\n", "harts in /proc/cpuinfo")
            machine.send("exit\n")
            check_equal(machine.wait_for_end(), 0, "QEMU's exit code")


for count in (1, 2, 4, 8):
    for kind, kernel in (("release", RELEASE), ("debug", CHECKED)):
        boots_to_shell(f"the {kind} kernel boots to a shell on {count} harts and powers off", smp=count, kernel=kernel)


@boot_test("double quotes on the command line keep the words of a value together")
def quoted_words():
    with Machine("quoted words", append='run="echo $((6 * 7)) words"') as machine:
        machine.expect("42 words")
        check_equal(machine.wait_for_end(), 0, "QEMU's exit code")
