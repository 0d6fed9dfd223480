# SPDX-License-Identifier: BSD-2-Clause
"""A dynamically linked program: the kernel starts the interpreter that the program names."""
import os
import subprocess

from harness import LOGS, TOP, Machine, boot_test, check, check_equal

SOURCE = """
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <unistd.h>
static int places(void) {
    void* mapped = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return printf("%p %p %p %#lx\\n", (void*)places, (void*)environ, mapped, getauxval(AT_SYSINFO_EHDR)) < 0;
}
int main(int argc, char** argv) {
    if (strcmp(argv[1], "places") == 0)
        return places();
    if (strcmp(argv[1], "fixed-places") == 0) {
        personality(ADDR_NO_RANDOMIZE);
        execl((char*)getauxval(AT_EXECFN), argv[0], "places", (char*)0);
    }
    return printf("%s %.3f\\n", argv[0], sqrt(atof(argv[argc - 1]))) < 0;
}
"""


def gcc(*words, source=None):
    return subprocess.run(["riscv64-linux-gnu-gcc", *words], input=source, check=True, capture_output=True, text=True).stdout.strip()


@boot_test("a dynamically linked program finds its interpreter and two libraries, as PIE at a random address and at a fixed one")
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

        def places(word, program="pie"):
            text, code = machine.run(f"{program} {word}")
            check_equal(code, 0, f"the exit status of {program} {word}")
            return text.split()

        runs = [places("places") for _ in range(6)]
        for number, name in enumerate(("program", "stack", "mapping", "vDSO")):
            check(len({run[number] for run in runs}) > 3, f"the {name} hardly moves: {[run[number] for run in runs]}")
        check_equal(len({places("places", "fixed")[0] for _ in range(3)}), 1, "places of a program that is linked to one")
        check_equal(places("fixed-places"), places("fixed-places"), "places of a process without randomization")
        machine.run("echo 0 > /proc/sys/kernel/randomize_va_space")
        check_equal(places("places"), places("fixed-places"), "places with randomization off")
