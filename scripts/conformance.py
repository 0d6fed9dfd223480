#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes docs/conformance.md: every row of test/conformance, the tests that name it, and their last result.

    scripts/conformance.py            writes the page
    scripts/conformance.py --check    writes nothing; fails if rows, tests and page do not fit together
    scripts/conformance.py --missing  lists the rows that no test names

A test names rows at the beginning of its sentence. Results are those of build/test-logs, and where it has none those that
the page had; --check takes no notice of them. test/conformance/README.md has the format of the rows."""
import glob
import os
import re
import sys

import results

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROWS = os.path.join(TOP, "test/conformance")
PAGE = os.path.join(TOP, "docs/conformance.md")
FAMILIES = (("bsd", "4.xBSD"), ("netbsd", "NetBSD"), ("xnu", "XNU"), ("linux", "Linux"), ("freebsd", "FreeBSD"),
            ("edge", "Edge cases"))
VERDICTS = ("kept", "stronger", "different", "avoided", "n/a")
TESTS = ("user/test/*.c", "user/test/*.cpp", "user/test/*.h", "test/boot/*.py", "test/host/**/*.cpp", "test/model/**/*",
         "kernel/*/selftest*.cpp")
NAME = r"(?:BS|NB|XN|LX|FB|EC)-\d+"
NAMES = re.compile(rf"(?:(?:{NAME}|D\d\d) )+")
# A string literal that starts with the name of a row, with its continuations on the next lines.
SENTENCE = re.compile(rf'"((?:{NAME}|D\d\d) (?:[^"\\\n]|\\.)*"(?:\s*\n\s*f?"(?:[^"\\\n]|\\.)*")*)')
FINAL = 95  # percent of the rows; from there on a row without a test must say why


class Row:
    def __init__(self, name, verdict, promise, remark):
        self.name, self.verdict, self.promise, self.remark = name, verdict, promise, remark
        self.tests = []  # [(program, sentence)]


def read_rows(complaints):
    """{family: [Row]}"""
    families, seen = {}, set()
    for family, _ in FAMILIES:
        families[family] = []
        with open(os.path.join(ROWS, family + ".txt"), encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.startswith("#") or not line.strip():
                    continue
                fields = [field.strip() for field in line.split("|")]
                where = f"test/conformance/{family}.txt:{number}"
                if len(fields) not in (3, 4) or not re.fullmatch(NAME, fields[0]) or fields[1] not in VERDICTS:
                    complaints.append(f"{where}: not `NAME | {' or '.join(VERDICTS)} | promise | remark`")
                    continue
                row = Row(*fields[:3], fields[3] if len(fields) == 4 else "")
                if row.name in seen:
                    complaints.append(f"{where}: a second row {row.name}")
                if row.verdict in ("different", "n/a") and not row.remark:
                    complaints.append(f"{where}: {row.verdict}, but why?")
                seen.add(row.name)
                families[family].append(row)
    return families


def find_tests(rows, complaints):
    """Fills in the tests of {name: Row}."""
    for path in sorted(path for pattern in TESTS for path in glob.glob(os.path.join(TOP, pattern), recursive=True)):
        if not os.path.isfile(path):
            continue
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        for found in SENTENCE.finditer(text):
            sentence = re.sub(r'"\s*\n\s*f?"', "", found[1]).rstrip('"').replace('\\"', '"')
            names = NAMES.match(sentence)[0].split()
            for name in names:
                if name in rows:
                    test = (os.path.splitext(os.path.basename(path))[0], sentence)
                    if test not in rows[name].tests:
                        rows[name].tests.append(test)
                elif not name.startswith("D"):
                    complaints.append(f"{os.path.relpath(path, TOP)}: no row has the name {name}")


def old_results():
    """{name: result} as the page has them."""
    try:
        with open(PAGE, encoding="utf-8") as page:
            lines = re.findall(rf"^\| ({NAME}) \|.*\| (\w*) \|$", page.read(), re.M)
    except FileNotFoundError:
        return {}
    return dict(lines)


class Results:
    """What is known of how the tests of a row ended."""

    def __init__(self):
        self.by_names = {}  # the names at a recorded sentence's beginning -> [(sentence, passed)]
        for sentence, passed in results.load().items():
            found = re.search(NAMES, sentence)
            if found:
                self.by_names.setdefault(found[0], []).append((sentence[found.start():], passed))
        self.old = old_results()

    def of(self, row):
        outcomes = set()
        for _, sentence in row.tests:
            pattern = re.compile(".*".join(re.escape(" ".join(part.split())) for part in re.split(r"\{[^{}]*\}", sentence))
                                 if "{" in sentence else re.escape(sentence))
            ends = [passed for known, passed in self.by_names.get(NAMES.match(sentence)[0], ())
                    if pattern.fullmatch(known) or (not passed and sentence.startswith(known))]
            outcomes |= set(ends) if ends else {None}
        if False in outcomes:
            return "FAIL"
        if None in outcomes or not outcomes:
            return self.old.get(row.name, "") if row.tests else ""
        return "pass"


def page(families, threshold, known):
    lines = ["# Conformance", "",
             "Made by `scripts/conformance.py` from the rows in `test/conformance` and the sentences of the tests; not edited by",
             "hand. What each system promises about making processes, what Lentil does, the tests that show it, and how they",
             f"ended when they last ran. At least {threshold} % of the rows have a test.", ""]
    for family, title in FAMILIES:
        lines += [f"## {title}", "", "| row | Lentil | promise or outcome | shown by | result |", "|---|---|---|---|---|"]
        for row in families[family]:
            promise = f"{row.promise} *{row.remark}*" if row.remark else row.promise
            tests = "<br>".join(f"`{program}` {NAMES.sub('', sentence, count=1)}" for program, sentence in row.tests)
            lines.append(f"| {row.name} | {row.verdict} | {promise} | {tests.replace('|', '/')} | {known.of(row)} |")
        lines.append("")
    return "\n".join(lines)


def without_results(text):
    return re.sub(r"\| \w* \|$", "|", text, flags=re.M)


def main():
    complaints = []
    families = read_rows(complaints)
    rows = {row.name: row for family in families.values() for row in family}
    find_tests(rows, complaints)
    with open(os.path.join(ROWS, "threshold"), encoding="utf-8") as file:
        threshold = int(file.read())
    untested = [row for row in rows.values() if not row.tests]
    percent = 100 * (len(rows) - len(untested)) / len(rows)
    if percent < threshold:
        complaints.append(f"{percent:.1f} % of the rows have a test, {threshold} % should")
    if threshold >= FINAL:
        complaints += [f"{row.name} has neither a test nor a remark that says why" for row in untested if not row.remark]
    text = page(families, threshold, Results())

    if "--missing" in sys.argv[1:]:
        for row in untested:
            print(f"{row.name} {row.verdict}: {row.promise} {row.remark}")
    elif "--check" in sys.argv[1:]:
        try:
            with open(PAGE, encoding="utf-8") as file:
                old = file.read()
        except FileNotFoundError:
            old = ""
        if without_results(old) != without_results(text):
            complaints.append("docs/conformance.md is out of date: run scripts/conformance.py")
    else:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(text)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if "--check" not in sys.argv[1:]:
        print(f"{len(rows) - len(untested)} of {len(rows)} rows have a test ({percent:.1f} %)")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
