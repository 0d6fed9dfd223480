# SPDX-License-Identifier: BSD-2-Clause
"""What a person would see: the bytes of the serial line on a terminal of 24 lines, by Debian's python3-pyte."""
import glob
import os
import sys
import time

import userland
from harness import SLOWNESS, Failure

LINES, COLUMNS = 24, 80


def pyte():
    for folder in userland.fetched("python3-pyte"):
        for path in glob.glob(os.path.join(folder, "usr/lib/python3/dist-packages")):
            if path not in sys.path:
                sys.path.append(path)
    import pyte as module  # pylint: disable=import-outside-toplevel
    return module


class Screen:
    """Follows a machine's output from now on. TERM=linux is what it understands."""

    def __init__(self, machine):
        module = pyte()
        self.machine = machine
        self.screen = module.Screen(COLUMNS, LINES)
        self.stream = module.ByteStream(self.screen)
        self.seen = len(machine.output)

    def text(self):
        with self.machine.more:
            fresh = bytes(self.machine.output[self.seen:])
            self.seen += len(fresh)
        self.stream.feed(fresh)
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait_for(self, condition, what, timeout=60):
        """Until condition(text) holds; returns the text. A function, or words that all have to be there."""
        if isinstance(condition, str):
            words = [condition]
            condition = lambda text: all(word in text for word in words)  # noqa: E731
        limit = time.monotonic() + timeout * SLOWNESS
        while True:
            text = self.text()
            if condition(text):
                return text
            with self.machine.more:
                if self.machine.ended or time.monotonic() >= limit:
                    raise Failure(f"the screen never showed {what}: {text!r}")
                if len(self.machine.output) == self.seen:
                    self.machine.more.wait(0.5)

    def line(self, number):
        return self.text().split("\n")[number]

    def cursor(self):
        self.text()
        return self.screen.cursor.y, self.screen.cursor.x

    def attributes(self, y, x):
        return self.screen.buffer[y][x]
