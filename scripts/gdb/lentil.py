# SPDX-License-Identifier: BSD-2-Clause
"""gdb commands that know the kernel: lentil-threads, lentil-procs, lentil-loans, lentil-tasks, lentil-bt THREAD.

  gdb-multiarch build/lentil.elf -x scripts/gdb/lentil.py -ex 'target remote :1234'

They read memory only, so they work on a running (stopped) machine, at a breakpoint and after a panic.
"""

import re

import gdb


def field_offset(type_name, field):
    return int(gdb.parse_and_eval(f"(unsigned long)&(({type_name}*)0)->{field}"))


def pointer_at(address):
    return int(gdb.Value(address).cast(gdb.lookup_type("unsigned long").pointer()).dereference())


def atomic(value):
    """The plain value inside a std::atomic or a Word, however the library nests it."""
    for name in ("_M_i", "_M_b", "value_"):
        try:
            return atomic(value[name])
        except (gdb.error, RuntimeError):
            continue
    try:
        return atomic(value["_M_p"])
    except (gdb.error, RuntimeError):
        return value


def text(value):
    return value.string(errors="replace") if value.type.code != gdb.TYPE_CODE_PTR or int(value) else "-"


def enum_name(value):
    return str(atomic(value)).rsplit("::", 1)[-1]


def boost_list(list_address, type_name, hook):
    """Members of a boost::intrusive::list: a ring of nodes whose first word is the next one, the list is one of them."""
    offset = field_offset(type_name, hook)
    node = pointer_at(list_address)
    while node not in (0, list_address):
        yield gdb.Value(node - offset).cast(gdb.lookup_type(type_name).pointer()).dereference()
        node = pointer_at(node)


def threads():
    thread = gdb.parse_and_eval("'lentil::(anonymous namespace)::all_threads'")["first_"]
    while int(thread):
        yield thread.dereference()
        thread = thread["all_link"]["next"]


def procs():
    address = int(gdb.parse_and_eval("(unsigned long)&lentil::all_procs"))
    yield from boost_list(address, "lentil::Proc", "all_link")


def uthreads(proc):
    yield from boost_list(int(proc["uthreads"].address), "lentil::Uthread", "proc_link")


def reference(ref_pointer):
    return int(ref_pointer["p_"])


def describe_uthread(uthread):
    return f"{int(uthread['tid'])} ({text(uthread['name'])})"


