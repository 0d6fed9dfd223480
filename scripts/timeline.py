# SPDX-License-Identifier: BSD-2-Clause
"""A capture of /proc/lentil/trace as a timeline: who executed on which thread and hart, and the loans; and the same for the
Chrome trace viewers."""
import json
import os
import re
from dataclasses import dataclass, field

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@dataclass
class Event:
    time: int
    hart: int
    thread: int
    pid: int
    tid: int
    probe: str
    values: dict


@dataclass
class Span:
    """A stretch of time; `end` is None while it is open."""
    start: int
    end: int = None
    pid: int = 0
    tid: int = 0
    thread: int = 0
    hart: int = 0
    name: str = ""
    detail: dict = field(default_factory=dict)


@dataclass
class Loan:
    start: int
    thread: int
    lender: int
    lender_tid: int
    child: int
    depth: int
    end: int = None
    how: str = "out"  # exec, exit, gift or still out


@dataclass
class Process:
    pid: int
    parent: int
    start: int
    names: list  # [(time, name)]
    end: int = None
    status: int = None

    def name_at(self, time):
        name = self.names[0][1]
        for since, text in self.names:
            if since <= time:
                name = text
        return name


class Timeline:
    """Everything that the views show, out of the text of a capture."""

    def __init__(self, text):
        self.events, self.lost = [], 0
        self.processes, self.kernel_threads = {}, {}
        self.loans = []
        self.identities = {}  # thread -> [Span]: whom it executes as
        self.running = []     # [Span]: one identity of one thread on one hart
        self.calls = []       # [Span]: system calls, by whom
        self._parse(text)
        self.start = self.events[0].time if self.events else 0
        self.end = self.events[-1].time if self.events else 0
        self._follow()

    def _parse(self, text):
        for line in text.splitlines():
            words = line.split()
            if line.startswith("#"):
                if line.startswith("# process") and len(words) >= 5:
                    pid = int(words[2])
                    self.processes[pid] = Process(pid, int(words[3]), 0, [(0, " ".join(words[4:]))])
                elif line.startswith("# kernel-thread"):
                    self.kernel_threads[int(words[2])] = " ".join(words[3:])
                elif line.startswith("# hart"):
                    self.lost += int(words[6])
            elif len(words) >= 6:
                values = {}
                for word in words[6:]:
                    name, _, value = word.partition("=")
                    values[name] = int(value, 0) if re.fullmatch(r"-?\d+|0x[0-9a-f]+", value) else value
                self.events.append(Event(*map(int, words[:5]), words[5], values))

    def process(self, pid, time=0):
        """The process of this number; one of which nothing is known gets a record."""
        if pid not in self.processes:
            self.processes[pid] = Process(pid, 0, time, [(0, "?")])
        return self.processes[pid]

    def who(self, pid, time):
        return f"{self.process(pid).name_at(time)} [{pid}]"

    # -- following the events -------------------------------------------------------------------------------------------
    def _follow(self):
        on_hart, as_whom, open_loans, in_call, born = {}, {}, {}, {}, {}
        names = call_names()
        # Names of the living are those at the end; what exec changed is found from the events.
        execed = {e.pid for e in self.events if e.probe == "proc:::exec-success"}
        for process in self.processes.values():
            if process.pid in execed:
                process.names = [(0, "?")]

        def becomes(thread, pid, tid, time):
            """From here on `thread` executes as (pid, tid)."""
            last = as_whom.get(thread)
            if last and (last.pid, last.tid) == (pid, tid):
                return
            if last:
                last.end = time
            span = Span(time if last else born.get(thread, self.start), None, pid, tid, thread)
            as_whom[thread] = span
            self.identities.setdefault(thread, []).append(span)
            hart = next((h for h, r in on_hart.items() if r.thread == thread), None)
            if hart is not None:
                leaves(hart, time)
                gets(hart, thread, pid, tid, time)

        def gets(hart, thread, pid, tid, time):
            on_hart[hart] = Span(time, None, pid, tid, thread, hart)

        def leaves(hart, time):
            span = on_hart.pop(hart, None)
            if span and (span.pid or span.thread in self.kernel_threads):
                span.end = time
                self.running.append(span)

        def ends_call(tid, time, result=None):
            span = in_call.pop(tid, None)
            if span:
                span.end = time
                if result is not None:
                    span.detail["result"] = result
                self.calls.append(span)

        for e in self.events:
            if e.pid and e.probe not in ("proc:::loan-release", "proc:::loan-gift"):
                becomes(e.thread, e.pid, e.tid, e.time)
                self.process(e.pid, e.time)
                if e.hart not in on_hart and not e.probe.startswith("sched"):
                    gets(e.hart, e.thread, e.pid, e.tid, self.start)  # it ran before the first event
            v = e.values
            for made in (v.get("fresh"), v.get("thread") if e.probe != "sched:::wakeup" else None):
                if isinstance(made, int) and made not in as_whom:
                    born.setdefault(made, e.time)
            if e.probe == "sched:::on-cpu":
                leaves(e.hart, e.time)
                gets(e.hart, e.thread, e.pid, e.tid, e.time)
            elif e.probe == "sched:::off-cpu":
                leaves(e.hart, e.time)
                if v["why"] == 3 and e.thread in as_whom:
                    as_whom.pop(e.thread).end = e.time
            elif e.probe == "proc:::create":
                parent = self.process(e.pid)
                old = self.processes.get(v["child"])
                names_of = old.names if old and old.names[0][1] != "?" else [(0, parent.name_at(e.time))]
                self.processes[v["child"]] = Process(v["child"], v["parent"], e.time, names_of)
            elif e.probe == "proc:::exec-success":
                self.process(e.pid).names.append((e.time, v["name"]))
                ends_call(e.tid, e.time)
            elif e.probe == "proc:::exit":
                process = self.process(e.pid)
                process.end, process.status = e.time, v["status"]
                ends_call(e.tid, e.time)
            elif e.probe == "proc:::loan-open":
                loan = Loan(e.time, e.thread, e.pid, e.tid, v["child"], v["depth"])
                open_loans[loan.child] = loan
                self.loans.append(loan)
                becomes(e.thread, v["child"], v["tid"], e.time)
            elif e.probe == "proc:::loan-release":
                loan = open_loans.pop(v["child"], None)
                if loan:
                    loan.end = e.time
                    ended = self.process(v["child"]).end is not None
                    loan.how = loan.how if loan.how == "gift" else "exit" if ended else "exec"
                if v["back"]:
                    becomes(e.thread, v["lender"], v["tid"], e.time)
                    ends_call(v["tid"], e.time, v["child"])
            elif e.probe == "proc:::loan-gift":
                if v["child"] in open_loans:
                    open_loans[v["child"]].how = "gift"
            elif e.probe == "syscall:::entry":
                in_call[e.tid] = Span(e.time, None, e.pid, e.tid, e.thread, e.hart,
                                      names.get(v["number"], f"call {v['number']}"),
                                      {k: v[k] for k in ("a0", "a1", "a2") if k in v})
            elif e.probe == "syscall:::return":
                ends_call(e.tid, e.time, v["result"])
        for hart in list(on_hart):
            leaves(hart, self.end)
        for spans in self.identities.values():
            for span in spans:
                span.end = self.end if span.end is None else span.end
        for tid in list(in_call):
            ends_call(tid, self.end)
        for process in self.processes.values():
            if process.names[0][1] == "?" and len(process.names) > 1:
                process.names[0] = (0, "(before exec)")


