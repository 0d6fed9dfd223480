# SPDX-License-Identifier: BSD-2-Clause
"""What Python's subprocess, os and threading do with processes; runs in the guest, prints `ok SENTENCE` or `not ok SENTENCE: why`
for each case and last `1..N`."""
import os
import signal
import subprocess
import sys
import threading

SH = "/bin/dash"
CASES = []


def case(sentence):
    def register(function):
        CASES.append((sentence, function))
        return function

    return register


def equal(actual, expected):
    if actual != expected:
        raise AssertionError(f"{actual!r}, expected {expected!r}")


def counters():
    with open("/proc/lentil/counters", encoding="ascii") as file:
        return {words[0]: int(words[1]) for words in map(str.split, file) if len(words) == 2}


def loans_of(action):
    before = counters()["loans"]
    action()
    return counters()["loans"] - before


def open_files(pid="self"):
    return sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))


@case("an exit status and a signal come back as they are")
def statuses():
    equal(subprocess.call([SH, "-c", "exit 5"]), 5)
    equal(subprocess.run("exit 255", shell=True, check=False).returncode, 255)
    equal(subprocess.call([SH, "-c", "kill -KILL $$"]), -signal.SIGKILL)
    equal(subprocess.call([SH, "-c", "kill -ABRT $$"]), -signal.SIGABRT)
    equal(os.system("exit 4"), 4 << 8)


@case("a child is made on a lent thread, unless Python code is to run in it")
def loans():
    equal(loans_of(lambda: subprocess.call([SH, "-c", "exit 0"])), 1)
    equal(loans_of(lambda: subprocess.call(["true"], preexec_fn=lambda: None)), 0)


@case("a program that is missing or may not be run is an exception with its errno and name, and leaves no child")
def missing():
    for path, kind in (("/nonexistent", FileNotFoundError), ("/etc/passwd", PermissionError), ("/etc", PermissionError)):
        try:
            subprocess.Popen([path])
            raise AssertionError(f"{path} ran")
        except kind as error:
            equal(error.filename, path)
    try:
        subprocess.Popen(["true"], cwd="/nonexistent")
        raise AssertionError("ran in a folder that is missing")
    except FileNotFoundError as error:
        equal(error.filename, "/nonexistent")
    try:
        os.waitpid(-1, os.WNOHANG)
        raise AssertionError("a child is left")
    except ChildProcessError:
        pass


@case("a program is looked for along PATH, past folders that do not have it")
def path_search():
    equal(subprocess.check_output(["echo", "found"], env={"PATH": "/nonexistent:/etc:/bin"}), b"found\n")


@case("a megabyte goes through a child and back")
def communicate():
    data = os.urandom(1 << 20)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        equal(child.communicate(data)[0] == data, True)


@case("three children in a pipeline end when their readers do")
def pipeline():
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as one, \
            subprocess.Popen(["cat"], stdin=one.stdout, stdout=subprocess.PIPE) as two, \
            subprocess.Popen(["head", "-n", "3"], stdin=two.stdout, stdout=subprocess.PIPE) as three:
        one.stdout.close()
        two.stdout.close()
        equal(three.communicate()[0], b"y\ny\ny\n")
        equal((one.wait(), two.wait()), (-signal.SIGPIPE, -signal.SIGPIPE))


