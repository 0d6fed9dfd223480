// SPDX-License-Identifier: BSD-2-Clause
// Terminals: reading, writing, job control.
#include <bsd/signal_impl.hpp>
#include <bsd/spawn.hpp>
#include <bsd/tty.hpp>
#include <sched/clock.hpp>

namespace lentil {

namespace {

alignas(Tty) constinit std::byte console_storage[sizeof(Tty)]; // an object would need a destructor at exit

using TtyGuard = SpinGuard<Rank::tty_spin>;
constexpr nanos_t tenth_of_second_ns = 100'000'000;
constexpr size_t growth = 8; ///< output processing makes at most so many bytes of one

} // namespace

void tty_init() { new (console_storage) Tty("console", 5 << 8 | 1); }

Tty& console_tty() { return *std::launder(reinterpret_cast<Tty*>(console_storage)); }

RefPtr<Tty> current_tty() {
    ProcTreeGuard tree(proc_tree_lock);
    const Proc& self = current_proc();
    return RefPtr<Tty>(self.group && self.group->session ? self.group->session->tty : nullptr);
}

void Tty::attach(Output output, void* device) {
    TtyGuard guard(lock_);
    output_ = output;
    device_ = device;
}

// ---- input ---------------------------------------------------------------------------------------------------------

void Tty::signal_foreground(int signo) {
    ProcTreeGuard tree(proc_tree_lock);
    if (!foreground)
        return;
    const SigInfo info{.signo = signo, .code = si_code::kernel};
    for (ProcLinks& links : foreground->members)
        signal_send_locked(proc_of(links), info);
    Spawn::collect_locked(*foreground, signo);
}

void Tty::input(std::string_view bytes) {
    bool readable = false, resumed = false;
    for (const char c : bytes) {
        TtyEvents events;
        bool was_stopped = false, stopped = false;
        {
            TtyOutput echo(output_, device_); // flushed after the lock is free
            TtyGuard guard(lock_);
            was_stopped = line_.output_stopped();
            events = line_.input(c, echo);
            stopped = line_.output_stopped();
            guard.unlock();
            if (events.flushed)
                flush_output();
        }
        readable |= events.readable;
        resumed |= events.resumed;
        if (was_stopped != stopped)
            tell_master(stopped ? packet_status::stop : packet_status::start);
        if (events.flushed)
            tell_master(packet_status::flush_read);
        if (events.signo != 0)
            signal_foreground(events.signo);
    }
    if (readable)
        read_waitq_.wake_all();
    if (resumed)
        write_waitq_.wake_all();
}

// ---- job control ---------------------------------------------------------------------------------------------------

bool Tty::is_controlling_locked(const Proc& proc) const {
    return proc.group && proc.group->session && proc.group->session->tty == this;
}

/// Whether the caller may read (SIGTTIN) or write and change (SIGTTOU) its controlling terminal now.
Result<Tty::Admission> Tty::admit(int signo) {
    Proc& self = current_proc();
    ProcTreeGuard tree(proc_tree_lock);
    if (!is_controlling_locked(self) || !foreground || self.group == foreground)
        return Admission::granted;
    if (loan_exempts_from_job_control(self))
        return signo == sig_ttin ? Admission::end_of_file : Admission::granted;
    if (current_uthread().sig.mask.has(signo) || signals::action_of(self, signo).handler == SigAction::ignore) {
        if (signo == sig_ttin)
            return Errno::io;
        return Admission::granted;
    }
    if (group_is_orphaned_locked(*self.group, nullptr))
        return Errno::io; // stopping it would be for ever
    const SigInfo info{.signo = signo, .code = si_code::kernel};
    for (ProcLinks& links : self.group->members)
        signal_send_locked(proc_of(links), info);
    return Errno::restart_sys;
}

Result<void> Tty::admit_change(TtySide side) {
    if (side == TtySide::slave)
        TRY(admit(sig_ttou));
    return {};
}

void Tty::opened(uint32_t flags) {
    if (flags & open_flags::noctty)
        return;
    ProcTreeGuard tree(proc_tree_lock);
    opened_by_locked(current_proc());
}

void Tty::opened_by_locked(Proc& proc) {
    if (session || !proc.group || !proc.group->session)
        return;
    Session& its = *proc.group->session;
    if (its.leader != &proc || its.tty)
        return;
    its.tty = this;
    session = proc.group->session;
    foreground = proc.group;
}

void Tty::drop_session_locked() {
    if (session)
        session->tty = nullptr;
    session.reset();
    foreground.reset();
}

void Tty::disassociate_locked() {
    if (foreground)
        for (const int signo : {sig_hup, sig_cont})
            for (ProcLinks& links : foreground->members)
                signal_send_locked(proc_of(links), {.signo = signo, .code = si_code::kernel});
    drop_session_locked();
}

void Tty::hang_up() {
    hung_up_.store(1, std::memory_order_release);
    {
        ProcTreeGuard tree(proc_tree_lock);
        if (session && session->leader) { // its end tells the foreground group
            session->hung_foreground = foreground;
            for (const int signo : {sig_hup, sig_cont})
                signal_send_locked(*session->leader, {.signo = signo, .code = si_code::kernel});
        }
        drop_session_locked();
    }
    read_waitq_.wake_all();
    write_waitq_.wake_all();
}

void session_leader_ends_locked(Session& session) {
    session.leader = nullptr; // the session may outlive it, and its memory may soon be another process
    const RefPtr<ProcessGroup> hung = std::move(session.hung_foreground);
    if (session.tty)
        session.tty->disassociate_locked();
    else if (hung)
        for (const int signo : {sig_hup, sig_cont})
            for (ProcLinks& links : hung->members)
                signal_send_locked(proc_of(links), {.signo = signo, .code = si_code::kernel});
}

// ---- reading -------------------------------------------------------------------------------------------------------

bool Tty::ready(size_t least) const {
    TtyGuard guard(lock_);
    return line_.ready(least);
}

/// Moves one piece of what is there to the caller.
Result<LineDiscipline::Taken> Tty::move_out(Uio& uio) {
    char piece[256];
    LineDiscipline::Taken taken;
    {
        TtyGuard guard(lock_);
        taken = line_.take(std::span(piece, std::min(sizeof piece, uio.left())));
    }
    if (taken.bytes != 0 || taken.line_end)
        input_taken();
    if (taken.bytes != 0)
        TRY(uio.put(piece, taken.bytes));
    return taken;
}

Result<size_t> Tty::read_line(Uio& uio, bool nonblocking) {
    const size_t before = uio.moved();
    for (;;) {
        if (!ready(1)) {
            if (is_hung_up())
                return size_t{0};
            if (nonblocking)
                return Errno::again;
            // Leaving canonical mode ends the wait too: then raw mode's rules count.
            if (wait_until(read_waitq_, "ttyin", [this] {
                    TtyGuard guard(lock_);
                    return line_.ready() || !line_.canonical() || is_hung_up();
                }) == WaitResult::interrupted)
                return Errno::restart_sys;
            if (is_hung_up())
                continue;
        }
        LineDiscipline::Taken taken;
        do {
            taken = TRY(move_out(uio));
        } while (taken.bytes != 0 && !taken.line_end && uio.left() != 0);
        if (uio.moved() != before || taken.line_end)
            return uio.moved() - before;
        // Another reader was faster.
        TtyGuard guard(lock_);
        if (!line_.canonical())
            return Errno::restart_nointr;
    }
}

Result<size_t> Tty::read_raw(Uio& uio, bool nonblocking) {
    const size_t before = uio.moved();
    uint8_t min = 0, time = 0;
    {
        TtyGuard guard(lock_);
        min = line_.termios().cc[tty_cc::min];
        time = line_.termios().cc[tty_cc::time];
    }
    const nanos_t interval_ns = time * tenth_of_second_ns;
    // With MIN the time runs between bytes, and only once one came; without, it limits the whole read.
    nanos_t deadline_ns = min != 0 || time == 0 ? no_deadline : monotonic_ns() + interval_ns;
    for (;;) {
        const size_t got = uio.moved() - before;
        const LineDiscipline::Taken taken = TRY(move_out(uio));
        const size_t moved = got + taken.bytes;
        if (uio.left() == 0 || (moved != 0 && moved >= min))
            return moved;
        if (taken.bytes != 0) {
            if (time != 0)
                deadline_ns = monotonic_ns() + interval_ns;
            continue;
        }
        if (is_hung_up())
            return moved;
        if (min == 0 && time == 0)
            return nonblocking ? Result<size_t>(Errno::again) : Result<size_t>(size_t{0});
        if (nonblocking)
            return moved != 0 ? Result<size_t>(moved) : Result<size_t>(Errno::again);
        switch (wait_until(
            read_waitq_, "ttyin",
            [this] {
                TtyGuard guard(lock_);
                return line_.canonical() || line_.ready() || is_hung_up();
            },
            Interruptible::yes, deadline_ns)) {
        case WaitResult::awoken: break;
        case WaitResult::timed_out: return moved;
        case WaitResult::interrupted: return moved != 0 ? Result<size_t>(moved) : Result<size_t>(Errno::restart_sys);
        }
        TtyGuard guard(lock_);
        if (line_.canonical() && !line_.ready())
            return moved != 0 ? Result<size_t>(moved) : Result<size_t>(Errno::restart_nointr);
    }
}

Result<size_t> Tty::read(Uio& uio, bool nonblocking) {
    if (is_hung_up())
        return size_t{0};
    if (TRY(admit(sig_ttin)) == Admission::end_of_file || uio.left() == 0)
        return size_t{0};
    bool canonical = false;
    {
        TtyGuard guard(lock_);
        canonical = line_.canonical();
    }
    return canonical ? read_line(uio, nonblocking) : read_raw(uio, nonblocking);
}

// ---- writing -------------------------------------------------------------------------------------------------------

Result<size_t> Tty::write(Uio& uio, bool nonblocking) {
    bool check = false;
    {
        TtyGuard guard(lock_);
        check = line_.termios().lflag & tty_lflag::tostop;
    }
    if (check)
        TRY(admit(sig_ttou));
    const size_t before = uio.moved();
    auto moved = [&] { return uio.moved() - before; };
    while (uio.left() != 0) {
        auto may_go = [this] {
            if (is_hung_up())
                return true;
            if (output_room() < growth)
                return false;
            TtyGuard guard(lock_);
            return !line_.output_stopped();
        };
        if (!may_go()) {
            if (nonblocking)
                return moved() != 0 ? Result<size_t>(moved()) : Result<size_t>(Errno::again);
            if (wait_until(write_waitq_, "ttyout", may_go) == WaitResult::interrupted)
                return moved() != 0 ? Result<size_t>(moved()) : Result<size_t>(Errno::restart_sys);
        }
        if (is_hung_up())
            return moved() != 0 ? Result<size_t>(moved()) : Result<size_t>(Errno::io);
        MutexGuard order(output_lock_);
        char piece[256];
        const size_t room = output_room() / growth;
        if (room == 0)
            continue; // another writer was faster
        const Result<size_t> n = uio.take(piece, std::min(room, sizeof piece));
        if (!n.ok() || *n == 0)
            return moved() != 0 || n.ok() ? Result<size_t>(moved()) : Result<size_t>(n.error());
        TtyOutput out(output_, device_); // goes to the device after the spin lock is free
        TtyGuard guard(lock_);
        for (size_t i = 0; i < *n; i++)
            line_.output(piece[i], out);
    }
    return moved();
}

uint32_t Tty::poll(uint32_t events, PollTable* table) {
    if (table) {
        if (events & (poll_events::in | poll_events::rdnorm))
            table->add(read_waitq_);
        if (events & (poll_events::out | poll_events::wrnorm))
            table->add(write_waitq_);
    }
    uint32_t ready = 0;
    if (is_hung_up())
        return (poll_events::in | poll_events::rdnorm | poll_events::out | poll_events::wrnorm | poll_events::hup |
                poll_events::err) &
               (events | poll_events::hup | poll_events::err);
    const bool room = output_room() >= growth;
    TtyGuard guard(lock_);
    const Termios& t = line_.termios();
    const size_t least = t.cc[tty_cc::time] == 0 && t.cc[tty_cc::min] != 0 ? t.cc[tty_cc::min] : 1;
    if (line_.ready(least))
        ready |= poll_events::in | poll_events::rdnorm;
    if (!line_.output_stopped() && room)
        ready |= poll_events::out | poll_events::wrnorm;
    return ready & events;
}

} // namespace lentil
