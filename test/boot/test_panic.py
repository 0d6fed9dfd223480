# SPDX-License-Identifier: BSD-2-Clause
"""A broken kernel says what happened, where, in which function and with which registers, and fails as a command."""
from harness import CHECKED, Machine, boot_test, check_equal


def reports(kind, sentence, *patterns):
    @boot_test(sentence)
    def test():
        with Machine(sentence, kernel=CHECKED, initrd=None, append=f"panic_test={kind}", panic_expected=True) as machine:
            for pattern in patterns + (r"kernel_main\+", r"^end of panic"):
                machine.expect(pattern, 60)
            check_equal(machine.wait_for_end(30), 1, "QEMU's exit code")


reports("panic", "a panic names its reason, its line and its hart",
        r"^panic: on request\r*$", r"^at kernel/debug/panic_test\.cpp:\d+, hart \d+ \(id \d+\)")
reports("fault", "a fault in the kernel is reported with cause and registers",
        r"^panic: a trap in the kernel", r"cause 0xd: load page fault, value 0x1238, pc 0xffffffff8", r" ra ffffffff8\w{7}  ",
        r"^backtrace:\r*\n.*test_fault\+")
reports("overflow", "a kernel stack that overflows ends in a report, not in silence",
        r"^panic: kernel stack overflow", r"cause 0xf: store page fault", r"^backtrace:\r*\n.*recurse\+")
reports("write_text", "the kernel cannot write its own code", r"cause 0xf: store page fault, value 0xffffffff8")
reports("execute_data", "the kernel cannot execute its data", r"cause 0xc: fetch page fault, value 0xffffffff8")
