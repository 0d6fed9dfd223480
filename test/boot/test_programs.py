# SPDX-License-Identifier: BSD-2-Clause
"""Real programs, as Debian ships them for riscv64: they make processes each in its own way and read /proc."""
from harness import boot_test, check, check_equal
from packages import DebianMachine

PACKAGES = "dash make python3-minimal procps psmisc lsof ncurses-base"


@boot_test("Debian's programs find their libraries and say their versions")
def versions():
    with DebianMachine("programs", PACKAGES) as machine:
        for command, word in (("make --version", "GNU Make"), ("python3 --version", "Python 3"), ("ps --version", "procps"),
                              ("pstree --version", "PSmisc"), ("lsof -v", "lsof version")):
            output, status = machine.run(command + " 2>&1")
            check_equal(status, 0, f"status of {command}")
            check(word in output, f"{command} prints {output!r}")
