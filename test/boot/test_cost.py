# SPDX-License-Identifier: BSD-2-Clause
"""No operation becomes dearer unseen. Instructions are counted, so neither the host nor its load matters."""
import cost  # scripts/cost.py; harness knows the way
from harness import RELEASE, boot_test, check


@boot_test("no row of the benchmark costs 2 % more than is recorded")
def costs():
    measured = cost.measure(RELEASE, quick=True)
    complaints = list(cost.worse(cost.read("lentil.txt"), measured))
    check(not complaints, "; ".join(complaints))


@boot_test("a row that got dearer, or that is gone, is noticed")
def noticed():
    recorded = {"stat": 100.0, "open": 100.0, "pipe_bw_4K": 100.0, "gone": 1.0}
    check(len(list(cost.worse(recorded, {"stat": 101.9, "open": 90.0, "pipe_bw_4K": 98.1, "gone": 1.0}))) == 0, "within the limit")
    complaints = list(cost.worse(recorded, {"stat": 102.1, "open": 100.0, "pipe_bw_4K": 97.0}))
    check([line.split()[0] for line in complaints] == ["stat", "pipe_bw_4K", "gone"], f"noticed: {complaints}")
