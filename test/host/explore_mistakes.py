#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes one mistake after the other in the kernel and says whether the explorer finds it.

    explore_mistakes.py [WORD]...    mistakes whose name has one of the words; default: all

Build first (scripts/build). The sources stay as they are: a changed copy is compiled and linked into an explorer of its
own, under build/explore-mistakes. Exit code 1 if a mistake stays unnoticed within the points of one run of the tests.
"""
import json
import os
import re
import shlex
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, "build")
WORK = os.path.join(BUILD, "explore-mistakes")

# name: (file, what stands there, what stands there instead)
MISTAKES = {
    "late gift: a task that came while the borrower was taken down is forgotten": (
        "kernel/bsd/exit.cpp", "gift = std::move(proc.task);", ";"),
    "vfork: who waits on a thread of its own is not woken": (
        "kernel/bsd/vfork.cpp", "    if (was == State::awaited) {\n        loan->p_vforkwait.wake_all();", "    if (was == State::awaited) {"),
    "vfork: floating-point registers are not restored": (
        "kernel/bsd/vfork.cpp", "        thread.arch.fp = loan->parked_fp.value;\n", ""),
    "vfork: integer registers are not restored": (
        "kernel/bsd/vfork.cpp", "    if (loan.frame != &frame)\n        frame = *loan.frame;\n", ""),
    "vfork: what arrived for the lender is not looked at on release": (
        "kernel/bsd/vfork.cpp", "    signal_recalculate(*lender);\n    return LoanEnd::handed_back;",
        "    return LoanEnd::handed_back;"),
    "gift: loans below the one given keep the old thread": (
        "kernel/bsd/vfork.cpp", "below->thread = fresh.get();", ";"),
    "gift: two may give the same loan": (
        "kernel/bsd/vfork.cpp",
        "    if (loan->state != State::lent) {\n        guard.unlock();\n        return {}; // released", "    if (false) {\n"
        "        guard.unlock();\n        return {}; // released"),
    "exit: the lender is released before the zombie is there": (
        "kernel/bsd/exit.cpp",
        "        proc.state = ProcState::zombie;\n        // No signal comes to a zombie, so one look without their lock is enough.\n",
        "        loan_end = loan_release_locked(proc, loan);\n        guard.unlock();\n        guard.relock();\n"
        "        proc.state = ProcState::zombie;\n"),
    "end of a group: parked lenders are not recalled": (
        "kernel/bsd/signal_send.cpp", "    if (parked)\n        loan_recall(proc);\n    return true;\n}\n\n/// SIGCONT",
        "    (void)parked;\n    return true;\n}\n\n/// SIGCONT"),
    "exec: parked lenders are not recalled": (
        "kernel/bsd/signal_send.cpp", "    guard.unlock();\n    if (parked)\n        loan_recall(proc);",
        "    guard.unlock();\n    (void)parked;"),
    "exit: who waits for the child is not woken": (
        "kernel/bsd/exit.cpp", "        proc_reap_locked(proc, reaped);\n    parent.child_waitq.wake_all();\n", "        proc_reap_locked(proc, reaped);\n"),
    "exec: who waits to be alone is not woken": (
        "kernel/bsd/exit.cpp", "proc.uthreads_waitq.wake_all();", ";"),
    "vfork: a lender is not marked as parked": (
        "kernel/bsd/vfork.cpp", "lender.state.store(UthreadState::parked", "lender.state.store(UthreadState::executing"),
    "wait queues: the condition is not looked at once more before sleeping": (
        "kernel/sched/waitq.hpp", "        queue.prepare(waiter, interruptible, channel);\n        if (condition()) {",
        "        queue.prepare(waiter, interruptible, channel);\n        if (false) {"),
    "wait queues: interrupts are not looked at once more before sleeping": (
        "kernel/sched/waitq.cpp", "    if (interrupted(self)) [[unlikely]] {\n        cancel_wait();", "    if (false) {\n        cancel_wait();"),
    "mutex: a waiter does not try again before it sleeps": (
        "kernel/sched/mutex.cpp", "    if (waiting_.load(std::memory_order_relaxed) != 0)\n        queue_.wake_one();",
        "    if (waiting_.load(std::memory_order_relaxed) > 1)\n        queue_.wake_one();"),
    "wake: a thread that is not off its hart yet is queued": (
        "kernel/sched/sched.cpp", "    if (thread.place != ThreadPlace::none) {\n        // Not off",
        "    if (thread.place == ThreadPlace::queue) {\n        // Not off"),
    "idle: other queues are not looked at after joining the idle harts": (
        "kernel/sched/sched.cpp", "hart.queued.load(std::memory_order_relaxed) != 0 || sched_steal(hart, -1)", "false"),
    "stop: a continue is not reported": (
        "kernel/bsd/signal_send.cpp", "sig.continued_unreported = was_stopped;", ";"),
    "signals: a signal of the whole proc goes to a parked uthread": (
        "kernel/bsd/signal_send.cpp", "        if (wants(proc, u, signo)) {", "        if (true) {"),
    "terminal: a borrower in the background is stopped by its use": (
        "kernel/bsd/tty.cpp", "    if (loan_exempts_from_job_control(self))", "    if (false)"),
    "terminal: a borrower in the background waits for what is typed": (
        "kernel/bsd/tty.cpp", "signo == sig_ttin ? Admission::end_of_file : Admission::granted", "Admission::granted"),
    "stop: a terminal's stop does not wait for the end of the loan": (
        "kernel/bsd/vfork.cpp", "return (signo == sig_tstp || signo == sig_ttin || signo == sig_ttou) && proc.loan != nullptr;",
        "return (void)proc, (void)signo, false;"),
    "session: its leader stays named when it is gone": (
        "kernel/bsd/tty.cpp", "    session.leader = nullptr;", "    ;"),
    "session: the end of its leader leaves it the terminal": (
        "kernel/bsd/tty.cpp", "    if (session.tty)\n        session.tty->disassociate_locked();", "    if (false)\n        session.tty->disassociate_locked();"),
    "groups: who is stopped in a group that becomes orphaned is not told": (
        "kernel/bsd/exit.cpp", "        if (child.group != proc.group)\n            orphan_group_locked(*child.group, nullptr);\n", ""),
}


def compile_command(source):
    """How ninja compiles the explorer's own object of a source."""
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        for entry in json.load(file):
            path = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
            if path == os.path.join(TOP, source) and "explored-kernel" in entry["output"]:
                return shlex.split(entry["command"]), entry["file"], entry["output"]
    raise SystemExit(f"{source} is not in the explored kernel")


