# SPDX-License-Identifier: BSD-2-Clause
"""Draws a timeline as SVG: the whole of a command, and one of its loans closer, where one thread changes its colour because
it executes as somebody else."""
from html import escape

WIDTH, LEFT, RIGHT = 1200, 168, 24
ROW, GAP, BAR = 30, 26, 16
INK, SOFT, FAINT, PAPER = "#1f2933", "#616e7c", "#e4e7eb", "#ffffff"
COLOURS = ["#3d4f66", "#2a78c2", "#d1495b", "#2e9e6b", "#e0912f", "#7b5ea7", "#1ba3a3", "#b5577f", "#6b8e23", "#a0522d"]
FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif"


def nice_step(length, most):
    """1, 2 or 5 times a power of ten, at most `most` of which fit into `length`."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if length / (step * factor) <= most:
                return step * factor
        step *= 10


def time_text(ns):
    for unit, size in (("ms", 1_000_000), ("µs", 1000)):
        if ns >= size:
            return f"{ns / size:g} {unit}"
    return f"{ns} ns"


class Picture:
    def __init__(self, trace):
        self.trace, self.out, self.y = trace, [], 0
        order = [p.pid for p in sorted(trace.processes.values(), key=lambda p: (p.start, p.pid)) if p.pid != 1]
        seen = {r.pid for r in trace.running}
        self.colours = {pid: COLOURS[i % len(COLOURS)] for i, pid in enumerate(pid for pid in order if pid in seen)}

    def colour(self, pid):
        return self.colours.get(pid, "#9aa5b1")

    def rect(self, x, y, w, h, fill, extra=""):
        self.out.append(f'<rect x="{x:.2f}" y="{y:.2f}" width="{max(w, 0.8):.2f}" height="{h:.2f}" fill="{fill}" {extra}/>')

    def text(self, x, y, words, size=12, fill=INK, anchor="start", extra=""):
        self.out.append(f'<text x="{x:.2f}" y="{y:.2f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}" {extra}>'
                        f"{escape(words)}</text>")

    def line(self, x1, y1, x2, y2, colour=FAINT, width=1, extra=""):
        self.out.append(f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" stroke="{colour}" '
                        f'stroke-width="{width}" {extra}/>')

    # -- one panel: threads, processes, harts over one stretch of time --------------------------------------------------
    def panel(self, heading, start, end, close=None):
        """`close`: the one loan that it is about."""
        trace = self.trace
        scale = (WIDTH - LEFT - RIGHT) / (end - start)

        def x(time):
            return LEFT + (min(max(time, start), end) - start) * scale

        def inside(span):
            return span.start < end and (trace.end if span.end is None else span.end) > start

        self.y += 34
        self.text(LEFT - 144, self.y, heading, 15, INK, extra='font-weight="600"')
        self.y += 10
        top = self.y
        grid = len(self.out)
        self.threads(x, inside, close)
        rows = self.processes(x, inside, start, end, close)
        self.loans(x, inside, rows, close)
        self.harts(x, inside)
        bottom = self.y + 4
        step = nice_step(end - start, 10)
        marks, self.out = self.out, []
        for i in range(int((end - start) / step) + 1):
            at = x(start + i * step)
            self.line(at, top + 4, at, bottom)
            self.text(at, bottom + 14, time_text(i * step) if i else "0", 11, SOFT, "middle")
        self.out = marks[:grid] + self.out + marks[grid:]
        self.y = bottom + 20

    def section(self, name, about):
        self.y += GAP
        self.text(24, self.y, name, 12, INK, extra='font-weight="600"')
        self.text(24 + 7.6 * len(name) + 10, self.y, about, 11.5, SOFT)
        self.y += 8

    def label(self, words, colour=INK):
        self.text(LEFT - 12, self.y + ROW / 2 + 4, words, 12, colour, "end")

    def bar_text(self, left, right, y, words, colour):
        if right - left > 6.6 * len(words) + 6:
            self.text((left + right) / 2, y, words, 11, colour, "middle")

    def threads(self, x, inside, close):
        trace = self.trace
        shown = [(t, [s for s in spans if inside(s)]) for t, spans in sorted(trace.identities.items())]
        if close:
            shown = [(t, spans) for t, spans in shown if any(s.pid in (close.lender, close.child) for s in spans)]
        self.section("Mach threads", "what runs; the colour says as whom, a full colour that it has a hart")
        for thread, spans in shown:
            if not spans:
                continue
            self.label(f"thread {thread}")
            middle = self.y + ROW / 2
            for s in spans:
                self.rect(x(s.start), middle - BAR / 2, x(s.end) - x(s.start), BAR, self.colour(s.pid), 'opacity="0.25"')
            for r in trace.running:
                if r.thread == thread and inside(r):
                    self.rect(x(r.start), middle - BAR / 2, x(r.end) - x(r.start), BAR, self.colour(r.pid))
            for s in spans:
                left, right = x(s.start), x(s.end)
                runs = any(r.thread == thread and x(r.start) <= (left + right) / 2 <= x(r.end) for r in trace.running)
                if close:
                    self.bar_text(left, right, middle + 4, f"as {trace.who(s.pid, s.end)}", PAPER if runs else INK)
            for loan in trace.loans:
                if loan.thread == thread and inside(loan):
                    stop = trace.end if loan.end is None else loan.end
                    self.rect(x(loan.start), middle - BAR / 2 - 2.5, x(stop) - x(loan.start), BAR + 5, "none",
                              f'stroke="{INK}" stroke-width="1.6" rx="2"')
            self.y += ROW

    def processes(self, x, inside, start, end, close):
        trace = self.trace
        rows = {}
        self.section("Processes", "who it is; hatched: parked, its thread is lent; a ring: its end")
        for pid in self.colours:
            process = trace.processes[pid]
            if process.start >= end or (process.end is not None and process.end <= start) or (
                    close and pid not in (close.lender, close.child)):
                continue
            self.label(trace.who(pid, min(end, trace.end)), self.colour(pid))
            middle = self.y + ROW / 2
            rows[pid] = middle
            stop = end if process.end is None else process.end
            self.line(x(process.start or start), middle, x(stop), middle, self.colour(pid), 2, 'opacity="0.45"')
            for loan in trace.loans:
                if loan.lender == pid and inside(loan):
                    stop_loan = trace.end if loan.end is None else loan.end
                    self.rect(x(loan.start), middle - BAR / 2, x(stop_loan) - x(loan.start), BAR, "url(#parked)",
                              f'stroke="{self.colour(pid)}" stroke-width="1"')
            for r in trace.running:
                if r.pid == pid and inside(r):
                    self.rect(x(r.start), middle - BAR / 2, x(r.end) - x(r.start), BAR, self.colour(pid))
            if process.end is not None and start < process.end < end:
                self.out.append(f'<circle cx="{x(process.end):.2f}" cy="{middle:.2f}" r="3.4" fill="{PAPER}" '
                                f'stroke="{self.colour(pid)}" stroke-width="2"/>')
            self.y += ROW
            if close:
                wanted = ("clone", "clone3", "wait4") if pid == close.lender else ("execve", "exit_group")
                self.call_marks(x, inside, pid, middle, wanted)
        return rows

    def call_marks(self, x, inside, pid, middle, wanted):
        """Names of the calls that begin and end a loan, under the process that makes them."""
        for call in self.trace.calls:
            if call.pid == pid and inside(call) and call.name in wanted:
                left, right = x(call.start), x(call.end)
                if right - left < 12:
                    continue
                below = middle + BAR / 2 + 4
                self.line(left, below, right, below, SOFT, 1.4)
                self.line(left, below - 2.5, left, below + 2.5, SOFT, 1.4)
                self.line(right, below - 2.5, right, below + 2.5, SOFT, 1.4)
                words = "vfork" if call.name == "clone" and any(
                    loan.lender == pid and call.start <= loan.start <= call.end for loan in self.trace.loans) else call.name
                if right - left > 5.6 * len(words):
                    self.text((left + right) / 2, below + 12, words, 10.5, SOFT, "middle")
                else:
                    self.text(left, below + 12, words, 10.5, SOFT)
        self.y += 8

    def loans(self, x, inside, rows, close):
        for loan in self.trace.loans:
            if not inside(loan) or loan.lender not in rows or loan.child not in rows:
                continue
            above, below = rows[loan.lender], rows[loan.child]
            sign = 1 if below > above else -1
            ends = [(loan.start, above, below, f"lends thread {loan.thread}", "end")]
            if loan.end is not None and loan.how != "gift":
                ends.append((loan.end, below, above, f"hands it back: {loan.how}", "start"))
            for time, first, last, words, anchor in ends:
                at, way = x(time), 1 if last > first else -1
                self.line(at, first + way * BAR / 2, at, last - way * (BAR / 2 + 1), INK, 1.5 if close else 1,
                          'marker-end="url(#tip)"')
                if close:
                    side = -7 if anchor == "end" else 7
                    self.text(at + side, (above + below) / 2 + 4 - sign * 3, words, 11.5, INK, anchor)

    def harts(self, x, inside):
        self.section("Harts", "where")
        for hart in sorted({e.hart for e in self.trace.events}):
            self.label(f"hart {hart}")
            middle = self.y + ROW / 2
            self.line(x(self.trace.start), middle, x(self.trace.end), middle, FAINT, 2)
            for r in self.trace.running:
                if r.hart == hart and inside(r):
                    self.rect(x(r.start), middle - BAR / 2, x(r.end) - x(r.start), BAR, self.colour(r.pid))
            self.y += ROW


def window(trace):
    """From the first process that the command made to the end of the last."""
    made = [p for p in trace.processes.values() if p.start > 0]
    if not made:
        return trace.start, trace.end
    ended = [p.end for p in made if p.end is not None]
    start, end = min(p.start for p in made), max(ended, default=trace.end)
    margin = (end - start) * 0.02
    return max(start - margin, trace.start), min(end + margin, trace.end)


def draw(trace, title):
    """The picture as text."""
    picture = Picture(trace)
    start, end = window(trace)
    picture.y = 36
    picture.text(24, picture.y, "A thread, lent and handed back", 21, INK, extra='font-weight="700"')
    picture.y += 24
    harts = len({e.hart for e in trace.events})
    words = f"recorded by Lentil's probes on {harts} hart{'s' if harts > 1 else ''}"
    picture.text(24, picture.y, (f"$ {title}   ·   " if title else "") + words, 13, SOFT)
    picture.panel("All of it", start, end)
    closed = [loan for loan in trace.loans if loan.end is not None and start <= loan.start and loan.end <= end]
    if closed:
        loan = sorted(closed, key=lambda one: one.end - one.start)[len(closed) // 2]
        margin = (loan.end - loan.start) * 0.55
        picture.y += 14
        picture.panel(f"One loan, closer: process {loan.lender} calls vfork, its thread goes on as process {loan.child}",
                      loan.start - margin, loan.end + margin, loan)
    height = picture.y + 18
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
            f'height="{height:.0f}" font-family="{FONT}" role="img">\n'
            f"<title>{escape('A thread lent and handed back: ' + title)}</title>\n"
            '<defs><pattern id="parked" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
            f'<rect width="6" height="6" fill="{PAPER}"/><rect width="2" height="6" fill="#c3cbd5"/></pattern>'
            '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0,0.6 L7.5,4 L0,7.4 z" fill="{INK}"/></marker></defs>\n'
            f'<rect width="{WIDTH}" height="{height:.0f}" fill="{PAPER}"/>\n')
    return head + "\n".join(picture.out) + "\n</svg>\n"
