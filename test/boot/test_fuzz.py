# SPDX-License-Identifier: BSD-2-Clause
"""Minutes of random system calls: seed after seed of user/test/fuzz.c in one machine, beside the other tests.
`scripts/fuzz` does the same for hours."""
import re

from harness import Machine, boot_test, check_equal

# How many processes, and threads of each, make a seed's calls.
SEEDS = {1: (4, 2), 2: (8, 1), 3: (2, 6), 4: (3, 4), 5: (8, 2), 6: (4, 2), 7: (1, 12), 8: (6, 2)}
ROUNDS = 14
CALLS = 4800  # of a round, all threads together; a process that dies is started anew, for fewer
ROUND = re.compile(r"# round \d+: (\d+) calls, \d+ starts, [\d.]+ s$")


def rounds(machine):
    """The calls made in each round, and the line that tells how it all ended."""
    made = []
    while True:
        line = machine.expect(r"^(?:# round|ok|not ok) .*$", 600)[0].decode(errors="replace").strip()
        round_line = ROUND.match(line)
        if not round_line:
            return made, line
        made.append(int(round_line[1]))


@boot_test("fuzz: random calls for minutes, seed after seed", own_lines=True, rank=2000)
def fuzz(report):
    with Machine("fuzz") as machine:
        machine.wait_for_shell()
        for seed, (workers, threads) in SEEDS.items():
            sentence = f"fuzz: random calls of {workers} processes with {threads} threads each (seed {seed}) end, leave no object " \
                       "behind, and a sane program runs after them"
            machine.send(f"/test/fuzz seed={seed} rounds={ROUNDS} workers={workers} threads={threads} "
                         f"calls={CALLS // (workers * threads)}\n")
            made, end = rounds(machine)
            if not end.startswith("ok "):
                report.not_ok(sentence, end.partition(": ")[2])
            elif len(made) != ROUNDS or sum(made) < ROUNDS * CALLS / 4:
                report.not_ok(sentence, f"only {sum(made)} calls in {len(made)} rounds")
            else:
                report.ok(sentence)
            machine.expect(r"^1\.\.1\r*$")
        machine.send("exec poweroff -f\n")  # no job control, as in test_guest.py
        check_equal(machine.wait_for_end(), 0, "QEMU's exit code")
