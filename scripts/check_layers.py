#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Checks that includes only point down the layers, and that nothing in kernel/ names a CSR or a board.

    check_layers.py [TREE]      TREE holds kernel/, arch/ and platform/; default: this repository
Prints FILE:LINE: what is wrong, one line each; exit code 1 if there is any.
"""
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Folders of kernel/, lowest first; those in one group do not include each other.
LAYERS = [["libkern"], ["machine"], ["sync"], ["sched"], ["vm"], ["mach"], ["bsd"], ["vfs", "net"], ["abi"], ["boot"]]
LEVEL = {folder: level for level, group in enumerate(LAYERS) for folder in group}
KERNEL_FOLDERS = set(LEVEL) | {"debug"}

# debug/ looks at everything; these headers of it, which pull in nothing from above, are for everybody.
DEBUG_FOR_ALL = {"debug/panic.hpp", "debug/trace.hpp", "debug/log.hpp", "debug/breakable_lock.hpp", "debug/symbols.hpp"}

# What an arch or a driver may include of kernel/.
ARCH_MAY = {"libkern", "machine", "sync"}
PLATFORM_MAY = ARCH_MAY | {"sched", "vm", "vfs"}
# The one header of kernel/ that reaches for the arch, by a name that every arch provides.
MACHINE_DOOR = ("kernel/machine/machine.hpp", "machine_impl.hpp")

CSR = re.compile(
    r"\b(sstatus|scause|stvec|sepc|stval|satp|sscratch|stimecmp|senvcfg|scounteren|sideleg|sedeleg|mstatus|mcause|mepc"
    r"|mtvec|mtval|mhartid|mideleg|medeleg|menvcfg|mcounteren|pmpcfg\d*|pmpaddr\d*|csrr?[wsc]?i?|csrr[wsc]i?|sfence"
    r"|sret|mret)\b", re.IGNORECASE)
BOARD = re.compile(
    r"\b(qemu|sifive\w*|fu540|fu740|unmatched|unleashed|visionfive\w*|ns16550\w*|plic|clint|goldfish\w*)\b", re.IGNORECASE)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def without_comments(text):
    """The same lines with comments blanked (strings stay: a name in one is still a name)."""
    pattern = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/', re.DOTALL)

    def blank(match):
        if match[0][0] in "\"'":
            return match[0]
        return re.sub(r"[^\n]", " ", match[0])

    return pattern.sub(blank, text)


def where_is(tree, path, quote, name):
    """The included file as a path of the tree, such as kernel/vm/pmap.hpp; None if it is not ours."""
    if quote == '"':
        near = os.path.normpath(os.path.join(os.path.dirname(path), name))
        if os.path.exists(os.path.join(tree, near)) or name.startswith("."):
            return near
    first = name.split("/")[0]
    if "/" in name and first in KERNEL_FOLDERS:
        return "kernel/" + name
    if "/" in name and first in ("kernel", "arch", "platform"):
        return name
    if "/" in name and os.path.isdir(os.path.join(tree, "arch", first)):
        return "arch/" + name
    return None


def complaint(path, name, target):
    """Why the file `path` must not include `target`; None if it may."""
    source, wanted = path.split("/"), target.split("/")
    if wanted[0] == "kernel" and target[len("kernel/"):] in DEBUG_FOR_ALL:
        return None
    if path.startswith("kernel/boot/") and wanted[0] != "arch":  # wires it all
        return None
    if source[0] == "kernel":
        if wanted[0] != "kernel":
            return f"kernel/ must not include {name}: it belongs to {wanted[0]}/"
        mine, other = source[1], wanted[1]
        if mine == "debug" or mine == other:
            return None
        if other == "debug":
            return f"{name} is for debug/ alone"
        if LEVEL[other] > LEVEL[mine]:
            return f"{mine}/ must not include {name}: {other}/ is above it"
        if LEVEL[other] == LEVEL[mine]:
            return f"{mine}/ must not include {name}: {other}/ is beside it"
        return None
    may = ARCH_MAY if source[0] == "arch" else PLATFORM_MAY
    if wanted[0] == "kernel":
        return None if wanted[1] in may else f"{source[0]}/ must not include {name}: {wanted[1]}/ is not for it"
    if wanted[0] == "arch" and source[0] == "arch":
        return None if wanted[1] == source[1] else f"one arch must not include another's {name}"
    if wanted[0] == "platform":  # an arch reads its device tree with platform's help, never the other way round
        return None
    return f"{source[0]}/ must not include {name} of {wanted[0]}/"


def check_file(tree, path):
    with open(os.path.join(tree, path), encoding="utf-8", errors="replace") as file:
        code = without_comments(file.read())
    if path.startswith("kernel/") and path.split("/")[1] not in KERNEL_FOLDERS:
        yield 1, f"kernel/{path.split('/')[1]} is no layer that scripts/check_layers.py knows"
        return
    for number, line in enumerate(code.splitlines(), 1):
        include = INCLUDE.match(line)
        if include:
            quote, name = include.groups()
            if name == MACHINE_DOOR[1]:
                if path.startswith("kernel/") and path != MACHINE_DOOR[0]:
                    yield number, f"only {MACHINE_DOOR[0]} includes {name}"
                continue
            target = where_is(tree, path, quote, name)
            wrong = target and complaint(path, name, target)
            if wrong:
                yield number, wrong
        elif path.startswith("kernel/"):
            for kind, pattern in (("a CSR or a privileged instruction", CSR), ("a board or a device", BOARD)):
                named = pattern.search(line)
                if named:
                    yield number, f"kernel/ must not name {kind}: {named[0]}"


def main():
    tree = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else TOP
    files = problems = 0
    for top in ("kernel", "arch", "platform"):
        for folder, folders, names in sorted(os.walk(os.path.join(tree, top))):
            folders[:] = [name for name in folders if name != "compat"]
            for name in sorted(names):
                if name.endswith((".hpp", ".cpp", ".h", ".c", ".S", ".def", ".in")):
                    path = os.path.relpath(os.path.join(folder, name), tree)
                    files += 1
                    for line, wrong in check_file(tree, path):
                        problems += 1
                        print(f"{path}:{line}: {wrong}")
    if not files:
        print(f"{tree}: no source files found")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
