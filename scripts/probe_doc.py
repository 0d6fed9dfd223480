#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the table of probes in docs/tracing.md from their one declaration, kernel/debug/trace.def. `--check` writes nothing
and fails if the page is out of date."""
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(TOP, "docs/tracing.md")
MARK = "<!-- from kernel/debug/trace.def by scripts/probe_doc.py -->\n"


def table():
    with open(os.path.join(TOP, "kernel/debug/trace.def"), encoding="utf-8") as file:
        code = re.sub(r"//[^\n]*", "", file.read())
    lines = ["", "| probe | values | fires when |", "|---|---|---|"]
    for words in re.findall(r"PROBE\(\w+,((?:\s*\"[^\"]*\",?)+)\)", code):
        name, values, *when = re.findall(r'"([^"]*)"', words)
        values = re.sub(r":\w\b", "", values)
        lines.append(f"| `{name}` | `{values}` | {''.join(when)} |")
    return "\n".join(lines) + "\n"


def main():
    with open(PAGE, encoding="utf-8") as file:
        old = file.read()
    new = old[:old.index(MARK) + len(MARK)] + table()
    if sys.argv[1:] == ["--check"]:
        if new != old:
            sys.exit("docs/tracing.md is out of date: run scripts/probe_doc.py")
    elif new != old:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(new)


if __name__ == "__main__":
    main()
