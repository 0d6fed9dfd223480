# SPDX-License-Identifier: BSD-2-Clause
"""Real programs, as Debian ships them for riscv64: they make processes each in its own way and read /proc."""
import os
import re

from harness import TOP, boot_test, check, check_equal, count_guest_lines
from packages import DebianMachine

PACKAGES = "dash make python3-minimal procps psmisc lsof ncurses-base"


def machine_with_programs(name):
    return DebianMachine(name, PACKAGES, [os.path.join(TOP, "test/programs") + "=/test/programs"])


def counters(machine):
    text, _ = machine.run("cat /proc/lentil/counters")
    return {name: int(value) for name, value in re.findall(r"^(\w+) (\d+)$", text, re.MULTILINE)}


@boot_test("GNU make -j8 builds 70 targets on lent threads, with a make below it, and stops for a job that fails")
def make_jobs():
    with machine_with_programs("make") as machine:
        machine.run("cp /test/programs/Make* /tmp; cd /tmp")
        before = counters(machine)
        check_equal(machine.run("make -j8"), ("8 parts\nbuilt 48 leaves\n", 0), "make -j8")
        after = counters(machine)
        check(after["loans"] - before["loans"] >= 70, f"{after['loans'] - before['loans']} loans for 70 targets")
        check_equal(after["loans_open"], 0, "open loans after it")
        check_equal(after["procs"], before["procs"], "processes after it")
        check_equal(machine.run("make -s -j8 -B --output-sync"), ("8 parts\nbuilt 48 leaves\n", 0), "make -j8 --output-sync")
        check_equal(machine.run("make fail 2>&1"), ("make: *** [Makefile:22: fail] Error 7\n", 2), "a target that fails")
        output, status = machine.run("rm root; make -k -j8 fail root 2>&1; cmp root root && wc -l <root")
        check_equal((output.split("\n")[-2], status), ("48", 0), "the rest is built with -k")


@boot_test("Python's subprocess, posix_spawn, fork and threads", own_lines=True)
def python(report):
    with machine_with_programs("python") as machine:
        machine.send("python3 /test/programs/subprocesses.py\n")
        count_guest_lines(report, machine, "python", 300)


@boot_test("ps, top, vmstat and pmap of procps read /proc")
def procps():
    with machine_with_programs("procps") as machine:
        def matches(command, pattern):
            output, status = machine.run(command + " 2>&1")
            check(status == 0 and re.search(pattern, output, re.MULTILINE), f"{command} prints {output!r}, status {status}")

        matches("ps -eo pid,tty,stat,comm", r"^ +\d+ console +R\+ +ps$")
        matches("top -b -n 1", r"^Tasks: +\d+ total")
        matches("vmstat", r"^ *\d+ +0 +0 +\d+ +0 +\d+")
        matches("pmap -x $$", r"^[0-9a-f]{16} +(\d+) +\d+ +\d+ r-x-- dash$")
        matches("pmap -X $$", r"^ *[0-9a-f]+ r-xp +0+ .* libc\.so\.6$")
        matches("cat /proc/$$/smaps_rollup", r"^Pss: +\d+ kB$")
