#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Fails if a function of leaf system calls (kernel/abi/leaf_calls.cpp) calls another, which would not keep the registers
that a leaf must keep: leaf_check.py OBJDUMP LIBRARY STAMP."""
import re
import subprocess
import sys


def calls(listing: str) -> list[str]:
    """The lines of a disassembly that jump to another function, but for a leaf's last jump to another leaf."""
    found = []
    tail = False
    for line in listing.splitlines():
        if target := re.search(r"R_RISCV_(?:CALL|CALL_PLT|JAL)\s+(\S+)", line):
            tail = "leaf_" in target[1] or target[1].startswith(".L")
            if not tail:
                found.append(line.strip())
        elif re.search(r"\t(jal|jalr|jr|call|tail)\b", line):
            if re.search(r"\tjr\tt1\b", line) and tail:
                tail = False
            else:
                found.append(line.strip())
    return found


def main() -> int:
    objdump, library, stamp = sys.argv[1:]
    listing = subprocess.run([objdump, "-dr", library], check=True, capture_output=True, text=True).stdout
    if "leaf_" not in listing:
        sys.exit(f"{library}: no leaves")
    found = calls(listing)
    if found:
        sys.exit("leaf system calls must not call functions:\n" + "\n".join(found))
    with open(stamp, "w", encoding="ascii") as out:
        out.write("checked\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
