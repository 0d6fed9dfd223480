# SPDX-License-Identifier: BSD-2-Clause
"""A dynamically linked program: the kernel starts the interpreter that the program names."""
import os
import subprocess

from harness import LOGS, TOP, Machine, boot_test, check_equal

SOURCE = """
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char** argv) { return printf("%s %.3f\\n", argv[0], sqrt(atof(argv[argc - 1]))) < 0; }
"""


def gcc(*words, source=None):
    return subprocess.run(["riscv64-linux-gnu-gcc", *words], input=source, check=True, capture_output=True, text=True).stdout.strip()


@boot_test("a dynamically linked program finds its interpreter and two libraries, as PIE and at a fixed address")
def dynamic():
    os.makedirs(LOGS, exist_ok=True)
    initrd = os.path.join(LOGS, "dynamic.cpio.gz")
    additions = []
    for name, flags in (("pie", ["-fPIE", "-pie"]), ("fixed", ["-fno-pie", "-no-pie"])):
        program = os.path.join(LOGS, name)
        gcc("-O1", "-fno-builtin", *flags, "-x", "c", "-", "-o", program, "-lm", source=SOURCE)
        additions += ["--add", f"{program}=/bin/{name}"]
    for library in ("ld-linux-riscv64-lp64d.so.1", "libc.so.6", "libm.so.6"):
        additions += ["--add", f"{gcc('-print-file-name=' + library)}=/lib/{library}"]
    subprocess.run([os.path.join(TOP, "scripts/mkinitramfs"), *additions, "-o", initrd], check=True)
    with Machine("dynamic", initrd=initrd) as machine:
        machine.wait_for_shell()
        for name in ("pie", "fixed"):
            check_equal(machine.run(f"{name} 2"), (f"{name} 1.414\n", 0), f"what {name} prints")
