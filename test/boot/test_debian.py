# SPDX-License-Identifier: BSD-2-Clause
"""A Debian 13 root on a disk: its first process, its shell, a tour of its commands, its orderly end.

LENTIL_TEST_DEBIAN=large adds the programs of the large set (compilers, git, Python, gdb...), which takes minutes."""
import os
import subprocess

import userland
from harness import LOGS, RELEASE, Failure, Machine, boot_test, check
from test_disk import fsck

# What is typed, and what comes back (without the ends of lines around it).
TOUR = [
    # who and where
    ("id", "uid=0(root) gid=0(root) groups=0(root)"),
    ("pwd; hostname; whoami", "/root\nlentil\nroot"),
    ("cat /etc/debian_version | cut -d. -f1", "13"),
    ("uname -o -m", "riscv64 GNU/Linux"),
    ("getent passwd daemon | cut -d: -f1,3", "daemon:1"),
    ("getent group tty", "tty:*:5:"),
    ("tty", "/dev/ttyS0"),
    ("cat /proc/1/comm; ps -o comm= -p 1", "init\ninit"),
    ("findmnt -n -o FSTYPE /; findmnt -n -o FSTYPE /dev/pts", "ext4\ndevpts"),
    ("mount | grep -c ^tmpfs", "3"),
    ("df / | tail -n 1 | cut -d' ' -f1", "/dev/vda"),
    # coreutils
    ("seq 1 100 | paste -sd+ | sed 's/^/echo $((/;s/$/))/' | sh", "5050"),
    ("printf '%s\\n' pear apple fig | sort | tr '\\n' ' '", "apple fig pear"),
    ("printf 'b 2\\na 1\\nc 3\\n' | sort -k2 -rn | head -n 1", "c 3"),
    ("seq 10 | shuf --random-source=/bin/bash | sort -n | md5sum | cut -c1-8", "3b0332e0"),
    ("printf abc | sha256sum | cut -c1-16", "ba7816bf8f01cfea"),
    ("printf hello | base64; printf aGVsbG8= | base64 -d", "aGVsbG8=\nhello"),
    ("date -u -d @86400 +%F", "1970-01-02"),
    ("expr 6 \\* 7; numfmt --to=iec 1048576", "42\n1.0M"),
    ("factor 1001", "1001: 7 11 13"),
    ("seq 5 | tac | tr '\\n' ','", "5,4,3,2,1,"),
    ("printf 'a,b,c\\n' | cut -d, -f2; basename /x/y.c .c; dirname /x/y.c", "b\ny\n/x"),
    ("seq 3 > /tmp/a; seq 2 4 > /tmp/b; comm -12 /tmp/a /tmp/b | tr '\\n' ' '; join /tmp/a /tmp/b | wc -l", "2 3 2"),
    ("seq 1000 | split -l 300 - /var/tmp/part; cat /var/tmp/part* | wc -l; ls /var/tmp/part* | wc -l; rm /var/tmp/part*", "1000\n4"),
    ("dd if=/dev/zero of=/var/tmp/z bs=1k count=300 status=none; stat -c '%s %F' /var/tmp/z", "307200 regular file"),
    ("truncate -s 10M /var/tmp/sparse; du --apparent-size -k /var/tmp/sparse | cut -f1; du -k /var/tmp/sparse | cut -f1; rm /var/tmp/*",
     "10240\n0"),
    ("touch -d '2001-02-03 04:05:06 UTC' /var/tmp/t; date -u -r /var/tmp/t +%FT%T", "2001-02-03T04:05:06"),
    ("install -m 751 /bin/true /var/tmp/true && /var/tmp/true && stat -c %a /var/tmp/true", "751"),
    ("mkfifo /tmp/f; (echo through > /tmp/f &) ; cat /tmp/f", "through"),
    ("ln -s t /var/tmp/s; ln /var/tmp/t /var/tmp/h; readlink /var/tmp/s; stat -c %h /var/tmp/t", "t\n2"),
    ("cp -a /etc /var/tmp/etc && diff -r --no-dereference /etc /var/tmp/etc && echo same", "same"),
    ("mv /var/tmp/etc /tmp/etc && test ! -e /var/tmp/etc && ls /tmp/etc/passwd", "/tmp/etc/passwd"),
    ("chown 1:5 /var/tmp/t; chmod u+s,g=r /var/tmp/t; stat -c '%U %G %A' /var/tmp/t", "daemon tty -rwSr--r--"),
    ("timeout 0.2 sleep 10; echo $?", "124"),
    ("nice -n 5 nice", "5"),
    ("env -i A=1 sh -c 'echo $A$HOME'", "1"),
    ("seq 20000 | wc -c; yes | head -n 1000 | uniq -c | tr -s ' '", "108894\n 1000 y"),
    ("echo text | tee /tmp/x /tmp/y | cat - /tmp/x | wc -l; cmp /tmp/x /tmp/y && echo same", "2\nsame"),
    ("test $(nproc) -ge 1 && echo enough", "enough"),
    # findutils, grep, sed, awk, diff
    ("find /etc -maxdepth 1 -name 'host*' | sort | xargs -n1 basename", "host.conf\nhostname\nhosts"),
    ("find /usr/bin -type f -size +100k -print0 | xargs -0 -n 50 ls -d | grep -c bash$", "1"),
    ("grep -c bash /etc/shells; grep -rl daemon /etc/passwd", "1\n/etc/passwd"),
    ("echo abc123 | grep -oE '[0-9]+'; echo aXbXc | sed 's/X/-/g'", "123\na-b-c"),
    ("seq 100 | awk '{s+=$1} END {print s, NR}'", "5050 100"),
    ("awk -F: '$3==0 {print $1}' /etc/passwd", "root"),
    ("diff /tmp/a /tmp/b | head -n 2", "1d0\n< 1"),
    # archives
    ("tar -czf /tmp/e.tgz -C / etc && tar -tzf /tmp/e.tgz | grep -c etc/passwd$", "1"),
    ("mkdir /tmp/o && tar -xf /tmp/e.tgz -C /tmp/o && diff -r --no-dereference /etc /tmp/o/etc && echo same", "same"),
    ("seq 50000 | xz -1 -T1 | xz -d | md5sum | cut -c1-8; seq 50000 | md5sum | cut -c1-8", None),
    ("seq 50000 | gzip | zcat | tail -n 1", "50000"),
    # shells
    ("bash -c 'a=(x y z); echo ${#a[@]} ${a[1]^^} $((2**10))'", "3 Y 1024"),
    ("bash -c 'diff <(seq 3) <(seq 3) && echo same'", "same"),
    ("bash -c 'set -o pipefail; false | true; echo $?; exec 3<>/tmp/q; echo hi >&3; cat /tmp/q'", "1\nhi"),
    ("bash -c 'trap \"echo caught\" USR1; kill -USR1 $$; sleep 0.1; wait'", "caught"),
    ("bash -c 'sleep 60 & kill %1; wait %1; echo $?'", "143"),
    ("bash -c 'coproc cat; echo to >&${COPROC[1]}; read -r x <&${COPROC[0]}; echo got $x'", "got to"),
    ("bash -c 'for i in {1..20}; do (exit $i) & done; wait; echo all'", "all"),
    ("bash -ic 'set -o history; echo x; history | wc -l' 2>/dev/null | head -n 1", "x"),
    ("su daemon -s /bin/sh -c 'id -un; cat /root/.bashrc 2>&1 | tail -c 18'", "daemon\nPermission denied"),
    # processes
    ("sleep 50 & ps -o comm= -p $!; kill $!; wait $! 2>/dev/null; echo $?", None),
    ("ps -e -o pid=,comm= | head -n 1 | tr -s ' '", " 1 init"),
    ("pgrep -c init; pgrep -x init", "1\n1"),
    ("free | awk '/Mem/ {print ($2 > 500000)}'; uptime | grep -c load", "1\n1"),
    ("setsid -w sh -c 'ps -o sid= -p $$ | tr -d \" \" | grep -qx $$ && echo own'", "own"),
    ("flock /tmp/lock -c 'flock -n /tmp/lock -c true || echo held'", "held"),
    ("(ulimit -n 20; ulimit -n); prlimit --pid $$ --nofile | tail -n 1 | awk '{print ($3>19)}'", "20\n1"),
    ("script -qec 'tty; stty size; test -t 0 && echo terminal' /dev/null | tr -d '\\r' | sed 's/[0-9][0-9]* [0-9][0-9]*/size/'",
     "/dev/pts/0\nsize\nterminal"),
    ("script -qec 'exit 7' /tmp/typescript; echo $?; grep -c 'Script done' /tmp/typescript", "7\n1"),
    ("logger -s -t me hello 2>&1 | tail -n 1 | sed 's/.*me/me/'", None),
    ("lsblk -n -o NAME 2>/dev/null | head -n 1; echo $?", None),
    ("echo abc | rev", "cba"),
    ("mcookie | wc -c", "33"),
    ("dmesg | head -n 1 | grep -c Lentil", "1"),
    ("fallocate -l 1M /var/tmp/fa && stat -c %s /var/tmp/fa; rm /var/tmp/fa", "1048576"),
    ("unshare true 2>/dev/null; getopt -o ab: -- -a -b x y", " -a -b 'x' -- 'y'"),
    # languages
    ("perl -e 'print join(\",\", map { $_*$_ } 1..5), \"\\n\"'", "1,4,9,16,25"),
    ("perl -e 'my $p = fork; if (!$p) { exit 3 } waitpid $p, 0; print $? >> 8, \"\\n\"'", "3"),
    ("perl -MSocket -e 'socketpair(A, B, AF_UNIX, SOCK_STREAM, 0); syswrite A, \"hi\\n\"; print scalar <B>'", "hi"),
    ("lua -e 'print(#string.rep(\"x\", 1000), 7 // 2)'", "1000\t3"),
    ("sqlite3 /var/tmp/db 'pragma journal_mode=wal; create table t(a); insert into t values(1),(2); select sum(a) from t;'", "wal\n3"),
    ("sqlite3 /var/tmp/db 'with recursive n(x) as (select 1 union all select x+1 from n where x<1000) insert into t select x from n; "
     "select count(*), sum(a) from t;'; rm /var/tmp/db*", "1002|500503"),
]

