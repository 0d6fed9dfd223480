# SPDX-License-Identifier: BSD-2-Clause
"""Virtio devices that are no disks: a console, and a source of random bytes."""
import os
import socket
import tempfile
import threading
import time

from harness import CHECKED, RELEASE, Machine, boot_test, check, check_equal

# The serial line goes nowhere: what comes to us comes through virtio.
CONSOLE = ["-serial", "null", "-monitor", "none", "-chardev", "stdio,id=line", "-device", "virtio-serial-device",
           "-device", "virtconsole,chardev=line"]


def uses_console(kernel):
    with Machine("virtio console", kernel=kernel, append="console=hvc0", smp=2, more=CONSOLE) as machine:
        machine.wait_for_shell()
        text, _ = machine.run("seq 1 2000")
        check_equal(text.split(), [str(n) for n in range(1, 2001)], "what came through")
        long = "x" * 500
        check_equal(machine.run(f"echo {long}"), (long + "\n", 0), "what a long line gives")
        machine.send("sleep 100\n")
        machine.expect("sleep 100")
        time.sleep(0.5)
        machine.send("\x03")
        machine.wait_for_shell(30)
        machine.send("exec poweroff -f\n")
        check_equal(machine.wait_for_end(), 0, "QEMU's exit code")
        check("power down" in machine.text(), "the kernel's last line is missing")


@boot_test("virtio: the console that the command line asks for has the session and the kernel's messages")
def console():
    uses_console(CHECKED)
    uses_console(RELEASE)


@boot_test("virtio: a panic is reported on the console")
def panic():
    with Machine("virtio console panic", append="console=hvc0 panic_test=fault", more=CONSOLE, panic_expected=True) as machine:
        machine.expect(r"^panic: ")
        check(machine.wait_for_end() != 0, "QEMU's exit code tells no failure")


@boot_test("virtio: one that is not asked for is left alone")
def spare_console():
    more = ["-chardev", "null,id=line", "-device", "virtio-serial-device", "-device", "virtconsole,chardev=line"]
    with Machine("virtio spare console", more=more) as machine:
        machine.wait_for_shell()
        machine.send("exec poweroff -f\n")
        check_equal(machine.wait_for_end(), 0, "QEMU's exit code")


class EntropyServer(threading.Thread):
    """The other end of QEMU's rng-egd: answers each request (the byte 2, and how many bytes are wanted) and counts."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.wanted = []
        self.start()

    def run(self):
        line, _ = self.listener.accept()
        while request := line.recv(2):
            if len(request) < 2:
                request += line.recv(1)
            self.wanted.append(request[1])
            line.sendall(os.urandom(request[1]))


@boot_test("virtio: a source of random bytes is asked at boot, and again when much was given out")
def entropy():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "egd")
        server = EntropyServer(path)
        more = ["-chardev", f"socket,path={path},id=line", "-object", "rng-egd,chardev=line,id=chance",
                "-device", "virtio-rng-device,rng=chance"]
        with Machine("virtio entropy", kernel=RELEASE, smp=2, more=more) as machine:
            machine.wait_for_shell()
            machine.run("true")
            check_equal(sum(server.wanted), 64, "bytes asked for at boot")
            text, _ = machine.run("head -c 2300000 /dev/urandom | wc -c; sleep 1")
            check_equal(text.split(), ["2300000"], "bytes given out")
            check(sum(server.wanted) > 64, "nothing was asked for after two megabytes more")