def call_names():
    """{number: name}, from the kernel's own declarations."""
    names, folder = {}, os.path.join(TOP, "kernel/abi")
    for file in os.listdir(folder):
        if file.endswith(".def"):
            with open(os.path.join(folder, file), encoding="utf-8") as text:
                names.update((int(n), name) for n, name in re.findall(r"^SYSCALL(?:_LEAF)?\((-?\d+), (\w+)\)", text.read(), re.M))
    return names


# ---- Chrome's trace format -----------------------------------------------------------------------------------------------

HARTS, THREADS = 1_000_000, 1_000_001  # "processes" that only group tracks
CALLS = 10_000_000                     # a uthread's track of system calls


def chrome_json(trace):
    out = []

    def us(time):
        return (time - trace.start) / 1000

    def name_track(pid, tid, name, order):
        out.append({"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": name}})
        out.append({"ph": "M", "pid": pid, "tid": tid, "name": "thread_sort_index", "args": {"sort_index": order}})

    def name_group(pid, name, order):
        out.append({"ph": "M", "pid": pid, "tid": 0, "name": "process_name", "args": {"name": name}})
        out.append({"ph": "M", "pid": pid, "tid": 0, "name": "process_sort_index", "args": {"sort_index": order}})

    def piece(pid, tid, start, end, name, category, args):
        out.append({"ph": "X", "pid": pid, "tid": tid, "ts": us(start), "dur": max(us(end) - us(start), 0.001),
                    "name": name, "cat": category, "args": args})

    borrowed = {(loan.thread, loan.child): loan for loan in trace.loans}
    name_group(HARTS, "harts", -3)
    for hart in sorted({e.hart for e in trace.events}):
        name_track(HARTS, hart, f"hart {hart}", hart)
    name_group(THREADS, "Mach threads: whom each executes as", -2)
    for thread, spans in sorted(trace.identities.items()):
        name_track(THREADS, thread, f"thread {thread}", thread)
        for span in spans:
            loan = borrowed.get((thread, span.pid))
            name = "as " + trace.who(span.pid, span.end)
            if loan:
                name += f", lent by {trace.who(loan.lender, loan.start)}"
            piece(THREADS, thread, span.start, span.end, name, "loan" if loan else "identity",
                  {"pid": span.pid, "tid": span.tid})
    for run in trace.running:
        if run.pid:
            name = trace.who(run.pid, run.end)
            piece(THREADS, run.thread, run.start, run.end, f"on hart {run.hart}", "sched", {"hart": run.hart})
            piece(run.pid, run.tid, run.start, run.end, f"executes on thread {run.thread}", "sched",
                  {"thread": run.thread, "hart": run.hart})
        else:
            name = trace.kernel_threads.get(run.thread, "kernel")
        piece(HARTS, run.hart, run.start, run.end, name, "sched", {"thread": run.thread})
    for pid, process in sorted(trace.processes.items()):
        name_group(pid, f"{process.name_at(trace.end)} [{pid}]", pid)
    tracks = {(r.pid, r.tid) for r in trace.running if r.pid} | {(loan.lender, loan.lender_tid) for loan in trace.loans}
    for pid, tid in sorted(tracks):
        name_track(pid, tid, f"uthread {tid}", 0)
    for call in trace.calls:
        piece(call.pid, CALLS + call.tid, call.start, call.end, call.name, "syscall", call.detail)
    for pid, tid in sorted({(c.pid, c.tid) for c in trace.calls}):
        name_track(pid, CALLS + tid, f"system calls of {tid}", 1)
    for number, loan in enumerate(trace.loans, 1):
        end = trace.end if loan.end is None else loan.end
        piece(loan.lender, loan.lender_tid, loan.start, end, f"parked: thread {loan.thread} is lent to {loan.child}", "loan",
              {"ended_by": loan.how})
        arrow = {"cat": "loan", "name": f"thread {loan.thread} lent", "id": 2 * number}
        out.append({"ph": "s", "pid": loan.lender, "tid": loan.lender_tid, "ts": us(loan.start), **arrow})
        out.append({"ph": "f", "bp": "e", "pid": loan.child, "tid": loan.child, "ts": us(loan.start) + 0.001, **arrow})
        if loan.end is not None and loan.how != "gift":
            arrow = {"cat": "loan", "name": f"thread {loan.thread} handed back ({loan.how})", "id": 2 * number + 1}
            out.append({"ph": "s", "pid": loan.child, "tid": loan.child, "ts": us(loan.end) - 0.001, **arrow})
            out.append({"ph": "f", "bp": "e", "pid": loan.lender, "tid": loan.lender_tid, "ts": us(loan.end), **arrow})
    for e in trace.events:
        if e.probe.startswith("proc:::"):
            out.append({"ph": "i", "s": "t", "pid": e.pid or THREADS, "tid": e.tid if e.pid else e.thread, "ts": us(e.time),
                        "name": e.probe[len("proc:::"):], "cat": "proc", "args": e.values})
    return json.dumps({"traceEvents": out, "displayTimeUnit": "ns"}, separators=(",", ":"))
