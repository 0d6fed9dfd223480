# SPDX-License-Identifier: BSD-2-Clause
"""The scheduler's self-test on real harts: kernel threads alone, no user mode."""
from harness import CHECKED, RELEASE, Machine, boot_test, check_equal, count_guest_lines


def schedules(kind, kernel, harts):
    name = f"sched, {kind} kernel, {harts} harts"

    @boot_test(f"{name}: the self-test runs to its end", own_lines=True, alone=True)  # it looks at shares of time
    def test(report):
        with Machine(name, kernel=kernel, smp=harts, append="selftest=sched") as machine:
            count_guest_lines(report, machine, name, 300)
            failed_before = report.failed
            code = machine.wait_for_end()
            if failed_before == 0:
                check_equal(code, 0, "QEMU's exit code")


schedules("release", RELEASE, 1)
schedules("debug", CHECKED, 2)
schedules("debug", CHECKED, 4)
schedules("release", RELEASE, 8)