LARGE_TOUR = [
    ("python3 -c 'print(sum(range(101)))'", "5050"),
    ("python3 -c 'import ssl' 2>/dev/null; python3 -c 'import sqlite3, json, ctypes, multiprocessing; print(\"ok\")'", "ok"),
    ("python3 -c 'import subprocess as s; print(s.run([\"echo\", \"x\"], capture_output=True).stdout)'", "b'x\\n'"),
    ("python3 -c 'import multiprocessing as m; print(m.Pool(3).map(abs, [-1, -2]))'", "[1, 2]"),
    ("python3 -c 'import pty; pty.spawn([\"tty\"])'", "/dev/pts/0"),
    ("cd /var/tmp && rm -rf g && git init -q g && cd g && git config user.email a@b && git config user.name n && echo 1 > f && git add f "
     "&& git commit -qm one && git log --oneline | wc -l && git gc -q && git fsck 2>&1 | wc -l; cd", "1\n0"),
    ("printf '#include <stdio.h>\\nint main(void){puts(\"C\");}' > /var/tmp/c.c && gcc -O2 -o /var/tmp/c /var/tmp/c.c && /var/tmp/c", "C"),
    ("printf '#include <iostream>\\n#include <thread>\\nint main(){std::thread t([]{try{throw 5;}catch(int i){std::cout<<i<<\"\\\\n\";}});"
     "t.join();}' > /var/tmp/t.cpp && g++ -o /var/tmp/t++ /var/tmp/t.cpp && /var/tmp/t++", "5"),
    ("printf 'all: x y\\nx y:\\n\\t@sleep 0.1; echo $@ > $@\\n' > /var/tmp/Makefile; make -s -j2 -C /var/tmp && cat /var/tmp/x", "x"),
    ("strace -c true 2>&1 | grep -c execve", "1"),
    ("gdb -batch -ex 'break main' -ex run -ex 'info registers pc' /var/tmp/c 2>/dev/null | grep -c '^pc'", "1"),
    ("vim.tiny -es -c 'normal ihello' -c 'wq! /tmp/v' ; cat /tmp/v", "hello"),
    ("nano --version | head -n 1 | cut -d' ' -f3,4; htop --version", None),
    ("objdump -d /bin/true | grep -c ret", None),
]


