# SPDX-License-Identifier: BSD-2-Clause
"""How much more several harts do than one (user/bench/scaling.c), beside another kernel: scripts/bench --harts. What is measured is
time, so the machines take turns, and the best of several turns counts: a busy host only ever takes away."""
import os
import re
import subprocess

import cost
import qemu

RATE = re.compile(r"^(\w+) (\d+) (\d+) op/s\r*$", re.MULTILINE)
COUNT = re.compile(r"^(\w+) (\d+) (\w+) ([\d.]+) per-op\r*$", re.MULTILINE)
LIMIT = 600


def make_initrd():
    """The benchmark's own, with the other program in the place of /bin/cost."""
    path = os.path.join(cost.TOP, "build/scaling-initramfs.cpio.gz")
    built = os.path.join(cost.TOP, "build/user/bench")
    libc = os.path.dirname(subprocess.run(["riscv64-linux-gnu-gcc", "-print-file-name=libc.so.6"], check=True, capture_output=True,
                                          text=True).stdout.strip())
    additions = [f"{built}/scaling=/bin/cost", f"{built}/init=/init", f"{built}/ytrue-raw=/bin/ytrue-raw",
                 f"{libc}/libc.so.6=/lib/libc.so.6"]
    subprocess.run([os.path.join(cost.TOP, "scripts/mkinitramfs"), "--tree", os.path.join(cost.TOP, "user/bench/tree"),
                    *(word for addition in additions for word in ("--add", addition)), "-o", path], check=True)
    return path


def run(kernel, initrd, harts):
    """{(row, harts): operations a second} and {(row, harts): {counter: number of an operation}}."""
    machine = qemu.qemu_command(kernel=kernel, initrd=initrd, append="quiet console=ttyS0 no4lvl panic=-1", smp=harts, memory="1G")
    done = subprocess.run(machine + ["-no-reboot"], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False)
    console = done.stdout.decode(errors="replace")
    if "@@ end 0" not in console:
        raise OSError("the benchmark did not end well:\n" + console[-2000:] + done.stderr.decode(errors="replace"))
    counts = {}
    for row, number, counter, value in COUNT.findall(console):
        counts.setdefault((row, int(number)), {})[counter] = float(value)
    return {(row, int(number)): float(value) for row, number, value in RATE.findall(console)}, counts


def compare(kernels, harts, turns):
    """Of each kernel the best of its turns."""
    initrd = make_initrd()
    best, counts = [{} for _ in kernels], [{} for _ in kernels]
    for turn in range(turns):
        for i, kernel in enumerate(kernels):
            rates, counted = run(kernel, initrd, harts)
            for key, rate in rates.items():
                if rate > best[i].get(key, 0):
                    best[i][key] = rate
                    counts[i][key] = counted.get(key, {})
        print(f"turn {turn + 1} of {turns}", flush=True)
    return best, counts


def table(names, best, counts):
    """`best` and `counts` as `compare` gives them."""
    rows = dict.fromkeys(row for row, _ in best[0])
    numbers = sorted({number for _, number in best[0]})
    print(f"{'op/s':12} " + " ".join(f"{name + ', ' + str(n):>16}" for name in names for n in numbers)
          + " ".join(f"{name + ' more':>14}" for name in [""] + names))
    for row in rows:
        rates = [f"{kernel.get((row, n), 0):16,.0f}" for kernel in best for n in numbers]
        more = [f"{kernel.get((row, numbers[-1]), 0) / kernel[(row, 1)]:14.2f}" for kernel in best if (row, 1) in kernel]
        print(f"{row:12} " + " ".join(rates) + " " * 15 + " ".join(more))
    for name, kernel in zip(names, counts):
        for (row, n), counted in kernel.items():
            if counted:
                print(f"{name}, {row} on {n}: " + ", ".join(f"{value:.4f} {counter}" for counter, value in counted.items()))
