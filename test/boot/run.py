#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the boot tests: every test_*.py of this folder. `run.py PATTERN` runs those whose sentence or file has PATTERN in it.
Two run side by side (harness.JOBS), apart from those that want to be alone. Prints one line for each result and, last,
`N passed, N failed`; fails when one failed or none ran."""
import concurrent.futures
import contextlib
import glob
import importlib
import io
import multiprocessing
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402  (it knows the way to scripts/)
import results  # noqa: E402


UNITS = []  # lists of tests that run one after the other


def units_of(tests):
    """What may run side by side: a test of its own rank, or what is left of a module; the highest rank and the longest list first."""
    units = {}
    for test in tests:
        units.setdefault(test.module if test.rank is None else test.sentence, []).append(test)
    return sorted(units.values(), key=lambda unit: (unit[0].rank or 0, len(unit)), reverse=True)


def run_unit(number):
    """In a process of its own: what was printed, and the results."""
    report, printed = harness.Report(), io.StringIO()
    with contextlib.redirect_stdout(printed):
        for test in UNITS[number]:
            test.execute(report)
    return printed.getvalue(), report


def run_side_by_side(report, tests):
    UNITS[:] = units_of(tests)
    with concurrent.futures.ProcessPoolExecutor(harness.JOBS, multiprocessing.get_context("fork")) as pool:
        running = {pool.submit(run_unit, number): UNITS[number] for number in range(len(UNITS))}
        for done in concurrent.futures.as_completed(running):
            try:
                printed, results_of_unit = done.result()
            except concurrent.futures.process.BrokenProcessPool:
                report.not_ok(running[done][0].sentence, "the process that ran the tests was killed")
                continue
            print(printed, end="", flush=True)
            report.add(results_of_unit)


def main():
    patterns = [re.compile(word, re.IGNORECASE) for word in sys.argv[1:]]
    report = harness.Report()
    for path in sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "test_*.py"))):
        importlib.import_module(os.path.basename(path)[:-3])
    chosen = [test for test in harness.TESTS if all(pattern.search(f"{test.module} {test.sentence}") for pattern in patterns)]
    beside = [test for test in chosen if not test.alone]
    if harness.JOBS > 1 and len(units_of(beside)) > 1:
        run_side_by_side(report, beside)
        chosen = [test for test in chosen if test.alone]
    for test in chosen:
        test.execute(report)
    results.record(report.ends)
    print(f"{report.passed} passed, {report.failed} failed")
    return 0 if report.passed and not report.failed else 1


if __name__ == "__main__":
    sys.exit(main())
