# SPDX-License-Identifier: BSD-2-Clause
"""The large Debian root, on request (LENTIL_TEST_DEBIAN=large): the tours, what its compilers make, a database that is killed and
cut off, interactive programs whose screens are looked at. Takes a quarter of an hour."""
import os
import random
import re
import time

import qemu
from harness import PROMPT, boot_test, check, check_equal
from screen import Screen
from test_debian import ASKED_FOR, debian_machine, disk_of, enter, leave, take_tours
from test_disk import fsck, ok

CTRL_A, CTRL_B, CTRL_C, CTRL_R, CTRL_X, CTRL_Z, ESCAPE, UP = "\x01", "\x02", "\x03", "\x12", "\x18", "\x1a", "\x1b", "\x1b[A"


def large_test(sentence):
    """A test that gets a machine with the large root at dash's prompt. The disk is checked afterwards."""
    def wrap(function):
        if "large" not in ASKED_FOR:
            return

        @boot_test(f"large Debian root: {sentence}")
        def test():
            path = disk_of("debian", re.sub(r"\W+", "-", sentence)[:60])
            with debian_machine(f"large Debian root {sentence}", path) as machine:
                enter(machine)
                function(machine)
                leave(machine)
            fsck(path, sentence)
            os.remove(path)
    return wrap


def type_file(machine, path, text):
    machine.run("PS2=")
    machine.send(f"cat > {path} <<'END'\n{text.strip()}\nEND\n")
    machine.expect(PROMPT)


if "large" in ASKED_FOR:
    for count in (4, 1):
        def tours(report, harts=count):
            take_tours(report, "debian", ["debian-small", "debian-large"], harts, 600)
        boot_test(f"large Debian root: the tours, {count} harts", own_lines=True, rank=4)(tours)


C_PROGRAM = r"""
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_in = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static _Thread_local int mine;
static long sum;
static int inside;
static sem_t tokens;
static void* work(void* number) {
    mine = (int)(long)number;
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&lock);
        sum += mine;
        pthread_mutex_unlock(&lock);
    }
    sem_post(&tokens);
    pthread_mutex_lock(&lock);
    if (++inside == 8)
        pthread_cond_broadcast(&all_in);
    while (inside < 8)
        pthread_cond_wait(&all_in, &lock);
    pthread_mutex_unlock(&lock);
    return (void*)(long)(mine * 2);
}
static void* endless(void* unused) {
    for (;;)
        pause();
    return unused;
}
int main(void) {
    pthread_t threads[8], cancelled;
    long doubled = 0;
    void* result;
    pthread_barrier_init(&barrier, NULL, 8);
    sem_init(&tokens, 0, 0);
    for (long i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, work, (void*)(i + 1));
    for (int i = 0; i < 8; i++) {
        sem_wait(&tokens);
        pthread_join(threads[i], &result);
        doubled += (long)result;
    }
    pthread_create(&cancelled, NULL, endless, NULL);
    pthread_cancel(cancelled);
    pthread_join(cancelled, &result);
    pid_t child = fork();
    if (child == 0)
        _exit(mine == 0 ? 5 : 6);
    int status;
    waitpid(child, &status, 0);
    printf("%ld %ld %d %d\n", sum, doubled, result == PTHREAD_CANCELED, WEXITSTATUS(status));
}
"""
CXX_PROGRAM = r"""
#include <algorithm>
#include <condition_variable>
#include <exception>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
struct Guard {
    int& count;
    ~Guard() { count++; }
};
static int depth(int n, int& count) {
    Guard guard{count};
    if (n == 0)
        throw std::out_of_range("bottom");
    return depth(n - 1, count) + 1;
}
int main() {
    std::vector<std::future<std::string>> answers;
    for (int i = 0; i < 8; i++)
        answers.push_back(std::async(std::launch::async, [i]() -> std::string {
            int unwound = 0;
            try {
                depth(i * 10, unwound);
            } catch (const std::logic_error& e) {
                return std::string(e.what()) + std::to_string(unwound);
            }
            return "none";
        }));
    std::map<std::string, int> seen;
    for (auto& a : answers)
        seen[a.get()]++;
    std::cout << seen.size() << ' ' << seen.begin()->first << ' ' << seen.rbegin()->first << '\n';
    std::promise<int> promise;
    std::thread([&] { promise.set_exception(std::make_exception_ptr(std::runtime_error("across"))); }).join();
    try {
        promise.get_future().get();
    } catch (const std::exception& e) {
        std::cout << e.what() << '\n';
    }
    std::vector<long> v(100000);
    std::iota(v.begin(), v.end(), 1);
    std::vector<std::jthread> threads;
    std::mutex lock;
    long sum = 0;
    for (int t = 0; t < 4; t++)
        threads.emplace_back([&, t] {
            long part = std::accumulate(v.begin() + t * 25000, v.begin() + (t + 1) * 25000, 0L);
            std::lock_guard guard(lock);
            sum += part;
        });
    threads.clear();
    std::cout << sum << '\n';
    std::set_terminate([] { std::cout << "terminate\n" << std::flush; std::_Exit(9); });
    std::thread([] { throw 1; }).join();
}
"""


