# SPDX-License-Identifier: BSD-2-Clause
"""Initial file systems with unmodified Debian programs for riscv64, for the tests that need more than busybox."""
import os
import subprocess

from harness import LOGS, TOP, Machine

MEMORY = "1G"  # the archive and what is unpacked from it are both in memory


def initrd_with(packages, additions=()):
    """Packs the default userland with the packages and all that they need; `additions` are HOST=GUEST. Returns the path."""
    os.makedirs(LOGS, exist_ok=True)
    path = os.path.join(LOGS, "with-" + "-".join(packages.split()) + ".cpio")
    words = [word for addition in additions for word in ("--add", addition)]
    # Not compressed: unpacking would take an emulated machine longer than reading the larger file takes.
    subprocess.run([os.path.join(TOP, "scripts/mkinitramfs"), "--plain", "--packages", packages, *words, "-o", path], check=True)
    return path


def enter_dash(machine):
    """From busybox's shell, which prefers its own applets to programs of the same name, to Debian's."""
    machine.wait_for_shell()
    machine.send("PS1='len''til:dash# ' exec /bin/dash\n")
    machine.wait_for_shell()


class DebianMachine(Machine):
    """A machine with packages (dash among them), at dash's prompt."""

    def __init__(self, name, packages, additions=(), **options):
        super().__init__(name, initrd=initrd_with(packages, additions), memory=MEMORY, **options)

    def __enter__(self):
        super().__enter__()
        try:
            enter_dash(self)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self
