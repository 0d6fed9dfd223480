# SPDX-License-Identifier: BSD-2-Clause
"""A broken kernel says what happened, where, in which function and with which registers, and fails as a command."""
import re

from harness import CHECKED, Machine, boot_test, check, check_equal


def reports(kind, sentence, *patterns):
    @boot_test(sentence)
    def test():
        with Machine(sentence, kernel=CHECKED, initrd=None, append=f"panic_test={kind}", panic_expected=True) as machine:
            for pattern in patterns + (r"kernel_main\+", r"^end of panic"):
                machine.expect(pattern, 60)
            check_equal(machine.wait_for_end(30), 1, "QEMU's exit code")


reports("panic", "a panic names its reason, its line and its hart",
        r"^panic: on request\r*$", r"^at kernel/debug/panic_test\.cpp:\d+, hart (\d+) \(id \1\)")
reports("fault", "a fault in the kernel is reported with cause and registers",
        r"^panic: a trap in the kernel", r"cause 0xd: load page fault, value 0x1238, pc 0xffffffff8", r" ra ffffffff8\w{7}  ",
        r"^backtrace:\r*\n.*test_fault\+")
reports("overflow", "a kernel stack that overflows ends in a report, not in silence",
        r"^panic: kernel stack overflow", r"cause 0xf: store page fault", r"^backtrace:\r*\n.*recurse\+")
reports("write_text", "the kernel cannot write its own code", r"cause 0xf: store page fault, value 0xffffffff8")
reports("execute_data", "the kernel cannot execute its data", r"cause 0xc: fetch page fault, value 0xffffffff8")


@boot_test("a panic within the report of another is said once, and ends the machine all the same")
def nested():
    with Machine("panic within a panic", initrd=None, append="panic_test=nested", panic_expected=True) as machine:
        machine.expect(r"^panic: on request\r*$", 60)
        machine.expect(r"^panic within the report: while it describes \(kernel/debug/panic_test\.cpp:\d+\)\r*$", 60)
        check_equal(machine.wait_for_end(30), 1, "QEMU's exit code")
        check_equal(machine.text().count("panic within"), 1, "reports of the second panic")


@boot_test("a panic stops the other harts, whatever they print, and is not held up by them")
def silences():
    with Machine("panic among noise", panic_expected=True) as machine:
        machine.wait_for_shell()
        machine.send("for i in 1 2 3 4; do while :; do echo noise > /dev/kmsg; done & done; sleep 1; echo c > /proc/sysrq-trigger\n")
        machine.expect(r"^panic: asked for by sysrq-trigger\r*$")
        start = machine.read_to
        end = machine.expect(r"^end of panic", 30).start()
        check(machine.text().count("noise") > 10, "there was no noise")
        check(b"noise" not in machine.output[start:end], "others printed into the report")
        report = machine.output[start:end].decode(errors="replace")
        check(re.search(r"^backtrace:\r*\n(  0x\w+ \S+\r*\n)*  0x\w+ abi::sys_write\+", report, re.M), f"no way back to the call: {report}")
        check_equal(machine.wait_for_end(30), 1, "QEMU's exit code")
