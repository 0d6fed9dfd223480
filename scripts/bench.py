# SPDX-License-Identifier: BSD-2-Clause
"""What operations cost, in instructions, beside two Linuxes (Debian's as users get it, and a lean build of the same source) and
the goals: boots the kernel twice on one hart with counted instructions, says where the runs differ, and prints a table.

    scripts/bench                        all rows
    scripts/bench fork sig_              rows whose names contain one of the words
    scripts/bench --record               all rows; they become test/cost/lentil.txt and docs/performance.md
    scripts/bench --kernel vmlinuz-6.12  another kernel that QEMU boots the same way (it is given time to settle)
    scripts/bench --harts 2 [--kernel IMAGE]
                                         operations a second on one hart and on several, in turns with the other kernel: times,
                                         for a host that has nothing else to do"""
import argparse
import math
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import cost  # noqa: E402
import scaling  # noqa: E402


def table(ours):
    debian, lean, goals = cost.read("linux-debian.txt"), cost.read("linux-lean.txt"), cost.read("goals.txt")
    rows = [row for row in debian if row in ours]
    print(f"{'row':28} {'Debian':>12} {'lean':>12} {'here':>12} {'goal':>9} {'/Debian':>8} {'/lean':>7}")
    for row in rows:
        reached = cost.ratio(row, ours[row], goals.get(row, math.nan)) <= 1
        theirs = lean.get(row, math.nan)  # the rows about growth were not measured there
        print(f"{row:28} {debian[row]:12.0f} {theirs:12.0f} {ours[row]:12.0f} {goals.get(row, math.nan):8.0f}{'*' if reached else ' '} "
              f"{cost.ratio(row, ours[row], debian[row]):8.3f} {cost.ratio(row, ours[row], theirs):7.3f}")
    rows = [row for row in rows if row in lean]
    if not rows:
        return
    dear = [row for row in rows if cost.ratio(row, ours[row], lean[row]) > 1]
    print(f"\n{len(rows)} of {len(lean)} rows with all three; * reaches its goal")
    print(f"geometric mean: {cost.mean(cost.ratio(row, ours[row], debian[row]) for row in rows):.3f} of Debian, "
          f"{cost.mean(cost.ratio(row, ours[row], lean[row]) for row in rows):.3f} of lean")
    print(f"dearer than lean: {', '.join(dear) or 'none'}")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", metavar="IMAGE", help="measure this kernel (default: build/Image, built first)")
    parser.add_argument("--once", action="store_true", help="one run")
    parser.add_argument("--record", action="store_true", help="keep the figures as those that later ones are held against")
    parser.add_argument("--harts", type=int, metavar="N", help="how much more N harts do than one")
    parser.add_argument("--turns", type=int, default=5, metavar="N", help="with --harts: how often each kernel is measured")
    parser.add_argument("rows", nargs="*", metavar="ROWS", help="parts of rows' names")
    options = parser.parse_args()
    if options.record and (options.rows or options.kernel):
        parser.error("what is recorded is all rows of Lentil")

    if subprocess.run([os.path.join(cost.TOP, "scripts/build"), "bench"], check=False).returncode:
        return 1
    kernel = options.kernel or os.path.join(cost.TOP, "build/Image")
    if options.harts:
        names, kernels = ["Lentil"], [os.path.join(cost.TOP, "build/Image")]
        if options.kernel:
            names.append("other")
            kernels.append(options.kernel)
        scaling.table(names, *scaling.compare(kernels, options.harts, options.turns))
        return 0
    try:
        runs = [cost.measure(kernel, options.rows, settle=bool(options.kernel)) for _ in range(1 if options.once else 2)]
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    table(runs[0])
    if len(runs) > 1:
        differ = [row for row in runs[0] if runs[1].get(row) != runs[0][row]]
        print(f"the second run: {'the same to the last digit' if not differ else 'differs in ' + ', '.join(differ)}")
    if options.record:
        cost.write("lentil.txt", ["What Lentil's rows cost, by scripts/bench --record; no row may get 2 % worse (test/boot/test_cost.py)."], runs[0])
        subprocess.run([sys.executable, os.path.join(cost.TOP, "scripts/bench_doc.py")], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
