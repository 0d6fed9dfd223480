# SPDX-License-Identifier: BSD-2-Clause
"""CPython's own tests on a Debian root, on request (LENTIL_TEST_DEBIAN=nightly; hours). docs/cpython.md says what they give."""
import os
import re

from harness import TOP, boot_test, check
from test_debian import ASKED_FOR, debian_machine, disk_of, enter, leave
from test_disk import fsck, ok

HOUR = 3600
PAGE = os.path.join(TOP, "docs/cpython.md")


def page_rows():
    """The modules that the page counts, and the tests that its table of differences names as failing."""
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    return (re.findall(r"^\| (test_\w+) \|", text, re.MULTILINE), set(re.findall(r"^\| `(test_\w+\.\w+)`", text, re.MULTILINE)))


if "nightly" in ASKED_FOR:
    @boot_test("CPython's own tests pass, but for those of docs/cpython.md", own_lines=True, rank=8)
    def cpython(report):
        root = disk_of("debian-python", "python-root")
        modules, known = page_rows()
        check(modules, "docs/cpython.md has no table of modules")
        with debian_machine("CPython", root, 2, "2G") as machine:
            enter(machine)
            machine.run("export TERM=vt100 HOME=/root LANG=C.UTF-8 PYTHON_COLORS=0; cd /var/tmp")
            for module in modules:
                output, _ = machine.run(f"python3 -m test --timeout {HOUR} -v {module} > out 2>&1; "
                                        r"grep -aE '^(FAIL|ERROR): |^Ran [0-9]+ test' out; tail -n 3 out", HOUR)
                failed = {f"{module}.{name}" for name in re.findall(r"^(?:FAIL|ERROR): (\w+)", output, re.MULTILINE)}
                if failed <= known and ("Result: SUCCESS" in output or failed):
                    report.ok(f"CPython: {module}")
                else:
                    report.not_ok(f"CPython: {module}", f"{', '.join(sorted(failed - known))} {output[-300:]!r}")
            ok(machine, "cd; rm -rf /var/tmp/*")
            leave(machine)
        fsck(root, "after CPython's tests")
        os.remove(root)
