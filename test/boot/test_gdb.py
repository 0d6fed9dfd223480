# SPDX-License-Identifier: BSD-2-Clause
"""The commands of scripts/gdb/lentil.py on a machine that is stopped while a loan is out."""
import os
import re
import subprocess

from harness import CHECKED, LOGS, TOP, Machine, boot_test, check


def gdb(elf, socket, *commands):
    """What gdb prints, attached to a machine that goes on afterwards."""
    words = ["gdb-multiarch", "-nx", "-batch", "-iex", "set auto-load no", elf, "-x", os.path.join(TOP, "scripts/gdb/lentil.py"),
             "-ex", f"target remote {socket}"]
    for command in commands:
        words += ["-ex", f"echo --- {command}\\n", "-ex", command]
    return subprocess.run(words, capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL, check=False).stdout


@boot_test("gdb lists threads, tasks, processes and the loan that is out, and walks the stack of a thread that waits")
def lists():
    elf = os.path.join(os.path.dirname(CHECKED), "lentil.elf")
    sections = subprocess.run(["riscv64-linux-gnu-readelf", "-SW", elf], capture_output=True, text=True, check=True).stdout
    if ".debug_info" not in sections:
        print("       (this kernel was built without debug information: gdb was not tried)", flush=True)
        return
    socket = os.path.join(LOGS, "gdb.socket")
    if os.path.exists(socket):
        os.remove(socket)
    with Machine("gdb", more=("-gdb", f"unix:{socket},server=on,wait=off")) as machine:
        machine.wait_for_shell()
        machine.send("/test/vfork_real @lend loan &\n")
        found = machine.expect(r"borrower (\d+) of (\d+)\r*$")
        child, lender = int(found[1]), int(found[2])
        text = gdb(elf, socket, "lentil-threads", "lentil-tasks", "lentil-procs", "lentil-loans")
        parts = dict(part.split("\n", 1) for part in text.split("--- ")[1:])
        loans, procs = parts.get("lentil-loans", ""), parts.get("lentil-procs", "")
        threads, tasks = parts.get("lentil-threads", ""), parts.get("lentil-tasks", "")
        loan = re.search(rf"borrower {child} \(vfork_real\), lender uthread {lender} of process {lender}, thread (0x\w+)", loans)
        check(loan, f"lentil-loans says {loans!r}")
        check(re.search(r"^ +1 parent 0 +\w+ +init ", procs, re.M), f"lentil-procs has no init: {procs!r}")
        check(re.search(rf"^ +{lender} parent \d+ .*\n +uthread +{lender} parked +thread 0x0$", procs, re.M),
              f"lentil-procs shows the lender otherwise: {procs!r}")
        check(re.search(rf"^ +{child} parent {lender} .*\n +uthread +{child} executing +thread {loan[1]}$", procs, re.M),
              f"lentil-procs shows the borrower otherwise: {procs!r}")
        row = re.search(rf"^ *{loan[1]} +(\d+) +waiting +\d+ +\S+ +(0x\w+) +{child} \(", threads, re.M)
        check(row, f"lentil-threads: {threads!r}")
        check("kernel thread loans" in threads, f"lentil-threads shows no kernel thread: {threads!r}")
        check(re.search(rf"^ *{row[2]} map 0x\w+ threads ([\d, ]*, )?{row[1]}(,|$)", tasks, re.M), f"lentil-tasks: {tasks!r}")
        stack = gdb(elf, socket, f"lentil-bt {row[1]}")
        check(re.search(r"finish_wait(.|\n)*sys_ppoll(.|\n)*trap\.S", stack), f"lentil-bt {row[1]}: {stack[-900:]!r}")
        machine.run("true")  # it runs on