@large_test("gcc and g++ make programs with threads, cancellation, exceptions across threads and uncaught ones")
def compilers(machine):
    type_file(machine, "/var/tmp/p.c", C_PROGRAM)
    type_file(machine, "/var/tmp/p.cpp", CXX_PROGRAM)
    for options in ("-O0 -g", "-O2", "-O2 -static"):
        ok(machine, f"gcc -std=gnu17 -Wall {options} -o /var/tmp/pc /var/tmp/p.c", 600)
        check_equal(machine.run("for i in $(seq 5); do /var/tmp/pc; done | sort -u"), ("36000 72 1 5\n", 0), f"C {options}")
        ok(machine, f"g++ -std=c++20 {options} -o /var/tmp/pp /var/tmp/p.cpp", 900)
        check_equal(machine.run("/var/tmp/pp"), ("8 bottom1 bottom71\nacross\n5000050000\nterminate\n", 9), f"C++ {options}")
    ok(machine, "rm /var/tmp/p*")


# ---- a database --------------------------------------------------------------------------------------------------------

# Prints a number once it is promised.
WRITER = r"""
import sqlite3, sys
db = sqlite3.connect("/var/tmp/db", isolation_level=None)
db.execute("pragma journal_mode=wal")
db.execute("pragma synchronous=full")
db.execute("pragma wal_autocheckpoint=20")
db.execute("create table if not exists t(n integer primary key, filler blob)")
n = db.execute("select coalesce(max(n), 0) from t").fetchone()[0]
while True:
    n += 1
    db.execute("begin")
    db.execute("insert into t values(?, randomblob(3000))", (n,))
    if n % 7 == 0:
        db.execute("update t set filler = randomblob(2000) where n % 5 = 0 and n > ?", (n - 50,))
    db.execute("commit")
    print("promised", n, flush=True)
"""


def last_promised(text):
    found = re.findall(r"^promised (\d+)\r?\n", text, re.MULTILINE)
    check(found, "nothing was written")
    return int(found[-1])


def examine(machine, least):
    check_equal(ok(machine, "sqlite3 /var/tmp/db 'pragma integrity_check'", 300), "ok\n", "integrity_check")
    rows = int(ok(machine, "sqlite3 /var/tmp/db 'select count(*) from t where n <= %d'" % least))
    check_equal(rows, least, "rows that were promised")


@large_test("sqlite with a write-ahead log loses nothing when its writer is killed, three times")
def sqlite_killed(machine):
    type_file(machine, "/var/tmp/w.py", WRITER)
    for lines in (20, 31, 42):
        output, _ = machine.run(f"python3 /var/tmp/w.py > /tmp/out & while [ $(wc -l < /tmp/out) -lt {lines} ]; do sleep 0.01; done; "
                                "kill -9 $!; wait; cat /tmp/out", 300)
        examine(machine, last_promised(output))
    ok(machine, "rm /var/tmp/db*")


if "large" in ASKED_FOR:
    @boot_test("large Debian root: sqlite keeps what it promised when the power is cut, three times", rank=2)
    def sqlite_cut():
        rng = random.Random(6)
        path = disk_of("debian", "sqlite-cut")
        least = 0
        for cut in range(4):
            with debian_machine(f"sqlite cut {cut}", path) as machine:
                enter(machine)
                if cut > 0:
                    examine(machine, least)
                if cut == 3:
                    leave(machine)
                    continue
                type_file(machine, "/var/tmp/w.py", WRITER)
                ok(machine, "sync")
                machine.send("python3 /var/tmp/w.py\n")
                machine.expect(r"promised \d+\r*\n")
                time.sleep(rng.uniform(1, 6))
                qemu.stop(machine.process)
                machine.reader.join(10)
                least = last_promised(machine.output.decode(errors="replace"))
            fsck(path, f"after cut {cut}")
        os.remove(path)


# ---- a person at the keyboard ------------------------------------------------------------------------------------------


def bash(machine, term="linux"):
    """An interactive bash with line editing on the serial line; returns its screen."""
    machine.run(f"stty rows 24 cols 80; export TERM={term}")
    screen = Screen(machine)
    machine.send("clear; PS1='bash: ' HISTFILE=/tmp/history exec bash --norc -i\n")
    screen.wait_for(lambda text: text.strip().endswith("bash:"), "bash's prompt")
    return screen


