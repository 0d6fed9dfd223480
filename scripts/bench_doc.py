#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the tables and the pictures of docs/performance.md from the recorded figures in test/cost (scripts/bench --record).
A table stands between `<!-- rows: NAME... -->` and `<!-- end -->`, the sentence with the means between `<!-- means -->` and
`<!-- end -->`; the words around them are people's. --check says whether all that is up to date."""
import math
import os
import re
import sys
from html import escape

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import cost  # noqa: E402

PAGE = os.path.join(cost.TOP, "docs/performance.md")
SIZES = (1, 4, 16, 64, 256, 512)
KERNELS = (("Debian's Linux", "linux-debian.txt", "#c0392b"), ("lean Linux", "linux-lean.txt", "#e08e0b"), ("Lentil", "lentil.txt", "#2471a3"))


def table(names):
    debian, lean, ours = (cost.read(file) for _, file, _ in KERNELS)
    yield "| row | Debian | lean Linux | Lentil | of Debian | of lean |"
    yield "|---|---:|---:|---:|---:|---:|"
    for row in names:
        unit = " (MB/s)" if cost.is_bandwidth(row) else ""
        # The rows about growth and about what a fork costs afterwards were not measured on the lean one.
        theirs, of_theirs = (f"{lean[row]:,.0f}", f"{cost.ratio(row, ours[row], lean[row]):.3f}") if row in lean else ("-", "-")
        yield f"| {row}{unit} | {debian[row]:,.0f} | {theirs} | {ours[row]:,.0f} | {cost.ratio(row, ours[row], debian[row]):.3f} | {of_theirs} |"


def means():
    debian, lean, ours = (cost.read(file) for _, file, _ in KERNELS)
    rows = [row for row in lean if row in ours]
    dear = [f"`{row}`" for row in rows if cost.ratio(row, ours[row], lean[row]) > 1]
    absent = [f"`{row}`" for row in lean if row not in ours]
    yield (f"Over {len(rows)} rows the geometric mean is {cost.mean(cost.ratio(row, ours[row], debian[row]) for row in rows):.3f} of "
           f"Debian's and {cost.mean(cost.ratio(row, ours[row], lean[row]) for row in rows):.3f} of the lean one's.")
    yield f"Dearer than the lean Linux: {', '.join(dear) or 'none'}." + (f" Does not run: {', '.join(absent)}." if absent else "")


def page(text):
    def fill(match):
        kind, names = match[1], match[2].split()
        lines = table(names) if kind == "rows" else means()
        return f"<!-- {kind}{':' if names else ''}{match[2]} -->\n" + "\n".join(lines) + "\n<!-- end -->"
    return re.sub(r"<!-- (rows|means):?([^>]*?) -->\n.*?<!-- end -->", fill, text, flags=re.DOTALL)


def panel_rows(before, sizes, after):
    return [(size, f"{before}_{size}{after}") for size in sizes]


PICTURES = (
    # file, panels of (title, what the x axis is, rows)
    (os.path.join(cost.TOP, "docs/performance-growth.svg"), (
        ("fork, _exit, wait", "MiB of the parent, touched in 4 KiB pages", panel_rows("fork_exit", SIZES, "M_4k")),
        ("vfork, _exit, wait", "MiB of the parent, touched in 4 KiB pages", panel_rows("vfork_exit", SIZES, "M_4k")),
        ("posix_spawn, wait", "MiB of the parent, touched in 4 KiB pages", panel_rows("spawn_raw", SIZES, "M_4k")))),
    (os.path.join(cost.TOP, "docs/performance-counts.svg"), (
        ("descriptors", "descriptors of the parent", panel_rows("*", (16, 128, 1000), "fd")),
        ("threads", "threads of the parent, asleep", panel_rows("*", (1, 16, 64), "thr")),
        ("mappings", "mappings of the parent, touched", panel_rows("*", (100, 1000, 10000), "map")))),
)


def picture(panels):
    """One panel for each kind of growth, both axes logarithmic. Rows with a star stand for fork (a line) and vfork (a dashed one)."""
    width, height, left, top, inner, tall, gap = 1090, 360, 95, 50, 270, 230, 55
    low, high = 3.5, 8.0  # powers of ten of instructions
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
           'font-family="system-ui, sans-serif" font-size="12"><rect width="100%" height="100%" fill="#ffffff"/>']

    def text(x, y, words, anchor="middle", size=12, fill="#1f2933"):
        out.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{fill}">{escape(words)}</text>')

    def height_of(value):
        return top + tall * (high - math.log10(value)) / (high - low)

    both = any("*" in row for _, _, rows in panels for _, row in rows)
    shown = [kernel for kernel in KERNELS if all(row.replace("*", "fork_exit") in cost.read(kernel[1]) for _, _, rows in panels for _, row in rows)]
    for number, (title, axis, rows) in enumerate(panels):
        x0 = left + number * (inner + gap)
        first, last = rows[0][0], rows[-1][0]
        text(x0 + inner / 2, top - 18, title, size=14)
        for power in range(4, 9):
            y = height_of(10 ** power)
            out.append(f'<line x1="{x0}" y1="{y:.1f}" x2="{x0 + inner}" y2="{y:.1f}" stroke="#e4e7eb"/>')
            if number == 0:
                text(x0 - 8, y + 4, f"{10 ** power:,}", "end", fill="#616e7c")

        def place(size, x0=x0, first=first, last=last):
            return x0 + inner * math.log2(size / first) / math.log2(last / first)

        for size, _ in rows:
            text(place(size), top + tall + 18, str(size), fill="#616e7c")
        text(x0 + inner / 2, top + tall + 38, axis, fill="#616e7c")
        for _, file, colour in shown:
            figures = cost.read(file)
            for what, dash in (("fork_exit", ""), ("vfork_exit", ' stroke-dasharray="6 4"')) if both else (("", ""),):
                points = [(place(size), height_of(figures[row.replace("*", what)])) for size, row in rows]
                path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
                out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"{dash}/>')
                out.extend(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points)
    for number, (name, _, colour) in enumerate(shown):
        x = left + number * 150
        out.append(f'<rect x="{x}" y="{height - 22}" width="14" height="14" fill="{colour}"/>')
        text(x + 20, height - 10, name, "start")
    text(width - 20, height - 10, ("fork: a line, vfork: dashed; " if both else "") + "instructions for one operation; lower is cheaper", "end", fill="#616e7c")
    return "\n".join([*out, "</svg>"]) + "\n"


def main():
    with open(PAGE, encoding="utf-8") as file:
        before = file.read()
    wanted = {PAGE: page(before)} | {path: picture(panels) for path, panels in PICTURES}
    if sys.argv[1:] == ["--check"]:
        for path, text in wanted.items():
            if not os.path.exists(path) or open(path, encoding="utf-8").read() != text:
                sys.exit(f"{os.path.relpath(path, cost.TOP)} is out of date: run scripts/bench_doc.py")
        return
    for path, text in wanted.items():
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


main()
