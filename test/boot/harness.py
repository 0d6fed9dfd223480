# SPDX-License-Identifier: BSD-2-Clause
"""Boot tests: a machine in QEMU whose serial line a test drives, and the registry of tests.

Time limits only tell a hang from a slow machine, so they are generous; LENTIL_TEST_SLOWNESS=3 makes them three times longer, and so
do LENTIL_TEST_JOBS machines side by side (as many as there are processors, but not more than two).
"""
import os
import re
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "scripts"))
import qemu  # noqa: E402

JOBS = int(os.environ.get("LENTIL_TEST_JOBS", min(2, len(os.sched_getaffinity(0)))))
SLOWNESS = float(os.environ.get("LENTIL_TEST_SLOWNESS", "1")) * JOBS
LOGS = os.path.join(TOP, "build/test-logs")
# LENTIL_TEST_KERNEL runs the tests on another kernel, to see whether a test asks for what Linux does.
OTHER = os.environ.get("LENTIL_TEST_KERNEL")
CHECKED = OTHER or os.path.join(TOP, "build/checked/Image")
RELEASE = OTHER or os.path.join(TOP, "build/Image")
TEST_INITRD = os.path.join(TOP, "build/test-initramfs.cpio.gz")
PROMPT = r"lentil:[^\s]*# "
# What the kernel prints first when it stops for good.
PANIC = re.compile(rb"^panic: .*$", re.MULTILINE)


def initrd_with(program):
    """An initramfs that has just this one of the guest's test programs, as /test/PROGRAM: for machines with little memory."""
    os.makedirs(LOGS, exist_ok=True)
    path = os.path.join(LOGS, f"initrd-{program}.cpio.gz")
    subprocess.run([os.path.join(TOP, "scripts/mkinitramfs"), "--output", path, "--program",
                    os.path.join(TOP, "build/user/test", program) + "=/test/" + program], check=True)
    return path


class Failure(Exception):
    """Why a test failed, in one line."""


class Machine:
    """One QEMU. Use it in a `with` statement: leaving it ends QEMU whatever happened."""

    def __init__(self, name, kernel=CHECKED, initrd=TEST_INITRD, append="", machine="virt", smp=4, memory="512M",
                 disk=None, icount=False, panic_expected=False, card=None, more=()):
        os.makedirs(LOGS, exist_ok=True)
        self.log_path = os.path.join(LOGS, re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:100] + ".log")
        self.log = open(self.log_path, "wb")
        self.panic_expected = panic_expected
        self.output = bytearray()  # all that came over the serial line
        self.read_to = 0           # how far expect() has looked
        self.more = threading.Condition()
        self.ended = False
        if SLOWNESS != 1 and not icount:  # an unknown word: it is in the environment of all programs (user/test/check.h)
            append = f"{append} CHECK_SLOW={SLOWNESS:g}".strip()
        command = (qemu.card_command(card, memory, smp) if card else
                   qemu.qemu_command(kernel, initrd, append, machine, smp, memory, disk, icount))
        command += list(more)
        self.log.write((" ".join(command) + "\n").encode())
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        qemu.stop(self.process)
        self.reader.join(10)
        self.log.close()
        if kind is None:
            self._check_panic()

    def _read(self):
        while chunk := os.read(self.process.stdout.fileno(), 65536):
            self.log.write(chunk)
            self.log.flush()
            with self.more:
                self.output += chunk
                self.more.notify_all()
                if len(self.output) > 64 << 20:  # a kernel that prints without end
                    self.process.kill()
        with self.more:
            self.ended = True
            self.more.notify_all()

    def _check_panic(self):
        found = None if self.panic_expected else PANIC.search(self.output)
        if found:
            raise Failure(f"the kernel stopped: {found[0].decode(errors='replace').strip()}")

    def _tail(self):
        lines = [line for line in self.text().splitlines() if line.strip()]
        return " | ".join(lines[-3:])[-300:]

    def text(self):
        """All output so far, with plain line ends."""
        return self.output.decode(errors="replace").replace("\r\n", "\n")

    def expect(self, pattern, timeout=120):
        """Waits for a regular expression in what came after the last match; returns the match. A `$` at its end is the end of a
        line that came whole: half a number is none."""
        wanted = pattern.encode() if isinstance(pattern, str) else pattern
        compiled = re.compile(re.sub(rb"(?<!\\)\$$", rb"(?=\n)", wanted), re.MULTILINE)
        limit = time.monotonic() + timeout * SLOWNESS
        with self.more:
            while True:
                found = compiled.search(bytes(self.output), self.read_to)
                if found:
                    self.read_to = found.end()
                    return found
                if PANIC.search(self.output) and not self.panic_expected:
                    self.more.wait_for(lambda: self.ended, 5)  # let the report come through, for the log
                    self._check_panic()
                if self.ended:
                    raise Failure(f"the machine ended before {pattern!r} came; last: {self._tail()}")
                if not self.more.wait(max(0, limit - time.monotonic())) and time.monotonic() >= limit:
                    raise Failure(f"{pattern!r} did not come within {timeout} s; last: {self._tail()}")

    def send(self, text):
        """Types on the serial line."""
        data = text.encode() if isinstance(text, str) else text
        try:
            self.process.stdin.write(data.replace(b"\x01", b"\x01\x01"))  # QEMU's own escape character
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failure(f"the machine ended; last: {self._tail()}") from None

    def wait_for_shell(self, timeout=180):
        self.expect(PROMPT, timeout)

    def run(self, command, timeout=120):
        """Runs a shell command at the prompt; returns its output and its exit status."""
        # The marks are typed in two halves, so that the echo of the command line is never taken for one.
        self.send(f"echo '-=be''gin'; {command}; echo '-=e''nd' $?\n")
        start = self.expect(r"^-=begin\r*\n", timeout).end()
        end = self.expect(r"-=end (\d+)\r*\n", timeout)
        self.expect(PROMPT, timeout)
        output = bytes(self.output[start:end.start()]).decode(errors="replace")
        return re.sub(r"\r+\n", "\n", output), int(end[1])

    def wait_for_end(self, timeout=120):
        """Waits until the guest ends the machine; returns QEMU's exit code."""
        try:
            code = self.process.wait(timeout * SLOWNESS)
        except subprocess.TimeoutExpired:
            raise Failure(f"no power-off within {timeout} s; last: {self._tail()}") from None
        self.reader.join(10)
        self._check_panic()
        return code