def prompt_after(screen, words):
    """Until the words stand on a line of their own, with the prompt at the end; returns the screen."""
    return screen.wait_for(lambda text: f"\n{words}\n" in "\n" + text and text.rstrip().endswith("bash:"), words)


def back_to_dash(machine):
    machine.send("PS1='len''til:dash# ' exec dash\n")
    machine.wait_for_shell()


@large_test("bash: editing, history, searching it, completion, job control and interrupts over the serial line")
def interactive_bash(machine):
    screen = bash(machine)
    machine.send("echo onne\x1b[D\x1b[D\x7fX two" + CTRL_A + "\x1b[C" * 5 + "-\n")
    prompt_after(screen, "-oX twone")
    machine.send("echo first\n")
    prompt_after(screen, "first")
    machine.send("echo second; clear\n")
    screen.wait_for(lambda text: text.strip() == "bash:", "a cleared screen")
    machine.send(UP + UP + "\n")
    prompt_after(screen, "first")
    machine.send(CTRL_R + "secon")
    screen.wait_for("(reverse-i-search)`secon': echo second; clear", "the search")
    machine.send("\x07")  # leave the search
    machine.send("\x15ec\tcompleted $((20 + 3))\n")
    screen.wait_for(lambda text: text.rstrip().endswith("bash:") and "completed" in text, "a command")
    machine.send("clear; cat /etc/debian_v\t\n")
    screen.wait_for(lambda text: "\n13." in "\n" + text, "a completed name of a file")
    machine.send("clear; ls /etc/pas\t")
    screen.wait_for("ls /etc/passwd", "the completed name")
    machine.send("\x15/usr/bin/x\t\t")
    screen.wait_for(lambda text: "xargs" in text and "xz" in text, "what may stand there")
    machine.send("\x15clear; sleep 100\n")
    time.sleep(2)
    machine.send(CTRL_Z)
    screen.wait_for("[1]+  Stopped", "a stopped job")
    machine.send("bg; jobs\n")
    screen.wait_for("Running", "a job that goes on")
    machine.send("fg\n")
    time.sleep(2)
    machine.send(CTRL_C)
    machine.send("clear; jobs; echo status $?\n")
    prompt_after(screen, "status 0")
    machine.send("sleep 50 | cat & sleep 1; kill %1; wait; echo over\n")
    prompt_after(screen, "over")
    machine.send("!ech\n")
    prompt_after(screen, "completed 23")
    machine.send("set -o vi\necho abc\x1b0wx$a done\n")
    prompt_after(screen, "bc done")
    machine.send("stty rows 24 cols 70; stty size\n")
    prompt_after(screen, "24 70")
    back_to_dash(machine)


@large_test("htop draws its meters and its list, sorts, searches, kills, and leaves the screen as it was")
def htop(machine):
    machine.run("sleep 1234 & sleep 4321 & :")
    screen = bash(machine)
    machine.send("htop -d 5\n")
    text = screen.wait_for(lambda t: "Tasks:" in t and "PID" in t and "F10Quit" in t, "htop", 120)
    lines = text.split("\n")
    check(re.search(r"\b(CPU|0)\[.*%\]", "\n".join(lines[:4])), f"no meter of processors: {text!r}")
    check(re.search(r"Mem\[.*\d+(\.\d+)?[MG]/\d+M\]", text) or re.search(r"Mem\[.*/\d+(\.\d+)?[MG]\]", text), f"the meter of memory: {text!r}")
    check(re.search(r"Tasks: \d+, \d+ thr", text) and "Load average: " in text and "Uptime: 00:" in text, f"the head: {text!r}")
    header = next(i for i, line in enumerate(lines) if "PID" in line and "Command" in line)
    check(re.match(r" *PID +USER +PRI +NI +VIRT +RES +SHR +S +CPU% +MEM% +TIME\+ +Command", lines[header].strip("│ ").replace("▽", " ").replace("△", " ")),
          f"the head of the list: {lines[header]!r}")
    row = next((line for line in lines[header + 1:] if "sleep 1234" in line), "")
    check(re.match(r" *\d+ +root +20 +0 +\d+ +\d+ +\d+ S +(N/A|\d+\.\d) +\d+\.\d +0:0\d\.\d\d (.*)sleep 1234", row), f"the row of sleep: {row!r}")
    machine.send("/4321\r")
    screen.wait_for(lambda t: any("sleep 4321" in row and screen.attributes(i, 10).bg != "default" for i, row in enumerate(t.split("\n"))),
                    "the row that was searched for, lit up")
    machine.send("k")
    screen.wait_for("SIGTERM", "the list of signals")
    machine.send("\r")
    screen.wait_for(lambda t: "sleep 4321" not in t and "sleep 1234" in t, "that it is gone", 60)
    machine.send("q")
    screen.wait_for(lambda t: t.rstrip().endswith("bash:"), "the shell again")
    back_to_dash(machine)
    check_equal(machine.run("pgrep -f 'sleep [14]'  | wc -l; pkill sleep")[0], "1\n", "what is left")


