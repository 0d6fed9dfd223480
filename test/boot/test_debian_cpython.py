# SPDX-License-Identifier: BSD-2-Clause
"""CPython's own tests on a Debian root, on request (LENTIL_TEST_DEBIAN=nightly; hours). docs/cpython.md says what they give."""
import os
import re

from harness import TOP, boot_test, check
from test_debian import ASKED_FOR, debian_machine, disk_of, enter, leave
from test_disk import fsck, ok

HOUR = 3600
PAGE = os.path.join(TOP, "docs/cpython.md")
# Of test_socket only what is about UNIX sockets.
CHOSEN = {"test_socket": "-m '*Unix*' -m '*SCMRights*' -m '*Abstract*' -m '*SendRecvFds*' -m '*BasicSocketPair*'"}
# How a test says that it found no AF_INET.
NO_NETWORK = re.compile("Address family not supported|could not bind on any address|Can not create socket")


def page_rows():
    """The modules that the page counts, and the tests that its table of causes names as failing."""
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    return (re.findall(r"^\| (test_[\w.]+) \|", text, re.MULTILINE), set(re.findall(r"^\| `(test_\w+\.\w+)`", text, re.MULTILINE)))


def failures(output):
    """The names of what failed for another reason than that there is no network."""
    reports = re.findall(r"^(?:FAIL|ERROR): (\w+)[^\n]*\n-{20,}\n(.*?)(?=^[=-]{20,}$)", output, re.MULTILINE | re.DOTALL)
    return {name for name, report in reports if not NO_NETWORK.search(report)}


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
                output, _ = machine.run(f"python3 -m test --timeout {HOUR} -v {module} {CHOSEN.get(module, '')} > out 2>&1; "
                                        "sed -n '/^=====/,/^Ran /p; /^Ran /p; /^Result:/p' out", HOUR)
                failed = {f"{module}.{name}" for name in failures(output)}
                if failed <= known and re.search("^Ran [0-9]+ test", output, re.MULTILINE) and "Result: " in output:
                    report.ok(f"CPython: {module}")
                else:
                    report.not_ok(f"CPython: {module}", f"{', '.join(sorted(failed - known))} {output[-300:]!r}")
            ok(machine, "cd; rm -rf /var/tmp/*")
            leave(machine)
        fsck(root, "after CPython's tests")
        os.remove(root)