class Threads(gdb.Command):
    """Every Mach thread: where it is, what it waits for, whom it executes as."""

    def __init__(self):
        super().__init__("lentil-threads", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        print(f"{'address':18} {'id':>4} {'state':8} {'hart':>4} {'waits on':12} {'task':18} executes as")
        for t in threads():
            hart = atomic(t["hart"])
            index = int(hart.dereference()["index"]) if int(hart) else "-"
            waiting = enum_name(t["state"]) == "waiting"
            channel = t["wait_channel"] if t["wait_channel"].type.code == gdb.TYPE_CODE_PTR else atomic(t["wait_channel"])
            who = describe_uthread(t["uthread"].dereference()) if int(t["uthread"]) else f"kernel thread {text(t['name'])}"
            print(f"{int(t.address):#18x} {int(t['id']):4} {enum_name(t['state']):8} {index:>4} "
                  f"{text(channel) if waiting else '-':12} {int(t['task']):#18x} {who}")


class Procs(gdb.Command):
    """Every process with its uthreads: executing (and on which thread), parked, or dead."""

    def __init__(self):
        super().__init__("lentil-procs", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        for p in procs():
            parent = int(p["parent"].dereference()["pid"]) if int(p["parent"]) else 0
            print(f"{int(p['pid']):6} parent {parent:<6} {enum_name(p['state']):7} {text(p['comm']):16} "
                  f"task {reference(p['task']):#x}  at {int(p.address):#x}")
            for u in uthreads(p):
                print(f"         uthread {int(u['tid']):6} {enum_name(u['state']):10} thread {int(atomic(u['thread'])):#x}")


class Loans(gdb.Command):
    """Open loans: who lent a thread to whom."""

    def __init__(self):
        super().__init__("lentil-loans", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        none = True
        for p in procs():
            if not int(p["loan"]):
                continue
            none = False
            loan = p["loan"].dereference()
            lender = reference(loan["lender"])
            if lender:
                u = loan["lender"]["p_"].dereference()
                who = f"uthread {int(u['tid'])} of process {int(u['proc'].dereference()['pid'])}"
            else:
                who = "a lender that is gone"
            print(f"{enum_name(loan['state']):9} borrower {int(p['pid'])} ({text(p['comm'])}), lender {who}, "
                  f"thread {int(loan['thread']):#x}")
        if none:
            print("no open loans")


class Tasks(gdb.Command):
    """Tasks with their maps and threads."""

    def __init__(self):
        super().__init__("lentil-tasks", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        tasks = {}
        for t in threads():
            if int(t["task"]):
                tasks.setdefault(int(t["task"]), []).append(int(t["id"]))
        for address, members in sorted(tasks.items()):
            task = gdb.Value(address).cast(gdb.lookup_type("lentil::Task").pointer()).dereference()
            print(f"{address:#18x} map {reference(task['map_']):#x} threads {', '.join(map(str, members))}")


def stack_use(start, pc):
    """How much stack the function at `start` has taken by `pc`, and how far below the top of that its return address lies (0: in
    ra). As arch/riscv/report.cpp reads it from the code: there are no frame pointers."""
    def signed(value, width):
        return value - (1 << width) if value >> (width - 1) & 1 else value
    code = bytes(gdb.selected_inferior().read_memory(start, pc - start))
    size = ra_from_top = t0 = at = 0
    while at < len(code):
        word = int.from_bytes(code[at:at + 4], "little")
        more = above = None
        if word & 3 != 3:
            c, at = word & 0xffff, at + 2
            imm6 = signed(c >> 7 & 0x20 | c >> 2 & 0x1f, 6)
            if c & 0xef83 == 0x6101:
                more = signed(c >> 3 & 0x200 | c << 4 & 0x180 | c << 1 & 0x40 | c << 3 & 0x20 | c >> 2 & 0x10, 10)
            elif c & 0xef83 == 0x0101:
                more = imm6
            elif c & 0xe07f == 0xe006:
                above = c >> 7 & 0x38 | c >> 1 & 0x1c0
            elif c & 0xef83 == 0x6281:
                t0 = imm6 << 12
            elif c & 0xef83 == 0x4281:
                t0 = imm6
            elif c & 0xef83 in (0x0281, 0x2281):
                t0 += imm6
            elif c == 0x9116:
                more = t0
        else:
            at += 4
            if word & 0xfffff == 0x10113:
                more = signed(word >> 20, 12)
            elif word & 0x01fff07f == 0x00113023:
                above = signed(word >> 20 & 0xfe0 | word >> 7 & 0x1f, 12)
            elif word & 0xfff == 0x2b7:
                t0 = signed(word & 0xfffff000, 32)
            elif word & 0xfffff == 0x293:
                t0 = signed(word >> 20, 12)
            elif word & 0xfffff in (0x28293, 0x2829b):
                t0 += signed(word >> 20, 12)
            elif word == 0x510133:
                more = t0
        if more is not None and more < 0:
            size -= more
        if above is not None and ra_from_top == 0:
            ra_from_top = size - above
    return size, ra_from_top


class Backtrace(gdb.Command):
    """lentil-bt ID: the kernel backtrace of a thread that does not run, by the id that lentil-threads shows."""

    def __init__(self):
        super().__init__("lentil-bt", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        wanted = int(argument)
        for t in threads():
            if int(t["id"]) != wanted:
                continue
            pc, sp = int(t["context"]["ra"]), int(t["context"]["sp"])
            for _ in range(40):
                # The linker's symbol: what was inlined there has no frame of its own.
                symbol = re.match(r"(.*?)(?: \+ (\d+))? in section", gdb.execute(f"info symbol {pc - 1:#x}", to_string=True))
                line = gdb.find_pc_line(pc)
                where = f"{line.symtab.filename}:{line.line}" if line.symtab else "?"
                print(f"  {pc:#x} {symbol[1] if symbol else '?'} at {where}")
                if not symbol:
                    break
                size, ra_from_top = stack_use(pc - 1 - int(symbol[2] or 0), pc)
                sp += size
                if ra_from_top == 0:
                    break
                pc = pointer_at(sp - ra_from_top)
            return
        print(f"no thread {wanted}")


for command in (Threads, Procs, Loans, Tasks, Backtrace):
    command()