@case("standard error joins standard output, and both can be thrown away")
def streams():
    equal(subprocess.check_output([SH, "-c", "echo x; echo y >&2"], stderr=subprocess.STDOUT), b"x\ny\n")
    equal(subprocess.run([SH, "-c", "echo x; echo y >&2"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True).stderr, b"y\n")


@case("folder, environment, umask and session are the child's own")
def attributes():
    before = (os.getcwd(), os.umask(0o22), os.getsid(0), os.getpgid(0))
    script = "pwd; echo $A; umask; read pid comm state ppid pgrp session rest </proc/self/stat; [ $session = $$ ] && echo leader"
    equal(subprocess.check_output([SH, "-c", script], cwd="/tmp", env={"A": "b"}, umask=0o27, start_new_session=True),
          b"/tmp\nb\n0027\nleader\n")
    equal(subprocess.check_output([SH, "-c", "read pid comm state ppid pgrp rest </proc/self/stat; [ $pgrp = $$ ] && echo leader"],
                                  process_group=0), b"leader\n")
    equal((os.getcwd(), os.umask(0o22), os.getsid(0), os.getpgid(0)), before)


@case("user, group and extra groups change in the child alone")
def credentials():
    equal(subprocess.check_output([SH, "-c", "id -u; id -g; id -G"], user=1234, group=55, extra_groups=[55, 77]), b"1234\n55\n55 77\n")
    equal((os.getresuid(), os.getresgid()), ((0, 0, 0), (0, 0, 0)))


@case("signals that Python ignores are back at their defaults in the child")
def restored_signals():
    equal(signal.getsignal(signal.SIGPIPE), signal.SIG_IGN)
    ignored = r"import re; print(int(re.search(r'SigIgn:\s*(\w+)', open('/proc/self/status').read())[1], 16) >> 12 & 1)"
    shell = [SH, "-c", "while read name mask; do case $name in SigIgn:) echo $mask; esac; done </proc/self/status"]
    equal(int(subprocess.check_output(shell), 16) >> (signal.SIGPIPE - 1) & 1, 0)
    equal(int(subprocess.check_output(shell, restore_signals=False), 16) >> (signal.SIGPIPE - 1) & 1, 1)
    equal(subprocess.check_output([sys.executable, "-S", "-c", ignored]), b"1\n")  # a Python of its own ignores it again


@case("a child that takes too long is waited for, ended and reaped")
def timeout():
    with subprocess.Popen(["sleep", "1000"]) as child:
        try:
            child.wait(timeout=0.1)
            raise AssertionError("it ended")
        except subprocess.TimeoutExpired:
            pass
        equal(child.poll(), None)
        child.terminate()
        equal(child.wait(), -signal.SIGTERM)


@case("six threads start sixty children at once, and each gets its own status")
def threads():
    wrong = []

    def starter(number):
        for turn in range(10):
            status = subprocess.call([SH, "-c", f"exit {number * 10 + turn}"])
            if status != number * 10 + turn:
                wrong.append((number, turn, status))

    starters = [threading.Thread(target=starter, args=(number,)) for number in range(6)]
    for thread in starters:
        thread.start()
    for thread in starters:
        thread.join()
    equal(wrong, [])


@case("no descriptor of the parent reaches a child that was not told of it")
def descriptors():
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    equal(subprocess.check_output(["ls", "/proc/self/fd"]), b"0\n1\n2\n3\n")  # 3 is the folder itself
    equal(subprocess.call([SH, "-c", f"echo through >&{write_end}"], pass_fds=[write_end]), 0)
    equal(os.read(read_end, 100), b"through\n")
    os.close(read_end)
    os.close(write_end)


@case("a hundred children leave no descriptor, child or loan behind")
def leaks():
    files, loans_open = open_files(), counters()["loans_open"]
    for _ in range(100):
        subprocess.call(["true"])
    equal((open_files(), counters()["loans_open"]), (files, loans_open))


@case("posix_spawn opens, duplicates and closes files, sets the group, the mask and the handlers")
def spawn():
    out = "/tmp/spawned"
    script = "echo $$; while read name mask; do case $name in SigBlk: | SigIgn:) echo $mask; esac; done </proc/self/status; ls /proc/self/fd"
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    pid = os.posix_spawn(SH, [SH, "-c", script], {"PATH": "/bin"}, setpgroup=0, setsigmask=[signal.SIGUSR2], setsigdef=[signal.SIGUSR1],
                         file_actions=[(os.POSIX_SPAWN_OPEN, 1, out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                                       (os.POSIX_SPAWN_DUP2, 1, 2), (os.POSIX_SPAWN_CLOSE, 0)])
    equal(os.getpgid(pid), pid)
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    with open(out, encoding="ascii") as file:
        lines = file.read().split()
    equal(int(lines[0]), pid)
    equal(int(lines[1], 16) >> (signal.SIGUSR2 - 1) & 1, 1)
    equal(int(lines[2], 16) >> (signal.SIGUSR1 - 1) & 1, 0)
    equal(lines[3:], ["0", "1", "2"])  # the folder took the place of what was closed
    try:
        os.posix_spawn("/nonexistent", ["x"], {})
        raise AssertionError("it ran")
    except FileNotFoundError:
        pass


@case("popen reads what a shell prints, and fork with exec in Python code works too")
def old_ways():
    with os.popen("echo popen") as stream:
        equal(stream.read(), "popen\n")
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(SH, [SH, "-c", "exit 6"])
        finally:
            os._exit(99)
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 6)
    equal(subprocess.check_output([SH, "-c", "exit 0"], preexec_fn=lambda: os.write(1, b"in the child")), b"in the child")


for number, (title, function) in enumerate(CASES, 1):
    try:
        function()
        print(f"ok {title}", flush=True)
    except Exception as error:  # pylint: disable=broad-except
        print(f"not ok {title}: {type(error).__name__}: {error}", flush=True)
print(f"1..{len(CASES)}")
