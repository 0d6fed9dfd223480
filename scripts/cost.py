# SPDX-License-Identifier: BSD-2-Clause
"""The benchmark's figures: measuring a kernel, and the recorded ones in test/cost. Used by bench.py, bench_doc.py and the tests.

A figure is the number of instructions of one operation; of a `pipe_bw` row, MB/s where an instruction takes a nanosecond."""
import math
import os
import re
import subprocess

import qemu

TOP = qemu.TOP
FOLDER = os.path.join(TOP, "test/cost")
INITRD = os.path.join(TOP, "build/bench-initramfs.cpio.gz")
LINE = re.compile(r"^(\w+) +([\d.]+) (ns|MB/s)\r*$", re.MULTILINE)
# How much worse a row may get than what is recorded.
TOLERANCE = 0.02
# Which of 64 stacks lie beside pages that earlier rows' forks made the parent copy makes a difference of up to 7 %.
UNSTEADY = {"fork_exit_64thr": 0.08}


def read(name):
    """A file of test/cost, row by row; goals have no unit."""
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return {words[0]: float(words[1]) for words in (line.split() for line in file) if words and not words[0].startswith("#")}


def write(name, head, rows):
    with open(os.path.join(FOLDER, name), "w", encoding="utf-8") as file:
        file.writelines(f"# {line}\n" for line in head)
        file.writelines(f"{row} {value:.1f} {'MB/s' if is_bandwidth(row) else 'ns'}\n" for row, value in rows.items())


def is_bandwidth(row):
    return row.startswith("pipe_bw")


def ratio(row, ours, theirs):
    """Below 1: ours is cheaper."""
    return theirs / ours if is_bandwidth(row) else ours / theirs


def mean(ratios):
    """Geometric."""
    ratios = list(ratios)
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan


def worse(recorded, measured):
    """What a person must hear about: rows that cost more than the record allows, or that stopped working."""
    for row, before in recorded.items():
        if row not in measured:
            yield f"{row} gives no figure any more"
        elif ratio(row, measured[row], before) > 1 + UNSTEADY.get(row, TOLERANCE):
            yield f"{row} was {before:,.0f}, is {measured[row]:,.0f}"


def command(kernel, rows=(), quick=False, settle=False):
    """The machine that counts: one hart, an instruction a nanosecond, nothing left to chance. Needs build/bench-initramfs.cpio.gz."""
    words = ["quiet", "norandmaps"] + ["quick=yes"] * quick + ["settle=yes console=ttyS0 no4lvl norandmaps panic=-1"] * settle
    if rows:
        words.append(f'"rows={" ".join(rows)}"')
    machine = qemu.qemu_command(kernel=kernel, initrd=INITRD, append=" ".join(words), smp=1, memory="2G", icount=True)
    machine[machine.index("shift=0")] += ",sleep=off"
    return machine + ["-seed", "1", "-rtc", "base=2020-01-01T00:00:00,clock=vm", "-no-reboot"]


def parse(console):
    return {row: float(value) for row, value, _ in LINE.findall(console)}


def measure(kernel, rows=(), quick=False, settle=False, limit=3600):
    """Boots `kernel` and returns its figures; OSError if the benchmark did not come to its end."""
    done = subprocess.run(command(kernel, rows, quick, settle), stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, check=False)
    console = done.stdout.decode(errors="replace")
    if "@@ end 0" not in console:
        raise OSError("the benchmark did not end well:\n" + console[-2000:] + done.stderr.decode(errors="replace"))
    return parse(console)
