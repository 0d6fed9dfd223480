# SPDX-License-Identifier: BSD-2-Clause
"""Runs every program of user/test in a machine of its own and reports each line that it prints."""
import os
import re

from harness import TOP, Machine, boot_test, check, count_guest_lines, initrd_with

# Seconds without an end that mean a hang; for programs that need longer than the default.
LIMITS = {"storm": 1500, "exhaust": 900, "cow": 600, "sched": 600}
DEFAULT_LIMIT = 300
# What looks at shares of time.
ALONE = {"sched"}
# Short ones that share a machine.
TOGETHER = ("inotify", "leaf_calls", "memfd", "mqueue", "openat2", "rwflags", "sigio", "splice", "sysv_msg", "sysv_sem",
            "sysv_shm")
# Machines of another size; for programs that use up all there is.
MEMORY = {"exhaust": "128M"}
# What the kernel must have said on the console.
CONSOLE = {"exhaust": r"^out of memory: killed process \d+ \(exhaust\)"}


def programs():
    with open(os.path.join(TOP, "build/guest-tests"), encoding="utf-8") as names:
        return [name for name in names.read().split() if name != "fuzz"]  # test_fuzz.py


def runs_guest_program(name):
    @boot_test(f"{name}: the guest program runs to its end", own_lines=True, alone=name in ALONE, rank=LIMITS.get(name, DEFAULT_LIMIT))
    def test(report):
        small = {"memory": MEMORY[name], "initrd": initrd_with(name)} if name in MEMORY else {}
        with Machine(f"guest {name}", **small) as machine:
            machine.wait_for_shell()
            machine.send(f"/test/{name}\n")
            count_guest_lines(report, machine, name, LIMITS.get(name, DEFAULT_LIMIT))
            if name in CONSOLE:
                check(re.search(CONSOLE[name], machine.text(), re.MULTILINE), f"the console does not say {CONSOLE[name]!r}")
            machine.send("exec poweroff -f\n")  # no job control: a program may have cost the shell its terminal
            machine.wait_for_end()


@boot_test(", ".join(TOGETHER) + ": the guest programs run to their ends", own_lines=True, rank=2 * DEFAULT_LIMIT)
def short_programs(report):
    with Machine("guest short") as machine:
        machine.wait_for_shell()
        for name in TOGETHER:
            machine.send(f"/test/{name}\n")
            count_guest_lines(report, machine, name, DEFAULT_LIMIT)
        machine.send("exec poweroff -f\n")
        machine.wait_for_end()


for program in programs():
    if program not in TOGETHER:
        runs_guest_program(program)
