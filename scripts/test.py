# SPDX-License-Identifier: BSD-2-Clause
"""Builds everything and runs the tests; the last line is `N passed, N failed`.

    scripts/test                    all of it: lint, host, model, boot
    scripts/test STAGE [PATTERN]    one stage; PATTERN chooses host programs, or boot tests by their sentence
    scripts/test --ad-faults [PATTERN]
                                    the boot tests on a debug kernel of another build, in which user pages fault at their first
                                    access and at their first write, as harts may have it that do not set A and D by themselves

lint   layers, file sizes, licences, formatting
host   doctest programs on this machine, under ASan and UBSan
model  the Promela model of the loan, checked by SPIN
boot   machines in QEMU; logs are in build/test-logs
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time

import results

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STAGES = ("lint", "host", "model", "boot")
SOURCE_ENDINGS = (".hpp", ".cpp", ".h", ".c", ".S", ".py", ".pml")
TALLY = re.compile(r"^(\d+) passed, (\d+) failed$", re.MULTILINE)


class Counts:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.ends = {}  # sentence -> passed

    def result(self, sentence, why=None):
        """One test's end: passed, unless there is a reason why not."""
        self.ends[sentence] = not why
        if why:
            self.failed += 1
            print(f"not ok {sentence}: {why}", flush=True)
        else:
            self.passed += 1
            print(f"ok     {sentence}", flush=True)


def output_of(*command, cwd=TOP):
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, check=False)
    return done.stdout, done.returncode


def first_line(text):
    return (text.strip().splitlines() or ["(no output)"])[0]


# ---- lint ------------------------------------------------------------------------------------------------------------
def source_files():
    for top in ("kernel", "arch", "platform", "user", "test", "scripts"):
        for folder, folders, names in os.walk(os.path.join(TOP, top)):
            folders[:] = [name for name in folders if name != "__pycache__"]
            for name in names:
                if name.endswith(SOURCE_ENDINGS):
                    yield os.path.relpath(os.path.join(folder, name), TOP)


def lint(counts, _pattern):
    text, code = output_of("scripts/check_layers.py")
    print(text, end="")
    counts.result("includes point down the layers, and kernel/ names no CSR and no board", code and first_line(text))

    text, code = output_of("scripts/check_layers.py", "test/layers/must_fail")
    with open(os.path.join(TOP, "test/layers/expected.txt"), encoding="utf-8") as file:
        missed = [line for line in file.read().splitlines() if line not in text.splitlines()]
    why = f"not noticed: {missed[0]}" if missed else None if code == 1 else f"exit code {code}"
    counts.result("the layer check notices every offence of its sample", why)

    long_files, bare_files = [], []
    for path in source_files():
        with open(os.path.join(TOP, path), encoding="utf-8") as file:
            lines = file.read().splitlines()
        if len(lines) > 800:
            long_files.append(f"{path} has {len(lines)}")
        if not any("SPDX-License-Identifier" in line for line in lines[:3]):
            bare_files.append(path)
    counts.result("no source file has more than 800 lines", ", ".join(long_files))
    counts.result("every source file names its licence", ", ".join(bare_files))

    # Releases of clang-format disagree about details; Debian 12's is the one that decides.
    formatter = shutil.which("clang-format-14") or shutil.which("clang-format")
    text, code = output_of(formatter, "--dry-run", "-Werror",
                           *(path for path in source_files() if path.endswith((".hpp", ".cpp", ".h", ".c"))))
    counts.result("every source file is formatted as .clang-format has it", code and first_line(text))

    pages = sorted(glob.glob(os.path.join(TOP, "docs/man/*.[0-9]")))
    text, code = output_of("mandoc", "-T", "lint", "-W", "warning", *pages)
    counts.result("mandoc finds no fault in the manual pages", code and first_line(text))

    text, code = output_of("scripts/conformance.py", "--check")
    counts.result("rows, tests and docs/conformance.md fit together, and enough rows have a test", code and first_line(text))


