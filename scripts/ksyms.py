#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the symbol table that panics use, as assembly: ksyms.py NM ELF OUTPUT.

The kernel is linked twice: without the table, then with it. The table lies behind the code, so no function moves;
`ksyms.py --check NM FIRST SECOND` proves that.
"""
import subprocess
import sys


def functions(nm, elf):
    """(address, demangled name) of every function, by address, one name for each address."""
    listing = subprocess.run([nm, "-C", "-n", elf], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in listing.splitlines():
        fields = line.split(" ", 2)
        if len(fields) == 3 and fields[0] and fields[1] in "tTwW":
            address, name = int(fields[0], 16), fields[2]
            if not name.startswith((".L", "$", "__")) and address not in found:
                found[address] = name
    return sorted(found.items())


def short(name):
    """Without parameters, template arguments and our own namespace."""
    name = name.replace("(anonymous namespace)::", "").replace("lentil::", "")
    plain, depth = "", 0
    for position, c in enumerate(name):
        if c == "<" and not name[:position].endswith("operator"):
            depth += 1
        elif c == ">" and depth > 0:
            depth -= 1
        elif depth == 0:
            if c == "(" and not name[:position].endswith("operator"):
                break
            plain += c
    return plain.split(" ")[-1] if "operator" not in plain else plain


def write(nm, elf, output):
    table = functions(nm, elf)
    base = min(address for address, name in table if name == "_start")
    lines = ['    .section .ksyms, "a"', "    .balign 8", "table:", f"    .word {len(table)}, names - table"]
    names, places, size = [], {}, 0
    for address, name in table:
        name = short(name)
        if name not in places:
            places[name] = size
            names.append(name)
            size += len(name.encode()) + 1
        lines.append(f"    .word {address - base:#x}, {places[name]}")
    lines.append("names:")
    lines += [f'    .asciz "{name}"' for name in names]
    with open(output, "w") as f:
        f.write("\n".join(lines) + "\n")


def main(arguments):
    if arguments[0] == "--check":
        nm, first, second = arguments[1:]
        if functions(nm, first) != functions(nm, second):
            sys.exit("ksyms: functions moved between the two links")
    else:
        write(*arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
