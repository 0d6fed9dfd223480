# SPDX-License-Identifier: BSD-2-Clause
"""scripts/trace: a capture of a real command, as a timeline and as a picture."""
import json
import os
import subprocess
import sys
import tempfile

from harness import LOGS, RELEASE, SLOWNESS, TOP, boot_test, check, check_equal
from qemu import INITRD

sys.path.insert(0, os.path.join(TOP, "scripts"))
import timeline  # noqa: E402


def pieces(events, group, track):
    return sorted((e["ts"], e["ts"] + e["dur"], e["name"]) for e in events
                  if e["ph"] == "X" and e["pid"] == group and e["tid"] == track)


@boot_test("EC-141 scripts/trace shows each loan: one thread as lender, as borrower and as lender again, and the hand-back")
def loans_on_a_timeline():
    with tempfile.TemporaryDirectory() as folder:
        json_file, svg_file = os.path.join(folder, "t.json"), os.path.join(folder, "t.svg")
        os.makedirs(LOGS, exist_ok=True)
        capture = os.path.join(LOGS, "trace-capture.txt")
        subprocess.run(["python3", os.path.join(TOP, "scripts/trace.py"), "--kernel", RELEASE, "--initrd", INITRD,
                        "--timeout", str(120 * SLOWNESS), "--save", capture, "--json", json_file, "--svg", svg_file,
                        "echo one two | /bin/xargs -n 1 /bin/echo"], check=True, stdout=subprocess.DEVNULL)
        with open(json_file, encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
        with open(svg_file, encoding="utf-8") as file:
            picture = file.read()
        with open(capture, encoding="utf-8") as file:
            trace = timeline.Timeline(file.read())

    check_equal(trace.lost, 0, "records lost")
    loans = [loan for loan in trace.loans if trace.processes[loan.lender].name_at(loan.start) == "xargs"]
    check_equal(len(loans), 2, "loans of xargs, which runs two programs")
    for loan in loans:
        check_equal(loan.how, "exec", "how the loan ended")
        check(loan.start < loan.end, "a loan ends after it began")
        check_equal(trace.processes[loan.child].name_at(trace.end), "echo", "the borrower's program")
        # The thread's own track: lender, borrower, lender, one after the other.
        begin, end = ((t - trace.start) / 1000 for t in (loan.start, loan.end))
        track = [p for p in pieces(events, timeline.THREADS, loan.thread) if p[2].startswith("as ")]
        at = [i for i, p in enumerate(track) if abs(p[0] - begin) < 0.002 and abs(p[1] - end) < 0.002]
        check_equal(len(at), 1, f"pieces of thread {loan.thread} that are this loan")
        check(f"[{loan.child}], lent by" in track[at[0]][2], f"the piece says whose it is: {track[at[0]][2]}")
        for near in (track[at[0] - 1], track[at[0] + 1]):
            check(near[2].endswith(f"[{loan.lender}]"), f"before and after, the thread is the lender's: {near[2]}")
        # The lender's track: parked just then, and not executing.
        own = pieces(events, loan.lender, loan.lender_tid)
        check(any(abs(p[0] - begin) < 0.002 and "parked" in p[2] for p in own), "the lender is parked")
        check(not any(p[0] < end - 0.002 and p[1] > begin + 0.002 for p in own if "executes" in p[2]),
              "a lender does not execute")
        # Two arrows, each with both of its ends.
        for time, first, last in ((begin, loan.lender, loan.child), (end, loan.child, loan.lender)):
            starts = [e for e in events if e["ph"] == "s" and abs(e["ts"] - time) < 0.002 and e["pid"] == first]
            check_equal(len(starts), 1, f"arrows from {first} at {time}")
            check(any(e["ph"] == "f" and e["id"] == starts[0]["id"] and e["pid"] == last for e in events), "its other end")
        check(f"hands it back: {loan.how}" in picture, "the picture shows the hand-back")
    check(picture.startswith("<svg") and picture.rstrip().endswith("</svg>"), "the picture is whole")