# ---- host ------------------------------------------------------------------------------------------------------------
def host(counts, pattern):
    text, _ = output_of("meson", "introspect", "--tests", os.path.join(TOP, "build"))
    for test in sorted(json.loads(text), key=lambda one: one["name"]):
        if pattern and not re.search(pattern, test["name"], re.IGNORECASE):
            continue
        started = time.monotonic()
        built = any(suite.split(":")[-1] == "build" for suite in test["suite"])  # a check of what was built, no doctest
        text, code = output_of(*test["cmd"], *([] if built else ["--duration=true"]), cwd=os.path.join(TOP, "build"))
        if built:
            counts.result(f"build {test['name']}", code and (text.strip().splitlines() or [f"exit code {code}"])[-1])
            continue
        cases = re.search(r"test cases:\s*(\d+) \|\s*(\d+) passed \|\s*(\d+) failed", text)
        broken = []  # the parts of the output that are not a case that passed
        for part in re.split(r"^={79}\n", text, flags=re.MULTILINE):
            end = re.search(r"^[\d.]+ s: (.*)$", part, re.MULTILINE)
            passed = end and not re.search(r": (FATAL )?ERROR: ", part)
            if end:
                counts.ends[f"host {test['name']}: {end[1]}"] = bool(passed)
            if not passed:
                broken.append(part)
        if code or not cases or int(cases[1]) == 0:
            print("\n".join(broken))
        if cases:
            counts.passed += int(cases[2])
            counts.failed += int(cases[3])
            print(f"{'not ok' if int(cases[3]) else 'ok    '} host {test['name']}: {cases[2]} of {cases[1]} cases passed "
                  f"({time.monotonic() - started:.1f} s)", flush=True)
            for line in re.findall(r"^explored .*$", text, re.MULTILINE):
                print(f"       {line}", flush=True)
            if int(cases[1]) == 0 or (code and not int(cases[3])):
                counts.result(f"host {test['name']} runs to its end", f"{cases[1]} cases, exit code {code}")
        else:
            counts.result(f"host {test['name']} runs to its end", f"exit code {code}")


# ---- model, boot: programs of their own that print a tally last ------------------------------------------------------
def run_tallied(counts, command):
    tail = ""
    with subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, text=True, errors="replace",
                          stdin=subprocess.DEVNULL) as process:
        for line in process.stdout:
            if not TALLY.match(line):
                print(line, end="", flush=True)
            if end := re.match(r"(ok|not ok) +((?:\w+: )?[^:\n]*)(.*)", line):  # `not ok NAME: SENTENCE: why`
                counts.ends[end[2] + end[3] if end[1] == "ok" else end[2]] = end[1] == "ok"
            tail = line
    tally = TALLY.match(tail)
    if not tally:
        counts.result(f"{command[0]} runs to its end", f"exit code {process.returncode}, no tally")
        return
    counts.passed += int(tally[1])
    counts.failed += int(tally[2])
    if process.returncode and not int(tally[2]) and int(tally[1]):
        counts.result(f"{command[0]} runs to its end", f"exit code {process.returncode}")


def model(counts, _pattern):
    if os.path.exists(os.path.join(TOP, "test/model/run")):
        run_tallied(counts, ["test/model/run"])


def boot(counts, pattern):
    run_tallied(counts, ["test/boot/run.py"] + ([pattern] if pattern else []))


def main():
    words = sys.argv[1:]
    ad_faults = words[:1] == ["--ad-faults"]
    if ad_faults:
        words[:1] = ["boot"]
        os.environ["LENTIL_TEST_KERNEL"] = os.path.join(TOP, "build/ad-faults/Image")
    if words and words[0] not in STAGES:
        print(__doc__, file=sys.stderr)
        return 2
    stages = words[:1] or STAGES
    pattern = words[1] if len(words) > 1 else None

    counts = Counts()
    if stages != ["lint"]:
        started = time.monotonic()
        builds = [["scripts/build"] + (["boot-tests"] if stages == ["boot"] else [])]
        if "boot" in stages:
            builds.append(["scripts/build", "--checks", *(["--ad-faults"] if ad_faults else []), "boot"])
        for build in builds:
            if subprocess.run(build, cwd=TOP, stdin=subprocess.DEVNULL, check=False).returncode:
                counts.result(f"{' '.join(build)} succeeds", "the build failed")
                print(f"{counts.passed} passed, {counts.failed} failed")
                return 1
        print(f"built in {time.monotonic() - started:.0f} s", flush=True)
    for stage in stages:
        started = time.monotonic()
        print(f"---- {stage}", flush=True)
        {"lint": lint, "host": host, "model": model, "boot": boot}[stage](counts, pattern)
        print(f"---- {stage} took {time.monotonic() - started:.0f} s", flush=True)
    results.record(counts.ends)
    print(f"{counts.passed} passed, {counts.failed} failed", flush=True)
    return 0 if counts.passed and not counts.failed else 1


if __name__ == "__main__":
    sys.exit(main())
