# SPDX-License-Identifier: BSD-2-Clause
"""Debian's strace and gdb, unmodified: they trace and debug programs that make processes, through a vfork too."""
import os

from harness import TOP, boot_test, check, check_equal
from packages import DebianMachine

PACKAGES = "dash strace gdb"
PROGRAM = "/test/debuggee"
ADDITIONS = [os.path.join(TOP, "build/user/test/debuggee") + "=" + PROGRAM]


def tracing_machine(name):
    return DebianMachine(name, PACKAGES, ADDITIONS)


def run_ok(machine, command, *words, status=0):
    """Runs it; its output must have each of the words, one behind the other."""
    output, got = machine.run(command + " 2>&1")
    check_equal(got, status, f"status of {command}")
    at = 0
    for word in words:
        found = output.find(word, at)
        check(found >= 0, f"{command} prints {output!r}, expected {word!r}{' later' if word in output else ''}")
        at = found + len(word)
    return output


@boot_test("LX-22 strace follows a shell's children, a vfork and its execs, counts calls, and lets go of who it attached to")
def strace():
    with tracing_machine("strace") as machine:
        run_ok(machine, "cd / && mkdir -p /tmp/d && touch /tmp/d/1 /tmp/d/2 /tmp/d/3")
        run_ok(machine, "strace -f -o /tmp/o sh -c 'ls /tmp/d | wc -l'", "3")
        run_ok(machine, "cat /tmp/o", "execve(\"/bin/sh\"", "pipe2([3, 4]", "exited with 0 +++")
        run_ok(machine, "grep -c 'execve(' /tmp/o; grep -c 'clone(' /tmp/o; grep -c 'exited with 0' /tmp/o", "3", "2", "3")

        run_ok(machine, f"strace -f -e trace=process {PROGRAM} vfork", "clone(", "CLONE_VM|CLONE_VFORK", "attached",
               "exit_group(3", "SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED", "counter 10", "exit_group(5", status=5)
        # This strace crashes when it counts riscv_hwprobe (258), which it does not know and Debian's libc calls; ours does not.
        run_ok(machine, f"strace -c {PROGRAM} fork", "counter 3", "% time", "calls", "execve", "total", status=5)

        run_ok(machine, "sh -c 'while :; do sleep 0.05; done' & echo $! >/tmp/pid; sleep 0.5")
        run_ok(machine, "strace -f -o /tmp/o -p $(cat /tmp/pid) & sleep 2; kill -INT $!; wait $!; kill -0 $(cat /tmp/pid)")
        run_ok(machine, "grep -c 'exited with 0' /tmp/o >/dev/null && grep TracerPid /proc/$(cat /tmp/pid)/status", "0")
        run_ok(machine, "kill -9 $(cat /tmp/pid)")


def gdb(*commands, program=PROGRAM, arguments=""):
    return "gdb -q -nx -batch " + " ".join(f"-ex '{c}'" for c in commands) + f" --args {program} {arguments}"


@boot_test("gdb sets breakpoints, steps, calls functions, and follows parent or child of a fork and of a vfork")
def debugger():
    with tracing_machine("gdb") as machine:
        run_ok(machine, gdb("break debug_parent", "run", "bt", "print counter", "next", "next", "print counter", "p (int)getpid() > 1",
                            "continue", arguments="fork"),
               "Breakpoint 1, debug_parent (n=3)", "#1 ", "in debug (", "$1 = 0", "$2 = 3", "$3 = 1", "counter 3",
               "exited with code 05")
        breaks = ("break debug_child", "break debug_parent")
        for how, counted in (("fork", 3), ("vfork", 10)):
            run_ok(machine, gdb("set follow-fork-mode child", *breaks, "run", "print counter", "continue",
                                arguments=how),
                   "[Attaching after", f" {how} to child process", "Breakpoint 1, debug_child (n=7)", "$1 = 0",
                   "exited with code 03")
            run_ok(machine, gdb("set follow-fork-mode parent", *breaks, "run", "print counter", "continue",
                                arguments=how),
                   f"[Detaching after {how} from child", "Breakpoint 2, debug_parent (n=3)", f"$1 = {counted - 3}",
                   f"counter {counted}", "exited with code 05")
        both = run_ok(machine, gdb("set detach-on-fork off", *breaks, "break debug_wait", "run", "info inferiors", "inferior 2",
                                   "continue", "continue", "inferior 1", "continue", "continue", arguments="fork"),
                      "[New inferior 2", "debug_wait", "* 1", "  2", "debug_child (n=7)", "exited with code 03",
                      "debug_parent (n=3)", "counter 3", "exited with code 05")
        check_equal(both.count("New inferior"), 1, "inferiors that gdb met")
        # Both sides run at once. A breakpoint in the child would have gdb wait for the lender to stop, on Linux too.
        for how, counted in (("fork", 0), ("vfork", 7)):
            run_ok(machine, gdb("set detach-on-fork off", "set schedule-multiple on", "break debug_parent", "run", "inferior 1",
                                "continue", "print counter", "continue", arguments=how),
                   "[New inferior 2", "[Inferior 2", "exited with code 03", "hit Breakpoint 1", f"$1 = {counted}",
                   f"counter {counted + 3}", "exited with code 05")
        # A program with libraries, without a symbol of its own, found where it was loaded.
        run_ok(machine, gdb("set breakpoint pending on", "break getppid", "run", "continue", program="dash", arguments="-c :"),
               "getppid () from /lib/riscv64-linux-gnu/libc.so.6", "exited normally")
