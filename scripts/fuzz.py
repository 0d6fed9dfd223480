# SPDX-License-Identifier: BSD-2-Clause
"""Random system calls for as long as you like: boots the checked kernel with /test/fuzz, seed after seed, and tells what failed
and how to see it again. The calls and what must be true after each round: user/README.md."""
import argparse
import os
import random
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import qemu  # noqa: E402

LOGS = os.path.join(qemu.TOP, "build/fuzz-logs")
ENDS = re.compile(r"^(ok|not ok|panic:) .*$", re.MULTILINE)


def run(options, seed, limit):
    """One machine with one seed. None if all is well, or why not."""
    os.makedirs(LOGS, exist_ok=True)
    log_path = os.path.join(LOGS, f"seed-{seed}.log")
    words = f"seed={seed} round={options.round} rounds={options.rounds} {' '.join(options.words)}"
    command = qemu.qemu_command(
        kernel=os.path.join(qemu.TOP, "build" if options.release else "build/checked", "Image"),
        initrd=os.path.join(qemu.TOP, "build/test-initramfs.cpio.gz"), append=f'quiet run="/test/fuzz {words.strip()}"', smp=options.smp,
        icount=options.icount)
    if options.icount:  # idle harts do not wait for the host's clock
        command[command.index("shift=0")] += ",sleep=off"
    with open(log_path, "wb") as log:
        machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        why = None
        try:
            machine.wait(limit)
        except subprocess.TimeoutExpired:
            why = f"no end within {limit:.0f} seconds"
        finally:
            qemu.stop(machine)
    with open(log_path, encoding="utf-8", errors="replace") as log:
        text = log.read().replace("\r", "")
    ends = [found[0] for found in ENDS.finditer(text)]
    if why is None and len(ends) == 1 and ends[0].startswith("ok "):
        os.unlink(log_path)
        return None
    return f"{next((line for line in ends if not line.startswith('ok ')), why or 'the machine ended early')}; see {os.path.relpath(log_path)}"


def main():
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, metavar="N", help="go on with new seeds until then (default: one seed)")
    parser.add_argument("--seed", type=int, metavar="N", help="the first seed (default: any)")
    parser.add_argument("--round", type=int, default=0, metavar="N", help="the first round of each seed (default: 0)")
    parser.add_argument("--rounds", type=int, default=8, metavar="N", help="rounds for each seed (default: 8)")
    parser.add_argument("--smp", type=int, default=4, metavar="N", help="number of harts (default: 4)")
    parser.add_argument("--icount", action="store_true", help="virtual time; with --smp 1 a seed gives the same run again")
    parser.add_argument("--release", action="store_true", help="the kernel without its checks")
    parser.add_argument("--stop", action="store_true", help="stop at the first failure")
    parser.add_argument("words", nargs="*", metavar="WORD", help="for /test/fuzz: only=CALL,... without=CALL,... calls=N workers=N threads=N")
    options = parser.parse_args()

    build = os.path.join(qemu.TOP, "scripts/build")
    for words in ([build, "boot-tests"], [build, "boot"] if options.release else [build, "--checks", "boot"]):
        built = subprocess.run(words, stdin=subprocess.DEVNULL, check=False)
        if built.returncode != 0:
            return built.returncode

    seed = random.randrange(1, 1 << 30) if options.seed is None else options.seed
    end = time.monotonic() + 60 * (options.minutes or 0)
    runs = failures = 0
    while runs == 0 or (time.monotonic() < end and not (failures and options.stop)):
        why = run(options, seed, 300 + 120 * options.rounds)
        runs += 1
        failures += why is not None
        print(f"{'ok     ' if why is None else 'not ok '}seed {seed}, rounds {options.round} to {options.round + options.rounds - 1}"
              f"{f': {why}' if why else ''}", flush=True)
        seed += 1
    print(f"{runs} seeds, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
