# SPDX-License-Identifier: BSD-2-Clause
"""The last result of every test sentence, kept in build/test-logs/results.tsv from run to run: `pass` or `fail`, a tab, the
sentence. Nothing is recorded while LENTIL_TEST_UNRECORDED is set (for runs on a kernel that was broken on purpose)."""
import os
import re

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATH = os.path.join(TOP, "build/test-logs/results.tsv")


def load():
    """{sentence: True if it passed}"""
    try:
        with open(PATH, encoding="utf-8") as file:
            lines = [line.rstrip("\n").split("\t", 1) for line in file]
    except FileNotFoundError:
        return {}
    return {line[1]: line[0] == "pass" for line in lines if len(line) == 2}


def record(results):
    """Adds {sentence: passed} to what is known."""
    if not results or os.environ.get("LENTIL_TEST_UNRECORDED"):
        return
    known = load()
    for sentence, passed in results.items():
        sentence = " ".join(sentence.split())
        known[sentence] = passed
        # A failing sentence may have been cut at a colon that was its own.
        for colon in re.finditer(": ", sentence if passed else ""):
            known.pop(sentence[:colon.start()], None)
    os.makedirs(os.path.dirname(PATH), exist_ok=True)
    fresh = f"{PATH}.{os.getpid()}"
    with open(fresh, "w", encoding="utf-8") as file:
        file.writelines(f"{'pass' if known[sentence] else 'fail'}\t{sentence}\n" for sentence in sorted(known))
    os.replace(fresh, PATH)
