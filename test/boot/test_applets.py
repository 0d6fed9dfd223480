# SPDX-License-Identifier: BSD-2-Clause
"""Seventy sections of busybox applets and shell constructs print byte for byte what they print on a kernel known to be right."""
import os

from harness import TOP, Machine, boot_test, check, check_equal

EXPECTED = os.path.join(TOP, "test/applets/expected.txt")


@boot_test("busybox applets and shell constructs print byte for byte what they should")
def applets():
    with open(EXPECTED, encoding="utf-8") as file:
        expected = file.read()
    with Machine("applets") as machine:
        machine.wait_for_shell()
        # Not to a terminal (ls would print columns), and whole: no line of the kernel's in between.
        _, status = machine.run("busybox sh /test/applets.sh > /tmp/applets.out 2>&1 < /dev/null", timeout=300)
        check_equal(status, 0, "the script's exit status")
        output, _ = machine.run("cat /tmp/applets.out")
    if output != expected:
        section = "the start"
        for number, (got, wanted) in enumerate(zip(output.split("\n"), expected.split("\n")), 1):
            if wanted.startswith("== "):
                section = wanted
            check(got == wanted, f"{section}, line {number}: {got!r}, expected {wanted!r}")
        check(False, f"{len(output)} bytes were printed, expected {len(expected)}")