@large_test("vim, nano and less: files are edited and paged over the serial line")
def editors(machine):
    screen = bash(machine)
    machine.send("clear; vi /tmp/poem\n")
    screen.wait_for('"/tmp/poem" [New', "vim", 120)
    machine.send("iRoses are red" + ESCAPE + "oViolets are bleu" + ESCAPE)
    screen.wait_for(lambda t: t.startswith("Roses are red\nViolets are bleu\n~"), "what was typed")
    machine.send("bcwblue" + ESCAPE + "yyp:s/Violets/Skies/\r")
    screen.wait_for(lambda t: t.startswith("Roses are red\nViolets are blue\nSkies are blue\n~"), "what was changed")
    machine.send("u:1,$s/are/were/g\r:$r !echo from a shell\r")
    screen.wait_for(lambda t: "\nfrom a shell" in t or "Press ENTER" in t, "a command's output")
    machine.send("\r/blue\r:wq\r")
    screen.wait_for(lambda t: t.rstrip().endswith("bash:"), "the shell")
    machine.send("clear; cat /tmp/poem\n")
    screen.wait_for("Roses were red\nViolets were blue\nViolets were blue\nfrom a shell\nbash:", "the file")
    machine.send("clear; nano /tmp/poem\n")
    screen.wait_for(lambda t: "GNU nano" in t and "[ Read 4 lines ]" in t and "^X Exit" in t, "nano", 120)
    machine.send("A title\r" + "\x0b" + CTRL_X)  # a line in front, the next one cut
    screen.wait_for("Save modified buffer?", "the question")
    machine.send("y\r")
    screen.wait_for(lambda t: t.rstrip().endswith("bash:"), "the shell")
    machine.send("clear; cat /tmp/poem\n")
    screen.wait_for("A title\nViolets were blue\nViolets were blue\nfrom a shell\nbash:", "the file")
    machine.send("clear; seq 1000 > /tmp/n; less /tmp/n\n")
    screen.wait_for(lambda t: t.startswith("1\n2\n") and "\n23\n" in t and "/tmp/n" in t, "the first page")
    machine.send(" ")
    screen.wait_for(lambda t: t.startswith("24\n25\n"), "the second page")
    machine.send("G")
    screen.wait_for(lambda t: t.startswith("978\n") and "(END)" in t, "the last page")
    machine.send("g/5.5$\r")
    screen.wait_for(lambda t: t.startswith("505\n"), "what was searched for")
    machine.send("n")
    screen.wait_for(lambda t: t.startswith("515\n"), "the next")
    machine.send("q")
    screen.wait_for(lambda t: t.rstrip().endswith("bash:"), "the shell")
    back_to_dash(machine)


@large_test("tmux divides the screen, is left and met again; script records a session; both through ptys")
def ptys(machine):
    screen = bash(machine)
    machine.send("clear; tmux -f /dev/null new-session -s work 'PS1=one: bash --norc'\n")
    screen.wait_for(lambda t: t.startswith("one:") and "[work] 0:" in t, "tmux", 120)
    machine.send("tty\n")
    screen.wait_for("/dev/pts/0\n", "the first pane's terminal")
    machine.send(CTRL_B + '"')
    screen.wait_for(lambda t: "───" in t, "two panes")
    machine.send("tty; stty size; clear; echo below\n")
    screen.wait_for(lambda t: "below" in "\n".join(t.split("\n")[12:]), "the second pane")
    machine.send(CTRL_B + "d")
    screen.wait_for("[detached (from session work)]", "that it was left")
    machine.send("tmux list-panes -t work | wc -l; who | wc -l\n")
    screen.wait_for("\n2\n", "two panes")
    machine.send("clear; tmux attach -t work\n")
    screen.wait_for(lambda t: "below" in t and "───" in t and t.startswith("one:"), "both panes again")
    machine.send("exit\n")
    screen.wait_for(lambda t: "───" not in t and t.startswith("one:"), "one pane")
    machine.send("exit\n")
    screen.wait_for("[exited]", "the end")
    machine.send("clear; script -q /tmp/record\n")
    time.sleep(3)
    machine.send("tty; stty size; exit\n")
    screen.wait_for(lambda t: "/dev/pts/0\n24 80" in t and t.rstrip().endswith("bash:"), "the recorded shell")
    machine.send("clear; grep -c pts/0 /tmp/record\n")
    prompt_after(screen, "1")
    back_to_dash(machine)