def disk_of(name):
    """A copy of the image, for one test."""
    os.makedirs(LOGS, exist_ok=True)
    path = os.path.join(LOGS, name + ".img")
    subprocess.run(["cp", "--sparse=always", userland.make(name), path], check=True)
    return path


def enter(machine):
    machine.wait_for_shell()
    machine.send("PS1='len''til:dash# ' exec dash\n")
    machine.wait_for_shell()


def leave(machine):
    machine.send("poweroff\n")
    check(machine.wait_for_end() == 0, "QEMU's exit code")


def tour(report, machine, commands, timeout):
    for command, wanted in commands:
        sentence = f"Debian: {command.splitlines()[0]}"
        try:
            output, status = machine.run(command, timeout)
        except Failure as failure:
            report.not_ok(sentence, str(failure))
            raise
        output = output.strip("\n")
        if wanted is None:
            wanted = output if status == 0 else "status 0"
        if output.rstrip() == wanted.rstrip():
            report.ok(sentence)
        else:
            report.not_ok(sentence, f"{output[-200:]!r}, status {status}")


@boot_test("Debian on a disk", own_lines=True)
def debian(report):
    for name, commands, timeout in [("debian-small", TOUR, 60), ("debian", TOUR + LARGE_TOUR, 600)]:
        if name == "debian" and os.environ.get("LENTIL_TEST_DEBIAN") != "large":
            continue
        path = disk_of(name)
        with Machine(f"a Debian root {name}", kernel=RELEASE, initrd=None, append="root=/dev/vda", memory="1G", disk=path) as machine:
            enter(machine)
            report.ok(f"{name}: busybox's init starts a login shell on the console")
            tour(report, machine, commands, timeout)
            leave(machine)
            report.ok(f"{name}: poweroff ends everything and the machine")
        fsck(path, f"after {name}")
        report.ok(f"{name}: the disk is clean afterwards")
        os.remove(path)