def check(condition, why):
    if not condition:
        raise Failure(why)


def check_equal(actual, expected, what):
    if actual != expected:
        raise Failure(f"{what}: {actual!r}, expected {expected!r}")


class Report:
    """Collects results and prints each as it comes."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.ends = {}  # sentence -> passed

    def ok(self, sentence):
        self.passed += 1
        self.ends[sentence] = True
        print(f"ok     {sentence}", flush=True)

    def not_ok(self, sentence, why):
        self.failed += 1
        self.ends[sentence] = False
        print(f"not ok {sentence}: {why}", flush=True)

    def add(self, other):
        """Another's results, which were printed."""
        self.passed += other.passed
        self.failed += other.failed
        self.ends |= other.ends


class BootTest:
    def __init__(self, sentence, function, own_lines, alone, rank):
        self.sentence = sentence
        self.function = function
        self.own_lines = own_lines
        self.alone = alone
        self.rank = rank
        self.module = function.__module__

    def execute(self, report):
        started = time.monotonic()
        try:
            if self.own_lines:
                self.function(report)
            else:
                self.function()
                report.ok(self.sentence)
        except Failure as failure:
            report.not_ok(self.sentence, str(failure))
        except Exception as error:  # pylint: disable=broad-except
            report.not_ok(self.sentence, f"the test itself broke: {type(error).__name__}: {error}")
        seconds = time.monotonic() - started
        if seconds > 30:
            print(f"       ({seconds:.0f} s)", flush=True)


TESTS = []


def boot_test(sentence, own_lines=False, alone=False, rank=None):
    """Registers a test. With own_lines the function gets the Report and may add several results to it. An `alone` one has the
    processors to itself. Tests of a module share files and run one after the other, but one with a rank stands for itself: it may
    run beside any other, and those of the highest rank start first, so that none long is left for the end."""

    def register(function):
        TESTS.append(BootTest(sentence, function, own_lines, alone, rank))
        return function

    return register


def count_guest_lines(report, machine, name, timeout):
    """Reports every `ok` and `not ok` line of a guest program that was just started, up to its `1..N`."""
    start = machine.read_to
    end = machine.expect(r"^1\.\.(\d+)\r*\n", timeout)
    text = bytes(machine.output[start:end.start()]).decode(errors="replace")
    seen = 0
    for line in text.replace("\r", "").split("\n"):
        if line.startswith("ok "):
            seen += 1
            report.ok(f"{name}: {line[3:].strip()}")
        elif line.startswith("not ok "):
            seen += 1
            sentence, _, why = line[7:].partition(": ")
            report.not_ok(f"{name}: {sentence}", why.strip() or "no reason given")
    promised = int(end[1])
    if seen == 0 or seen != promised:
        raise Failure(f"{seen} results came, {promised} were promised")
