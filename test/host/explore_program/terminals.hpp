// SPDX-License-Identifier: BSD-2-Clause
// Sessions that take the console, and what its job control means to processes that lend. For main.cpp alone.
#pragma once

#include "steps.hpp"

namespace {

/// A session's play: a leader that has the terminal, and a child in a group of its own that uses it, or lends to one that does.
struct Show {
    bool lends = false;    ///< the child's borrower uses the terminal, or both the borrower and then its new image
    bool front = false;    ///< the child's group comes to the foreground at once
    bool leaves = false;   ///< the leader does not wait for the child
    bool outlives = false; ///< the child leaves the terminal alone, and has children when the leader is gone
    long code = 0;         ///< of the borrower
};

struct Termios {
    unsigned input, output, control, local;
    unsigned char rest[48];
};
enum Command : long {
    tcgets = 0x5401,
    tcsets = 0x5402,
    tiocsctty = 0x540e,
    tiocgpgrp = 0x540f,
    tiocspgrp = 0x5410,
};
enum Typed : long { interrupt_key = 0x03, suspend_key = 0x1a };
constexpr long e_perm = -1, e_io = -5, e_notty = -25;
constexpr long nr_ioctl = 29, nr_read = 63, nr_write = 64, nr_setpgid = 154, nr_setsid = 157;
constexpr long sighup = 1, sigint = 2, sigttin = 21, sigttou = 22;
constexpr long use_terminal_mark = 9999; ///< instead of a victim, for an image that uses the terminal

long terminal(Command command, const void* argument) {
    return syscall6(nr_ioctl, 0, command, reinterpret_cast<long>(argument));
}
long foreground() {
    int id = -77;
    const long result = terminal(tiocgpgrp, &id);
    return result < 0 ? result : id;
}
long set_foreground(long id) {
    const int group = static_cast<int>(id);
    return terminal(tiocspgrp, &group);
}
/// Changes nothing, but it might. From now on who writes in the background is stopped too.
long set_terminal() {
    Termios settings = {};
    const long result = terminal(tcgets, &settings);
    if (result < 0)
        return result;
    settings.local |= 0x100; // TOSTOP
    return terminal(tcsets, &settings);
}
void set_action(long signal, unsigned long handler) {
    const struct { unsigned long handler, flags, mask; } action = {handler, 0, 0};
    syscall6(nr_sigaction, signal, word(&action), 0, 8);
}

/// What came of a use of the terminal. An orphaned group is told EIO; without its leader it has no terminal.
void expect_used(const Show& show, long result, long good = 0) {
    expect(result == good || (show.leaves && (result == e_io || result == e_notty)), "the terminal refuses", result,
           good);
}

/// A fresh image in the background is nobody's borrower: it stops until its group comes to the front.
void use_terminal() {
    const long result = set_terminal();
    expect(result == 0 || result == e_io || result == e_notty, "the terminal refuses an image", result);
}

/// No terminal stops it, while its lender waits: BS-11 to BS-14.
long borrow_terminal(void* argument) {
    const Show& show = *static_cast<Show*>(argument);
    for (long n = random(4); n >= 0; n--) {
        switch (random(5)) {
        case 0:
            expect_used(show, set_terminal());
            cover(Case::terminal_used_by_borrower);
            break;
        case 1: expect_used(show, syscall6(nr_write, 0, word("."), 1), 1); break;
        case 2:
            if (!show.leaves && !show.front) {
                char c;
                const long got = syscall6(nr_read, 0, word(&c), 1);
                expect(got == 0, "a borrower in the background reads something", got);
                cover(Case::terminal_end_read);
            }
            break;
        case 3:
            expect(kill(0, one_in(2) ? sigtstp : sigttin) == 0, "a group cannot be stopped");
            cover(Case::stop_put_off);
            pause_a_little();
            break;
        default: pause_a_little();
        }
    }
    if (one_in(2)) {
        const long error = exec(most_depth, show.code, use_terminal_mark);
        expect(error == e_nomem, "exec fails", error);
    }
    return show.code;
}

/// Who is born now is not the leader that was, though it may lie where that lay.
void outlive_leader() {
    while (syscall6(nr_getppid) != 1)
        sleep_us(100 + random(1000));
    for (int i = 0; i < 6; i++) {
        const long pid = born(
            [](void*) {
                const long moved = syscall6(nr_setpgid, 0, 0);
                expect(moved == 0, "a leaderless session's child cannot have a group of its own", moved);
                return 62L;
            },
            nullptr, as_fork);
        if (pid > 0)
            reap(pid, ended(62));
    }
}

long in_own_group(void* argument) {
    Show& show = *static_cast<Show*>(argument);
    set_action(sigttou, 0);
    const long moved = syscall6(nr_setpgid, 0, 0);
    expect(moved == 0, "a child cannot have a group of its own", moved);
    if (show.outlives) {
        outlive_leader();
        return 60;
    }
    if (!show.lends) {
        expect_used(show, set_terminal());
        return 60;
    }
    const long pid = born(borrow_terminal, &show, one_in(3) ? as_native_vfork : one_in(4) ? as_waiting_fork : as_vfork);
    if (pid > 0) {
        int status = -1;
        const long got = wait4(pid, &status, 0);
        expect(got == pid && status == ended(show.code), "a user of the terminal ends otherwise", got, status);
    }
    return 60;
}

/// 50: others have the terminal; 51: it had it.
long lead_session(void* argument) {
    Show& show = *static_cast<Show*>(argument);
    const long self = getpid(), session = syscall6(nr_setsid);
    expect(session == self, "setsid fails", session);
    const long taken = terminal(tiocsctty, nullptr);
    if (taken != 0) {
        expect(taken == e_perm, "a taken terminal is refused otherwise", taken);
        cover(Case::terminal_refused);
        return 50;
    }
    cover(Case::terminal_taken);
    expect(foreground() == self, "a session's leader is not in front", foreground(), self);
    set_action(sigttou, 1);
    expect(set_terminal() == 0, "a leader cannot set its terminal");

    const long pid = born(in_own_group, &show, as_fork);
    if (pid < 0)
        return 51;
    if (one_in(2)) {
        const long moved = syscall6(nr_setpgid, pid, pid);
        expect(moved == 0 || moved == e_srch, "a child cannot be moved", moved);
    }
    const bool front = show.front && set_foreground(pid) == 0;
    if (show.leaves) {
        int status;
        if (show.front || show.outlives || one_in(2))
            pause_a_little();
        else // it has stopped, and nobody will continue it
            wait4(pid, &status, w_untraced);
        cover(Case::leader_left);
        return 51;
    }
    for (;;) {
        if (front && one_in(2)) {
            ask(one_in(2) ? interrupt_key : suspend_key, 0, 0, 0, 0, Question::type);
            cover(Case::typed);
        }
        int status = -1;
        const long got = wait4(pid, &status, w_untraced);
        expect(got == pid, "wait4 does not find the job", got, pid);
        if ((status & 0xff) != 0x7f) {
            expect(status == ended(60) || (front && status == killed(sigint)), "a job ends otherwise", status);
            break;
        }
        const long signal = status >> 8;
        expect(signal == sigtstp || signal == sigttin || signal == sigttou, "a job is stopped by something else",
               signal);
        cover(Case::job_stopped);
        if (signal == sigttou) {
            const long result = set_foreground(pid);
            expect(result == 0 && foreground() == pid, "a job does not come to the front", result, foreground());
        }
        const long result = kill(-pid, sigcont); // if it was interrupted, to its end
        expect(result == 0, "a job does not go on", result);
    }
    const long result = set_foreground(self);
    expect(result == 0 && foreground() == self, "a leader does not come back", result, foreground());
    return 51;
}

/// A borrower makes the session, and its end is the leader's.
long lead_as_borrower(void* argument) {
    const Show& show = *static_cast<Show*>(argument);
    const long self = getpid(), session = syscall6(nr_setsid);
    expect(session == self, "setsid fails for a borrower", session);
    const long taken = terminal(tiocsctty, nullptr);
    expect(taken == 0 || taken == e_perm, "a borrower cannot take a terminal", taken);
    if (taken == 0) {
        cover(Case::borrower_led);
        expect(foreground() == self && set_terminal() == 0, "a borrower does not have its terminal");
    }
    if (one_in(2)) {
        const long error = exec(most_depth, show.code, taken == 0 ? use_terminal_mark : 0);
        expect(error == e_nomem, "exec fails", error);
    }
    return show.code;
}

void play_session() {
    if (chaos)
        return;
    Show show = {.lends = !one_in(4), .front = one_in(3), .leaves = one_in(3), .code = random(100)};
    if (show.leaves && one_in(3)) {
        show.front = false;
        show.outlives = true;
    }
    int status = -1;
    if (one_in(4)) {
        const long pid = born(
            [](void* a) {
                Show& mine = *static_cast<Show*>(a);
                const long child = born(lead_as_borrower, &mine, one_in(2) ? as_vfork : as_native_vfork);
                if (child > 0)
                    reap(child, ended(mine.code));
                return 61L;
            },
            &show, as_fork);
        if (pid > 0)
            reap(pid, ended(61));
        return;
    }
    const long pid = born(lead_session, &show, as_fork);
    if (pid > 0) {
        const long got = wait4(pid, &status, 0);
        expect(got == pid && (status == ended(50) || status == ended(51)), "a session's leader ends otherwise", got,
               status);
    }
}

} // namespace
