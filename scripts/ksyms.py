#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the symbol table that panics use, as assembly: ksyms.py NM ELF OUTPUT.

The kernel is linked twice: without the table, then with it. The table lies behind the code, so no function moves;
`ksyms.py --check NM FIRST SECOND` proves that.
"""
import collections
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


GROUP = 32  # functions between two places where a search may begin
FIRST_PAIR = 128  # codes below are characters


def pack(names):
    """(pairs, packed names): code FIRST_PAIR + i stands for the two codes of pair i, which may be such codes themselves.
    The most frequent pair of neighbours becomes a code, again and again."""
    texts = [list(name.encode("ascii")) for name in names]
    distinct = {name: text for name, text in zip(names, texts)}
    pairs = []
    while len(pairs) < 256 - FIRST_PAIR:
        counts = collections.Counter()
        for text in distinct.values():
            counts.update(zip(text, text[1:]))
        pair, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
        if count < 4:
            break
        code = FIRST_PAIR + len(pairs)
        pairs.append(pair)
        for text in distinct.values():
            i = 0
            while i + 1 < len(text):
                if (text[i], text[i + 1]) == pair:
                    text[i:i + 2] = [code]
                i += 1
    return pairs, [distinct[name] for name in names]


def unpack(pairs, codes):
    """The inverse for one name."""
    text = ""
    for code in codes:
        text += chr(code) if code < FIRST_PAIR else unpack(pairs, pairs[code - FIRST_PAIR])
    return text


def write(nm, elf, output):
    """The layout is that of kernel/debug/symbols.cpp."""
    table = functions(nm, elf)
    base = min(address for address, name in table if name == "_start")
    names = [short(name) for address, name in table]
    pairs, packed = pack(names)
    stream, groups, last = bytearray(), [], 0
    for i, (address, name) in enumerate(table):
        assert unpack(pairs, packed[i]) == names[i] and len(packed[i]) < 256
        if i % GROUP == 0:
            groups.append((address - base, len(stream)))
            last = address
        distance = (address - last) // 2  # no instruction begins at an odd address
        last = address
        while distance >= 128:
            stream.append(distance % 128 + 128)
            distance //= 128
        stream.append(distance)
        stream.append(len(packed[i]))
        stream += bytes(packed[i])
    lines = ['    .section .ksyms, "a"', "    .balign 8", "table:",
             f"    .word {len(table)}, {len(groups)}, pairs - table, stream - table"]
    lines += [f"    .word {offset:#x}, {place}" for offset, place in groups]
    lines.append("pairs:")
    lines += [f"    .byte {first}, {second}" for first, second in pairs]
    lines.append("stream:")
    lines += ["    .byte " + ", ".join(map(str, stream[i:i + 32])) for i in range(0, len(stream), 32)]
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
