#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""embed.py FILE OUT.hpp NAME: a C++ header in which the bytes of FILE are the array NAME."""
import sys

source, target, name = sys.argv[1:]
with open(source, "rb") as f:
    data = f.read()
with open(target, "w", encoding="ascii") as out:
    out.write(f"// Made by scripts/embed.py.\n#pragma once\ninline constexpr unsigned char {name}[] = {{\n")
    for at in range(0, len(data), 16):
        out.write("    " + ", ".join(str(b) for b in data[at : at + 16]) + ",\n")
    out.write("};\n")
