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


@boot_test("busybox's applets and shell constructs run to their end", own_lines=True)
def applets(report):
    with open(os.path.join(TOP, "test/applets/expected.txt"), encoding="utf-8") as file:
        expected = sections(file.read())
    with Machine("applets") as machine:
        machine.wait_for_shell()
        _, status = machine.run("sh /test/applets.sh 2>&1 </dev/null | cat >/tmp/printed", timeout=600)
        check_equal(status, 0, "status of the script")
        printed, _ = machine.run("cat /tmp/printed", timeout=300)
        machine.send("exit\n")
        machine.wait_for_end()
    got = sections(printed)
    if len(expected) < 60:
        raise Failure(f"only {len(expected)} sections are expected")
    for title, text in expected.items():
        if title not in got:
            report.not_ok(f"applets: {title}", "nothing was printed")
        elif got[title] != text:
            report.not_ok(f"applets: {title}", first_difference(text, got[title]))
        else:
            report.ok(f"applets: {title}")
