#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the boot tests: every test_*.py of this folder. `run.py PATTERN` runs those whose sentence or file has PATTERN in it.
Prints one line for each result and, last, `N passed, N failed`; fails when one failed or none ran."""
import glob
import importlib
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402  (it knows the way to scripts/)
import results  # noqa: E402


def main():
    patterns = [re.compile(word, re.IGNORECASE) for word in sys.argv[1:]]
    report = harness.Report()
    for path in sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "test_*.py"))):
        importlib.import_module(os.path.basename(path)[:-3])
    for test in harness.TESTS:
        where = f"{test.function.__module__} {test.sentence}"
        if all(pattern.search(where) for pattern in patterns):
            test.execute(report)
    results.record(report.ends)
    print(f"{report.passed} passed, {report.failed} failed")
    return 0 if report.passed and not report.failed else 1


if __name__ == "__main__":
    sys.exit(main())
