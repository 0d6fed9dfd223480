# SPDX-License-Identifier: BSD-2-Clause
"""What making processes says on the console, and fork1 as the kernel itself calls it."""
import re

from harness import CHECKED, Machine, boot_test, check, check_equal, count_guest_lines


@boot_test("NB-03 NB-08 BS-07 FB-05 a full table is told once in ten seconds, a limit never")
def full_table():
    with Machine("full table") as machine:
        machine.wait_for_shell()
        output, status = machine.run("/test/fork_limits @limit 300")
        check(status == 0 and "table is full" not in output, f"RLIMIT_NPROC: status {status}, output {output!r}")
        output, status = machine.run("/test/fork_limits @refuse 11.5")
        check_equal(status, 0, "the status of a program whose forks are refused")
        check_equal(output.count("proc: table is full"), 2, "lines in 11.5 seconds")


@boot_test("NB-24 a trace of system calls follows into children and borrowers")
def trace_follows():
    with Machine("trace of children", append="trace=syscalls") as machine:
        machine.wait_for_shell()
        machine.send("sh -c 'echo 1 | xargs -n 1 /bin/true; exit 3'; echo d''one\n")
        machine.expect(r"^done\r*$")
        text = machine.text()
        ends = (f"[{pid}/{pid}] exit_group(3)" in text for pid in re.findall(r"\] clone = (\d+)", text))
        check(any(ends), "a child's end is not in the trace")
        lent = re.search(r"^\[(\d+)/\1\] clone\(0x4111[^\n]*\n\[(\d+)/\2\]", text, re.MULTILINE)
        check(lent and lent[1] != lent[2], "a borrower's calls are not in the trace")


@boot_test("NB-51 EC-82 a borrower that leads a session and ends is a zombie, its terminal given up, when vfork returns")
def session_leader():
    with Machine("session leader") as machine:
        machine.wait_for_shell()
        machine.send("/test/loan_rules @leader\n")
        machine.expect(r"^\.{4000}")
        machine.expect(r"Done +/test/loan_rules @leader")  # the shell has lost its terminal: the job ended behind its back


@boot_test("EC-142 a panic during a loan names the borrower and the lender")
def panic_in_loan():
    with Machine("panic in a loan", panic_expected=True) as machine:
        machine.wait_for_shell()
        machine.send("/test/loan_rules @crash\n")
        lender = int(machine.expect(r"^lender (\d+)\r*\n")[1])
        machine.expect(r"^panic: asked for by sysrq-trigger\r*$")
        found = machine.expect(r"^at .*, process (\d+) \(loan_rules\), thread (\d+), lent by (\d+)\r*$")
        check(int(found[1]) == int(found[2]) != lender, "the borrower is not named")
        check_equal(int(found[3]), lender, "the lender's pid")
        machine.expect(r"^end of panic")
        check_equal(machine.wait_for_end(30), 1, "QEMU's exit code")


@boot_test("fork1 inside the kernel: the self-test runs to its end", own_lines=True)
def selftest(report):
    with Machine("fork1 in the kernel", kernel=CHECKED, append="selftest=fork") as machine:
        count_guest_lines(report, machine, "fork1", 120)
        failed_before = report.failed
        code = machine.wait_for_end()
        if failed_before == 0:
            check_equal(code, 0, "QEMU's exit code")
