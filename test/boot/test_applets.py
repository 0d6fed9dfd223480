# SPDX-License-Identifier: BSD-2-Clause
"""Busybox applets and shell constructs print byte for byte what they print elsewhere (test/applets)."""
import difflib
import os
import re

from harness import TOP, Failure, Machine, boot_test, check_equal


def sections(text):
    """{title: what it printed}, in order; each section starts with a line `== NUMBER TITLE`."""
    parts = re.split(r"^== \d+ (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def first_difference(wanted, got):
    for line in difflib.ndiff(wanted.splitlines(), got.splitlines()):
        if line[0] in "+-":
            return ("printed " if line[0] == "+" else "missing ") + repr(line[2:])
    return "line ends differ"


def run_applets(machine):
    """Runs the script at the prompt; gives (title, why it is not as expected or None) for each of its sections."""
    with open(os.path.join(TOP, "test/applets/expected.txt"), encoding="utf-8") as file:
        expected = sections(file.read())
    if len(expected) < 60:
        raise Failure(f"only {len(expected)} sections are expected")
    _, status = machine.run("sh /test/applets.sh 2>&1 </dev/null | cat >/tmp/printed", timeout=600)
    check_equal(status, 0, "status of the script")
    printed, _ = machine.run("cat /tmp/printed", timeout=300)
    got = sections(printed)
    return [(title, "nothing was printed" if title not in got
             else None if got[title] == text else first_difference(text, got[title])) for title, text in expected.items()]


@boot_test("busybox's applets and shell constructs run to their end", own_lines=True)
def applets(report):
    with Machine("applets") as machine:
        machine.wait_for_shell()
        for title, why in run_applets(machine):
            if why:
                report.not_ok(f"applets: {title}", why)
            else:
                report.ok(f"applets: {title}")
        machine.send("exit\n")
        machine.wait_for_end()
