# SPDX-License-Identifier: BSD-2-Clause
"""Real programs, as Debian ships them for riscv64: they make processes each in its own way and read /proc."""
import os
import re

from harness import TOP, Failure, boot_test, check, check_equal, count_guest_lines
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


def procps(matches):
    matches("ps -eo pid,tty,stat,comm", r"^ +\d+ console +R\+ +ps$")
    matches("ps -ef", r"^root +\d+ +1 +\d+ \d\d:\d\d console +\d\d:\d\d:\d\d /bin/dash$")
    matches("ps -o pid,ppid,wchan,nlwp,comm -p $(cat /tmp/holder)", r"^ +\d+ +\d+ nanosl +1 sleep$")
    matches("top -b -n 1", r"^Tasks: +\d+ total", r"^ +\d+ root +20 +0 +\d+ +\d+ +\d+ S +\d+\.\d .* sleep$")
    matches("vmstat", r"^ *\d+ +0 +0 +\d+ +0 +\d+")
    matches("free -m", r"^Mem: +\d{3,} +\d+ +\d+")
    matches("w", r" up +\d.* 0 users, +load average: \d+\.\d\d, ", r"^USER +TTY +FROM ")
    matches("uptime", r" up +\d.* load average: \d+\.\d\d, ")
    matches("pgrep -a -x dash", r"^\d+ /bin/dash$")
    matches("pgrep -P $$ -d , sleep", r"^\d+$")
    matches("pkill -0 -x sleep; echo $?", r"^0$")
    matches("pwdx $$", r"^\d+: /root$")
    matches("sysctl kernel.ostype", r"^kernel\.ostype = Linux$")
    matches("pmap $$", r"^[0-9a-f]{16} +\d+K r-x-- libc\.so\.6$", r"^ total +\d+K$")
    matches("pmap -x $$", r"^[0-9a-f]{16} +(\d+) +\d+ +\d+ r-x-- dash$")
    matches("pmap -X $$", r"^ *[0-9a-f]+ r-xp +0+ .* libc\.so\.6$")
    matches("cat /proc/$$/smaps_rollup", r"^Pss: +\d+ kB$")


def lsof(matches):
    matches("lsof /tmp/held", r"^sleep +\d+ root +9u +REG +0,\d+ +11 +\d+ /tmp/held$")
    matches("lsof -o -a -d 9 -p $(cat /tmp/holder)", r"^sleep +\d+ root +9u +REG +0,\d+ +0t4 +\d+ /tmp/held$")
    matches("lsof +fg -a -d 9 -p $(cat /tmp/holder)", r"^sleep +\d+ root +9u +REG +RW,LG +0,\d+ +11 +\d+ /tmp/held$")
    matches("test $(lsof -t /tmp/held) = $(cat /tmp/holder) && echo same", r"^same$")
    output = matches("lsof -p $$", r"^dash +\d+ root +cwd +DIR .* /root$", r"^dash +\d+ root +txt +REG .* /bin/dash$",
                     r"^dash +\d+ root +mem +REG +0,\d+ +\d{6,} +\d+ /usr/lib/riscv64-linux-gnu/libc\.so\.6$",
                     r"^dash +\d+ root +0u +CHR +5,\d+ ")
    check("stat:" not in output and "unknown" not in output, f"lsof complains: {output!r}")
    matches("sleep 9 | lsof -c sleep -a -d 1", r"^sleep +\d+ root +1w +FIFO .* pipe$")


def psmisc(matches):
    matches("fuser -v /tmp/held", r"^/tmp/held: +root +\d+ F\.\.\.\. sleep$")
    matches("pstree -p $$", r"^dash\(\d+\)-\+-pstree\(\d+\)$", r"^ +`-sleep\(\d+\)$")
    matches("pstree -a 1", r"^init /init$", r"^ +`-dash$", r"^ +`-sleep 1000$")
    matches("prtstat $$", r"^Process: dash\s+State: S \(sleeping\)$", r"TTY: 5:1\s+Threads: 1$")
    matches("mkdir -p /var/log; sleep 1000 >>/var/log/own.log & pslog $!", r"^Log path: /var/log/own\.log$")
    matches("fuser -k -TERM /tmp/held; fuser /tmp/held; echo $?", r"^1$")
    matches("killall -v sleep", r"^Killed sleep\(\d+\) with signal 15$")
    matches("killall nosuch; echo $?", r"^nosuch: no process found$", r"^1$")


@boot_test("programs that read /proc", own_lines=True)
def readers_of_proc(report):
    with machine_with_programs("procps") as machine:
        def matches(command, *patterns):
            output, status = machine.run(command + " 2>&1")
            check(status == 0 and all(re.search(p, output, re.MULTILINE) for p in patterns),
                  f"{command} prints {output!r}, status {status}")
            return output

        # A process that read 4 bytes of the 11 in a file, and holds it.
        machine.run(r"printf '012\n456789\n' >/tmp/held; dash -c 'read x <&9; exec sleep 1000' 9<>/tmp/held & "
                    "echo $! >/tmp/holder; sleep 1")
        for sentence, look in (("ps, top, w, pgrep, vmstat, free, pmap and their family of procps read /proc", procps),
                               ("lsof shows who has which file open how, and where in it, and what is mapped", lsof),
                               ("fuser, killall, pstree, prtstat and pslog of psmisc find processes and their files", psmisc)):
            try:
                look(matches)
                report.ok(sentence)
            except Failure as failure:
                report.not_ok(sentence, str(failure))