def link_command():
    text = subprocess.run(["ninja", "-C", BUILD, "-t", "commands", "-s", "test/host/host_explore"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    return shlex.split(text.strip().splitlines()[-1])


def users_of(header):
    """Sources to compile again for a header: those that wait on queues."""
    return ["kernel/bsd/exec.cpp", "kernel/bsd/signal_deliver.cpp", "kernel/bsd/vfork.cpp", "kernel/bsd/wait.cpp",
            "kernel/sched/mutex.cpp"] if header.endswith(".hpp") else [header]


def build(number, source, before, after):
    with open(os.path.join(TOP, source), encoding="utf-8") as file:
        text = file.read()
    if text.count(before) != 1:
        return None
    folder = os.path.join(WORK, str(number))
    changed = os.path.join(folder, source)
    os.makedirs(os.path.dirname(changed), exist_ok=True)
    with open(changed, "w", encoding="utf-8") as file:
        file.write(text.replace(before, after))
    objects = []
    for user in users_of(source):
        command, given, output = compile_command(user)
        made = os.path.join(folder, os.path.basename(user) + ".o")
        command = [changed if word == given and user == source else made if word == output else word for word in command]
        if user != source:  # the changed header comes first
            command.insert(2, f"-I{folder}/kernel")
        command += ["-Wno-error"]
        done = subprocess.run(command, cwd=BUILD, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            print(done.stdout)
            return None
        objects.append(made)
    program = os.path.join(folder, "host_explore")
    command = link_command()
    at = next(i for i, word in enumerate(command) if word.endswith("libexplored-kernel.a"))
    command = command[:at] + objects + command[at:]
    command[command.index("-o") + 1] = program
    done = subprocess.run(command, cwd=BUILD, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        print(done.stdout[-2000:])
        return None
    return program


def main():
    words = sys.argv[1:]
    unnoticed = 0
    for number, (name, (source, before, after)) in enumerate(MISTAKES.items()):
        if words and not any(word in name for word in words):
            continue
        program = build(number, source, before, after)
        if not program:
            print(f"not ok {name}: cannot be made any more", flush=True)
            unnoticed += 1
            continue
        done = subprocess.run([program, "-tce=a seed*"], cwd=BUILD, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", check=False)
        why = re.search(r"---- explore: (.*)|(.*(?:runtime error|ERROR: AddressSanitizer).*)|(seed \d+ ended with .*);", done.stdout)
        seed = re.search(r"seed (\d+)", done.stdout)
        if done.returncode and why:
            print(f"ok     {name}: seed {seed[1] if seed else '?'}: {next(g for g in why.groups() if g)}"[:230], flush=True)
        else:
            print(f"not ok {name}: not noticed", flush=True)
            unnoticed += 1
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
