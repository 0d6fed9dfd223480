# SPDX-License-Identifier: BSD-2-Clause
"""Initial file systems that are broken, and machines that are too small: a clear message and a failing power-off."""
import gzip
import os

from harness import LOGS, RELEASE, TEST_INITRD, Machine, boot_test, check


def archive():
    with open(TEST_INITRD, "rb") as file:
        return file.read()


def stops_with(sentence, message, make, memory="256M", append=""):
    @boot_test(sentence)
    def test():
        os.makedirs(LOGS, exist_ok=True)
        path = os.path.join(LOGS, "initramfs-" + "-".join(sentence.split()[:5]) + ".img")
        with open(path, "wb") as file:
            file.write(make(archive()))
        with Machine(sentence, kernel=RELEASE, initrd=path, memory=memory, append=append, smp=2, panic_expected=True) as machine:
            machine.expect(message, 120)
            check(machine.wait_for_end(60) != 0, "QEMU's exit code says that all went well")


BROKEN = r"broken initramfs: "
stops_with("an initramfs that is cut short is refused", BROKEN + ".*cut off", lambda packed: packed[:len(packed) // 2])
stops_with("a plain archive that is cut short is refused", BROKEN + ".*cut off",
           lambda packed: gzip.decompress(packed)[:1000001])
stops_with("an initramfs with a damaged middle is refused", BROKEN,
           lambda packed: packed[:len(packed) // 2] + bytes(4096) + packed[len(packed) // 2 + 4096:])
stops_with("an initramfs that is no archive is refused, aloud on a quiet console too", BROKEN + "neither",
           lambda packed: b"no archive at all " * 500, append="quiet")
stops_with("a machine too small for its initramfs says so", r"(?i)memory|initramfs:", lambda packed: packed, memory="16M")
