#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes docs/syscalls.md from the one declaration of every system call: kernel/abi/sys_*.def has numbers and names,
the handlers' prototypes in sys_*.hpp the arguments, and the cross compiler's <asm-generic/unistd.h> the calls of Linux
that are missing here. `--check` writes nothing and fails if the page is out of date."""
import glob
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ABI = os.path.join(TOP, "kernel/abi")
PAGE = os.path.join(TOP, "docs/syscalls.md")
COMPILER = "riscv64-linux-gnu-gcc"


def declared():
    """[(number, name, arguments, result, file)]"""
    calls = []
    for path in sorted(glob.glob(os.path.join(ABI, "sys_*.def"))):
        header = path[:-4] + ".hpp"
        with open(header, encoding="utf-8") as text:
            prototypes = re.sub(r"\s+", " ", re.sub(r"//[^\n]*", "", text.read()))
        with open(path, encoding="utf-8") as text:
            for number, name in re.findall(r"^SYSCALL(?:_LEAF|_WHOLE_FRAME)*\((-?\d+), (\w+)\)", text.read(), re.M):
                found = re.search(r"([\w<>:]+) sys_%s\(([^)]*)\);" % name, prototypes)
                if not found:
                    sys.exit(f"{header}: no prototype of sys_{name}")
                calls.append((int(number), name, found.group(2), found.group(1), os.path.basename(path)[:-4]))
    return sorted(calls)


def of_linux():
    """{number: name} as riscv64 has them."""
    out = subprocess.run([COMPILER, "-E", "-dM", "-include", "asm/unistd.h", "-x", "c", "/dev/null"],
                         capture_output=True, text=True, check=True).stdout
    words = dict(re.findall(r"^#define __NR(?:3264)?_(\w+) (.+)$", out, re.M))
    numbers = {}
    for name, value in words.items():
        while not value.strip("()").isdigit():
            plain = re.fullmatch(r"__NR(?:3264)?_(\w+)", value)
            total = re.fullmatch(r"\(__NR_(\w+) *\+ *(\d+)\)", value)
            if plain and plain.group(1) in words and words[plain.group(1)] != value:
                value = words[plain.group(1)]
            elif total:
                value = str(int(words[total.group(1)]) + int(total.group(2)))
            else:
                break
        if value.strip("()").isdigit() and name not in ("syscalls", "arch_specific_syscall"):
            numbers.setdefault(int(value.strip("()")), name)
    return numbers


def page():
    calls = declared()
    known = {number for number, *_ in calls}
    lines = ["# System calls", "",
             "Made by `scripts/syscall_doc.py` from `kernel/abi`; not edited by hand. A name says that the call is there, with",
             "Linux's rules for its errors; options that are not there give the error that Linux has for unknown ones.", "",
             "## Linux riscv64 numbers", "", "| number | call | arguments | declared in |", "|---:|---|---|---|"]
    for number, name, arguments, _, file in calls:
        if number >= 0:
            lines.append(f"| {number} | `{name}` | `{arguments or 'none'}` | {file} |")
    lines += ["", "## Native calls", "", "| number | call | arguments |", "|---:|---|---|"]
    for number, name, arguments, _, _ in reversed(calls):
        if number < 0:
            lines.append(f"| {number} | `{name}` | `{arguments or 'none'}` |")
    missing = [f"`{name}` ({number})" for number, name in sorted(of_linux().items()) if number not in known]
    lines += ["", "## Missing", "", f"These {len(missing)} calls of Linux give ENOSYS, as every unknown number does:", ""]
    line = ""
    for word in missing:
        if len(line) + len(word) > 115:
            lines.append(line.rstrip())
            line = ""
        line += word + ", "
    lines += [line.rstrip(", ") + ".", ""]
    return "\n".join(lines)


def main():
    text = page()
    if sys.argv[1:] == ["--check"]:
        with open(PAGE, encoding="utf-8") as old:
            if old.read() != text:
                sys.exit("docs/syscalls.md is out of date: run scripts/syscall_doc.py")
        return
    with open(PAGE, "w", encoding="utf-8") as out:
        out.write(text)


if __name__ == "__main__":
    main()
