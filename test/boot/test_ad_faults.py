# SPDX-License-Identifier: BSD-2-Clause
"""Harts may fault for want of an accessed or dirty bit. The debug kernel plays such harts with `ad_faults` on its command line;
`scripts/test --ad-faults` runs all boot tests on a kernel that does nothing else."""
from harness import Machine, boot_test, check_equal, count_guest_lines

# Programs, and words of the sentences of their cases that are run here.
SELECTION = (("boards", "populated"), ("mem", ""), ("cow", "eight children write"), ("cow", "kernel itself"), ("cow", "one side only"),
             ("cow", "shared anonymous"), ("loan", ""), ("loan_memory", ""), ("files", ""))


@boot_test("memory, copy-on-write, loan and file tests pass where harts fault for accessed and dirty bits", own_lines=True)
def ad_faults(report):
    with Machine("ad_faults", append="ad_faults") as machine:
        machine.expect("^ad_faults: user pages fault", 60)
        machine.wait_for_shell()
        for program, words in SELECTION:
            machine.send(f"/test/{program} '{words}'\n")
            count_guest_lines(report, machine, f"ad_faults {program}", 120)
        machine.send("exit\n")
        check_equal(machine.wait_for_end(), 0, "QEMU's exit code")
