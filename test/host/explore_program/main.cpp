// SPDX-License-Identifier: BSD-2-Clause
// What the explored kernel runs: processes that make processes and threads, lend, signal, stop, kill and end each other as
// the seed says, and that know what must come of it. /init is this program, and what it execs too.
#include "terminals.hpp"

namespace {

// ---- what a borrower does ----------------------------------------------------------------------------------------------

long family(long depth);

struct Loan {
    Mailbox box = {}; ///< the lender's
    long depth = 0, code = 0;
    int status = 0; ///< what the child is to end with: written by the child, for the lender shares its memory
    volatile long seen = 0, pid = 0;
    volatile bool orphan = false; ///< the lender's process ends meanwhile
    volatile bool execed = false;
    volatile long let_go = 0; ///< for a borrower that waits
};

/// The lender handles nothing while the loan is out.
void check_lender_waits(const Loan& loan) {
    if (!loan.orphan)
        expect(loan.box.handled == 0, "a lender handled a signal during the loan", loan.box.handled);
}

long thread_of_borrower(void* argument) {
    Loan& loan = *static_cast<Loan*>(argument);
    pause_a_little();
    check_lender_waits(loan);
    return 0;
}

long nested_loan(Loan& outer);

struct Action {
    unsigned long handler, flags, mask;
};

/// What a borrower does to its mask and handlers is its own.
void change_own_signals() {
    const unsigned long some = 1ul << (sigrt - 1) | 1ul << (sigusr1 - 1);
    const Action ignore = {1, 0, 0};
    syscall6(nr_sigprocmask, 0, word(&some), 0, 8);
    syscall6(nr_sigaction, sigusr1, word(&ignore), 0, 8);
}
void check_own_signals() {
    unsigned long mask = 77;
    Action action = {77, 77, 77};
    syscall6(nr_sigprocmask, 0, 0, word(&mask), 8);
    syscall6(nr_sigaction, sigusr1, 0, word(&action), 8);
    expect(mask == 0, "a lender's mask is not what it was", static_cast<long>(mask));
    expect(action.handler == 0, "a lender's handler is not what it was", static_cast<long>(action.handler));
}

/// Ends at once.
long leave(void* argument) { return static_cast<Loan*>(argument)->code; }

/// Stays until somebody lets it go or ends it.
long stay(void* argument) {
    Loan& loan = *static_cast<Loan*>(argument);
    const long pid = getpid();
    loan.seen = pid;
    loan.pid = pid;
    while (!loan.let_go)
        pause_a_little();
    return loan.code;
}

/// Stays until its lender's process is gone: so that has to go first.
long outlive(void* argument) {
    while (syscall6(nr_getppid) != 1)
        sleep_us(100 + random(1000));
    return static_cast<Loan*>(argument)->code;
}

long borrow(void* argument) {
    Loan& loan = *static_cast<Loan*>(argument);
    loan.pid = getpid();
    expect(loan.pid == gettid(), "a child's first thread has another number", loan.pid, gettid());
    expect(loan.pid != loan.box.pid, "a borrower is its lender");
    loan.seen = loan.pid;
    loan.status = ended(loan.code);
    for (long steps = random(3); steps >= 0; steps--) {
        switch (random(11)) {
        case 10:
            if (loan.depth < most_depth) {
                const long code = random(100), pid = spawn(most_depth, code);
                if (pid > 0) {
                    cover(Case::spawned_by_borrower);
                    reap(pid, ended(code));
                }
            }
            break;
        case 9: change_own_signals(); break;
        case 0: pause_a_little(); break;
        case 1:
            for (long n = random(3); n >= 0 && !loan.orphan; n--)
                send(loan.box);
            cover(Case::signal_waited_for_lender);
            pause_a_little();
            check_lender_waits(loan);
            break;
        case 2:
            if (loan.depth < most_depth)
                nested_loan(loan);
            break;
        case 3: {
            ThreadPlan plan{thread_of_borrower, &loan};
            if (start_thread(plan, one_in(3))) {
                cover(Case::thread_made_in_loan);
                join(plan);
            }
            break;
        }
        case 4: {
            const long result = syscall6(nr_execve, word("/nothing"), 0, 0);
            expect(result == e_noent || result == e_nomem, "exec of nothing does not say so", result);
            break;
        }
        case 5:
            if (loan.depth < most_depth) {
                const long code = random(100);
                Loan own{.depth = loan.depth + 2, .code = code};
                const long pid = born([](void* a) { return static_cast<Loan*>(a)->code; }, &own, as_fork);
                if (pid > 0)
                    reap(pid, ended(code));
            }
            break;
        case 6: {
            const long signal = one_in(2) ? sigkill : sigterm;
            if (!one_in(3))
                break;
            loan.status = killed(signal);
            cover(Case::killed_borrower);
            kill(loan.pid, signal);
            expect(false, "a borrower lives on after its fatal signal");
            break;
        }
        case 7:
            if (loan.depth < most_depth && one_in(2)) {
                cover(Case::execed_from_loan);
                loan.execed = true;
                const long error = exec(loan.depth + 1, loan.code);
                expect(error == e_nomem, "exec fails", error);
            }
            break;
        default: yield();
        }
    }
    return loan.code;
}

/// Lends this thread and checks what comes back.
void lend(Loan& loan, Body body = borrow) {
    loan.box.pid = getpid();
    loan.box.tid = gettid();
    const unsigned long none = 0; // an outer borrower may have changed it
    const Action otherwise = {0, 0, 0};
    syscall6(nr_sigprocmask, 2, word(&none), 0, 8);
    syscall6(nr_sigaction, sigusr1, word(&otherwise), 0, 8);
    const bool native = one_in(3);
    if (native)
        cover(Case::native_vfork);
    const long pid = born(body, &loan, native ? as_native_vfork : as_vfork);
    if (pid < 0)
        return;
    expect(getpid() == loan.box.pid && gettid() == loan.box.tid, "a lender came back as another");
    if (!chaos) {
        expect(loan.seen == pid, "vfork returned before its child ran, or not its number", loan.seen, pid);
        expect(loan.box.handled == loan.box.sent, "signals for the lender are lost", loan.box.handled, loan.box.sent);
    }
    check_own_signals();
    if (loan.execed || chaos || one_in(2)) {
        reap(pid, loan.status);
        return;
    }
    int status = -1;
    const long found = wait4(pid, &status, w_nohang);
    expect(found == pid, "vfork returned before its child can be waited for", found, pid);
    expect(status == loan.status, "wait4 tells another status", status, loan.status, pid);
    cover(Case::waited);
}

long nested_loan(Loan& outer) {
    cover(Case::nested_vfork);
    Loan loan{.depth = outer.depth + 1, .code = random(100)};
    lend(loan);
    check_lender_waits(outer);
    return 0;
}

// ---- what a process does -----------------------------------------------------------------------------------------------

long forked_child(void* argument) {
    const long depth = word(argument);
    return family(depth);
}

/// The child's memory is a copy.
long memory_child(void* argument) {
    volatile long& cell = *static_cast<volatile long*>(argument);
    const long was = cell;
    cell = 1;
    pause_a_little();
    expect(cell == 1, "a process sees what another wrote", cell);
    return was;
}

struct Mail {
    Mailbox box;
    volatile long wanted;
};
/// Waits for all of its mail, in one of three ways that lose none.
long mail_child(void* argument) {
    Mail& mail = *static_cast<Mail*>(argument);
    mail.box.pid = getpid();
    const unsigned long set = 1ul << (sigrt - 1), none = 0;
    const long way = random(3);
    if (way != 0)
        syscall6(nr_sigprocmask, 0, word(&set), 0, 8);
    while (mail.box.handled < mail.wanted) {
        Siginfo info = {};
        switch (way) {
        case 0: sleep_us(100 + random(1000)); break;
        case 1: {
            const long result = syscall6(nr_sigsuspend, word(&none), 8);
            expect(result == e_intr, "sigsuspend returns something else", result);
            break;
        }
        default: {
            const long result = syscall6(nr_sigtimedwait, word(&set), word(&info), 0, 8);
            expect(result == sigrt || result == e_intr, "sigtimedwait returns something else", result);
            if (result == sigrt)
                on_signal(sigrt, &info, nullptr);
        }
        }
    }
    if (way != 0)
        syscall6(nr_sigprocmask, 1, word(&set), 0, 8);
    expect(mail.box.handled == mail.wanted, "more signals than were sent", mail.box.handled, mail.wanted);
    return 42;
}

long stop_child(void* argument) {
    const bool lends = one_in(2);
    if (lends)
        cover(Case::lender_stopped);
    while (static_cast<Mail*>(argument)->box.handled == 0)
        if (lends) {
            Loan loan{.depth = most_depth, .code = random(100)};
            lend(loan);
        } else {
            sleep_us(100 + random(1000));
        }
    return 43;
}

/// The main thread lends itself; another ends or replaces the process, or its borrower, meanwhile.
struct Siblings {
    Loan loan;
    long way;
    long code;
    Body first = nullptr; ///< what the main thread's first borrower does
    Mailbox box = {};     ///< the whole process's: only the other thread can handle anything
    volatile bool over = false;
};
long sibling(void* argument) {
    Siblings& all = *static_cast<Siblings*>(argument);
    if (focus == 4)
        for (long n = random(12); n > 0; n--)
            yield();
    else
        pause_a_little();
    switch (all.way) {
    case 0:
        all.loan.orphan = true;
        cover(Case::sibling_ended_lender);
        exit_group(all.code);
    case 1: {
        all.loan.orphan = true;
        cover(Case::sibling_execed);
        while (all.first == stay && all.loan.pid == 0)
            sleep_us(random(300));
        // A borrower that stays goes when the new image is there: exec cannot wait for it.
        const long error = exec(most_depth, all.code, all.loan.pid);
        expect(error == e_nomem, "exec fails", error);
        all.loan.let_go = 1; // there is no new image that ends it
        exit_group(all.code);
    }
    case 2:
        all.loan.orphan = true;
        cover(Case::killed_lender);
        kill(getpid(), sigkill);
        expect(false, "a process lives on after SIGKILL");
        break;
    case 3: lend(all.loan); break;
    case 5:
        all.box.by = gettid();
        while (!all.over)
            pause_a_little();
        break;
    case 4: {
        long pid;
        while ((pid = all.loan.pid) == 0)
            pause_a_little();
        if (one_in(2)) {
            cover(Case::borrower_stopped);
            kill(pid, sigstop);
            reap(pid, sigstop << 8 | 0x7f, w_untraced);
            pause_a_little();
            kill(pid, sigcont);
            reap(pid, 0xffff, w_continued);
        }
        if (one_in(2)) {
            cover(Case::killed_by_sibling);
            const long signal = one_in(2) ? sigkill : sigterm;
            all.loan.status = killed(signal);
            kill(pid, signal);
        } else {
            all.loan.status = ended(all.loan.code);
            all.loan.let_go = 1;
        }
    }
    }
    return 0;
}

/// Borrows from a process of two threads and signals to it: the one that runs handles that, while the other is parked.
long signal_lenders_process(void* argument) {
    Siblings& all = *static_cast<Siblings*>(argument);
    all.loan.pid = getpid();
    for (long n = 1 + random(3); n > 0; n--) {
        send(all.box);
        pause_a_little();
    }
    while (all.box.handled < all.box.sent)
        pause_a_little();
    cover(Case::handled_by_sibling);
    return all.loan.code;
}

long siblings_child(void* argument) {
    Siblings& all = *static_cast<Siblings*>(argument);
    ThreadPlan plan{sibling, &all};
    if (!chaos && all.way < 3 && one_in(3))
        all.first = all.way == 1 ? stay : outlive;
    Siblings other = {.loan = {.depth = most_depth, .code = random(100)}, .way = 3, .code = 0};
    if (!start_thread(plan)) {
        if (all.way == 2)
            kill(getpid(), sigkill);
        exit_group(all.code);
    }
    if (all.way == 5) {
        all.box.pid = getpid();
        while (all.box.by == 0)
            pause_a_little();
        const long pid = born(signal_lenders_process, &all, as_vfork);
        all.box.by = 0;
        if (pid > 0)
            reap(pid, ended(all.loan.code));
        all.over = true;
        join(plan);
        return all.code;
    }
    if (all.way == 3) {
        lend(other.loan);
        join(plan);
        return all.code;
    }
    if (all.way == 4) {
        lend(all.loan, stay);
        // Without a child there is nobody for the other thread to find.
        if (all.loan.pid != 0)
            join(plan);
        return all.code;
    }
    // The other thread decides how this ends, wherever this one is.
    if (all.first && born(all.first, &all.loan, as_vfork) < 0)
        all.first = nullptr;
    for (;;) {
        Loan again{.depth = most_depth, .code = random(100)};
        again.orphan = true;
        again.box.pid = getpid();
        again.box.tid = gettid();
        const long pid = born(focus == 4 ? leave : borrow, &again, one_in(4) ? as_waiting_fork : as_vfork);
        int status;
        if (pid > 0)
            wait4(pid, &status, 0);
        if (focus != 4)
            pause_a_little();
    }
}

// ---- watching ----------------------------------------------------------------------------------------------------------

struct Kevent {
    unsigned long ident;
    short filter;
    unsigned short flags;
    unsigned notes;
    long data;
    void* user;
};
constexpr unsigned note_exit = 0x80000000, note_fork = 0x40000000, note_exec = 0x20000000, note_track = 1,
                   note_track_error = 2, note_child = 4;

/// Watches itself and with that its children: has one and knows all about it.
void watch_births() {
    const long queue = syscall6(nr_kqueue, 0);
    expect(queue >= 0 || queue == e_nomem, "kqueue fails", queue);
    if (queue < 0)
        return;
    const long self = getpid();
    const Kevent watch = {
        static_cast<unsigned long>(self), -5, 1, note_fork | note_exec | note_exit | note_track, 0, nullptr};
    const long added = syscall6(nr_kevent, queue, word(&watch), 1, 0, 0, 0);
    expect(added == 0 || added == e_nomem, "kevent fails", added);
    long pid = added;
    const long code = random(100), way = random(4);
    Loan loan{.depth = most_depth, .code = code};
    if (added == 0) {
        switch (way) {
        case 0: pid = born(leave, &loan, one_in(2) ? as_fork : as_waiting_fork); break;
        case 1: pid = born(leave, &loan, as_vfork); break;
        case 2: pid = spawn(most_depth, code); break;
        default:
            pid = born(
                [](void* a) {
                    const Loan& mine = *static_cast<Loan*>(a);
                    exec(most_depth, mine.code);
                    return mine.code + 100;
                },
                &loan, one_in(2) ? as_fork : as_vfork);
        }
    }
    if (pid > 0) {
        int status = -1;
        const long got = wait4(pid, &status, 0);
        expect(got == pid, "wait4 does not find the child", got, pid);
        const bool not_execed = way == 3 && status == ended(code + 100); // for want of memory
        expect(status == ended(code) || not_execed || (chaos && status == killed(sigkill)),
               "wait4 tells another status", status, code);
        // What was to be told was told before the child could be waited for.
        unsigned own = 0, childs = 0;
        const long no_time[2] = {0, 0};
        for (;;) {
            Kevent events[4];
            const long n = syscall6(nr_kevent, queue, 0, 0, word(events), 4, word(no_time));
            expect(n >= 0 || n == e_nomem, "kevent fails", n);
            if (n == 0)
                break;
            for (long i = 0; i < n; i++)
                if (events[i].ident == static_cast<unsigned long>(self))
                    own |= events[i].notes;
                else if (events[i].ident == static_cast<unsigned long>(pid))
                    childs |= events[i].notes;
        }
        expect((own & note_fork) != 0, "a birth is not noted", static_cast<long>(own), pid);
        if (!(own & note_track_error)) {
            cover(Case::tracked);
            const unsigned wanted = note_child | note_exit;
            expect((childs & wanted) == wanted, "a child is not tracked", static_cast<long>(childs), pid);
            if (way >= 2 && status == ended(code)) {
                cover(Case::tracked_exec);
                expect((childs & note_exec) != 0, "an exec is not noted", static_cast<long>(childs), pid);
            }
        }
    }
    syscall6(nr_close, queue);
}

/// One thing that a process does.
void act(long depth) {
    constexpr long focused[] = {0, 1, 6, 5, 6, 7, 8, 9};
    switch (focus != 0 && !one_in(4) ? focused[focus] : random(11)) {
    case 9: play_session(); break;
    case 7: {
        const long code = random(100), pid = spawn(depth < most_depth ? depth + 1 : most_depth, code);
        if (pid > 0)
            reap(pid, ended(code));
        break;
    }
    case 8: watch_births(); break;
    case 0:
        if (depth < most_depth) {
            const long pid = born(forked_child, reinterpret_cast<void*>(depth + 1), as_fork);
            if (pid > 0)
                reap(pid, ended(77));
        }
        break;
    case 1:
    case 2: {
        Loan loan{.depth = depth, .code = random(100)};
        lend(loan);
        break;
    }
    case 3: {
        volatile long cell = 55;
        const long pid = born(memory_child, const_cast<long*>(&cell), one_in(2) ? as_fork : as_waiting_fork);
        if (pid > 0) {
            reap(pid, ended(55));
            expect(cell == 55, "a child's write shows in its parent", cell);
        }
        break;
    }
    case 4: {
        Mail mail = {.box = {}, .wanted = 1 + random(4)};
        const long pid = born(mail_child, &mail, as_fork);
        if (pid > 0) {
            mail.box.pid = pid;
            for (long n = mail.wanted; n > 0; n--) {
                send(mail.box);
                pause_a_little();
            }
            reap(pid, ended(42));
        }
        break;
    }
    case 5: {
        Mail mail = {.box = {}, .wanted = 1};
        const long pid = born(
            [](void* a) {
                static_cast<Mail*>(a)->box.pid = getpid();
                return stop_child(a);
            },
            &mail, as_fork);
        if (pid > 0) {
            mail.box.pid = pid;
            cover(Case::stopped);
            kill(pid, sigstop);
            int status = 0;
            const long stopped = wait4(pid, &status, w_untraced);
            expect(stopped == pid && (status == (sigstop << 8 | 0x7f) || chaos), "a stop is not reported", stopped,
                   status);
            if (status == killed(sigkill))
                break;
            kill(pid, sigcont);
            reap(pid, 0xffff, w_continued);
            send(mail.box);
            if (!chaos)
                reap(pid, ended(43));
            else
                wait4(pid, &status, 0);
        }
        break;
    }
    case 6: {
        Siblings all = {.loan = {.depth = most_depth, .code = random(100)},
                        .way = random(focus == 4 ? 3
                                      : chaos    ? 4
                                                 : 6),
                        .code = random(100)};
        const long pid = born(siblings_child, &all, as_fork);
        if (pid > 0)
            reap(pid, all.way == 2 ? killed(sigkill) : ended(all.code));
        break;
    }
    default: {
        int status;
        const long got = wait4(-1, &status, 0);
        expect(got == e_child, "wait4 finds a child that is not there", got);
        cover(Case::nothing_to_wait_for);
    }
    }
}

long family(long depth) {
    for (long n = 1 + random(2); n > 0; n--)
        act(depth);
    return 77;
}

// ---- init --------------------------------------------------------------------------------------------------------------

/// Ends when there are no children left.
void reap_all() {
    int status;
    for (;;) {
        const long pid = wait4(-1, &status, 0);
        if (pid == e_child)
            return;
        expect(pid > 0, "init's wait4 fails", pid);
    }
}

void settle(bool compare) {
    for (long tries = 0;; tries++) {
        sleep_us(20'000);
        if (ask(compare, tries > 50, 0, 0, 0, Question::settle))
            return;
    }
}

void touch_memory() {
    volatile char room[4 * 4096];
    for (unsigned i = 0; i < sizeof room; i += 512)
        room[i] = 1;
}

[[noreturn]] void init() {
    touch_memory();
    expect(foreground() == e_notty, "the console is not there for the taking");
    // Once before objects are counted: what stays for ever is made now.
    long pid = born([](void*) { return exec(most_depth, 1); }, nullptr, as_vfork);
    reap(pid, ended(1));
    pid = born(
        siblings_child,
        [] {
            static Siblings all = {.loan = {.depth = most_depth, .code = 1}, .way = 3, .code = 2};
            return &all;
        }(),
        as_fork);
    reap(pid, ended(2));
    reap_all();
    settle(false);
    chaos = one_in(5);
    focus = random(8);
    if (one_in(3))
        memory_fails(10 + random(100));
    for (long n = 3 + random(4); n > 0; n--)
        born(forked_child, nullptr, as_fork);
    if (chaos) {
        for (long n = random(40); n > 0; n--) {
            sleep_us(random(3000));
            kill(2 + random(60), sigkill);
        }
        // Those who wait for somebody that was killed.
        sleep_us(50'000);
        kill(-1, sigkill);
    }
    memory_fails(0);
    reap_all();
    settle(true);
    syscall6(nr_reboot, 0xfee1dead, 672274793, 0x4321fedc, 0);
    expect(false, "the machine goes on");
    __builtin_unreachable();
}

long number(const char* text) {
    long value = 0;
    for (; *text; text++)
        value = value * 10 + (*text - '0');
    return value;
}

} // namespace

extern "C" void* memset(void* to, int value, unsigned long n) {
    for (unsigned long i = 0; i < n; i++)
        static_cast<volatile char*>(to)[i] = static_cast<char>(value);
    return to;
}
extern "C" void* memcpy(void* to, const void* from, unsigned long n) {
    for (unsigned long i = 0; i < n; i++)
        static_cast<volatile char*>(to)[i] = static_cast<const char*>(from)[i];
    return to;
}

void start(unsigned long* stack) {
    const char* const* arguments = reinterpret_cast<const char* const*>(stack + 1);
    set_handler(sigrt);
    const unsigned long none = 0;
    syscall6(nr_sigprocmask, 2, word(&none), 0, 8);
    if (getpid() == 1)
        init();
    expect(stack[0] == 5, "exec lost arguments", static_cast<long>(stack[0]));
    chaos = number(arguments[3]) % 2 != 0;
    focus = number(arguments[3]) / 2;
    cover(Case::execed);
    if (const long victim = number(arguments[4]); victim == use_terminal_mark)
        use_terminal();
    else if (victim != 0)
        kill(victim, sigterm);
    reap_all(); // what another thread of the old image left
    family(number(arguments[1]));
    exit_group(number(arguments[2]));
}
