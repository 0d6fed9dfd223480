// SPDX-License-Identifier: BSD-2-Clause
// What ioctl(2) does to terminals.
#include <bsd/tty.hpp>
#include <vm/vm_user.hpp>

namespace lentil {

namespace {

using TtyGuard = SpinGuard<Rank::tty_spin>;

/// Linux's numbers (asm-generic/ioctls.h).
namespace command {
constexpr uint32_t tcgets = 0x5401, tcsets = 0x5402, tcsetsw = 0x5403, tcsetsf = 0x5404, tcsbrk = 0x5409,
                   tcxonc = 0x540a, tcflsh = 0x540b, tiocsctty = 0x540e, tiocgpgrp = 0x540f, tiocspgrp = 0x5410,
                   tiocoutq = 0x5411, tiocgwinsz = 0x5413, tiocswinsz = 0x5414, fionread = 0x541b, tiocnotty = 0x5422,
                   tiocgetd = 0x5424, tcsbrkp = 0x5425, tiocgsid = 0x5429, tcgets2 = 0x802c542a, tcsets2 = 0x402c542b,
                   tcsetsw2 = 0x402c542c, tcsetsf2 = 0x402c542d, tiocgdev = 0x80045432;
}

constexpr uint32_t speed_of(uint32_t cflag) {
    constexpr uint32_t slow[] = {0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400};
    constexpr uint32_t fast[] = {57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000};
    const uint32_t code = cflag & 017;
    if (!(cflag & 010000))
        return slow[code];
    return code >= 1 && code <= 8 ? fast[code - 1] : 0;
}

/// Whether a remote terminal may stop and start the output by itself (packet mode).
bool stops_by_usual_keys(const Termios& t) {
    return (t.iflag & tty_iflag::ixon) && t.cc[tty_cc::stop] == ('S' & 31) && t.cc[tty_cc::start] == ('Q' & 31);
}

Result<void> put_int(vaddr_t to, int32_t value) { return copyout(to, &value, sizeof value); }

} // namespace

Result<void> Tty::set_termios(uint32_t cmd, vaddr_t from, TtySide side) {
    Termios fresh;
    TRY(copyin(&fresh, from, sizeof fresh)); // of termios2 the speeds follow; the line has its own
    TRY(admit_change(side));
    if (cmd == command::tcsetsf || cmd == command::tcsetsf2)
        flush_input();
    bool stopped_before = false, stops_before = false;
    {
        TtyGuard guard(lock_);
        stopped_before = line_.output_stopped();
        stops_before = stops_by_usual_keys(line_.termios());
        line_.set_termios(fresh);
    }
    if (stopped_before && !(fresh.iflag & tty_iflag::ixon))
        tell_master(packet_status::start);
    if (stops_before != stops_by_usual_keys(fresh))
        tell_master(stops_before ? packet_status::no_stop : packet_status::do_stop);
    read_waitq_.wake_all(); // what counts as readable may have changed
    write_waitq_.wake_all();
    return {};
}

void Tty::flush_input() {
    {
        TtyGuard guard(lock_);
        line_.flush_input();
    }
    input_taken();
    tell_master(packet_status::flush_read);
}

Result<void> Tty::set_window(vaddr_t from) {
    WindowSize fresh;
    TRY(copyin(&fresh, from, sizeof fresh));
    {
        TtyGuard guard(lock_);
        if (__builtin_memcmp(&fresh, &window_, sizeof fresh) == 0)
            return {};
        window_ = fresh;
    }
    signal_foreground(sig_winch);
    return {};
}

Result<void> Tty::make_controlling(uint64_t steal) {
    Proc& self = current_proc();
    const RefPtr<const Cred> cred = self.cred();
    ProcTreeGuard tree(proc_tree_lock);
    if (!self.group || !self.group->session)
        return Errno::perm;
    Session& mine = *self.group->session;
    if (mine.leader == &self && session == self.group->session)
        return {};
    if (mine.leader != &self || mine.tty)
        return Errno::perm;
    if (session) {
        if (steal != 1 || !cred->capable(Capability::sys_admin))
            return Errno::perm;
        drop_session_locked();
    }
    mine.tty = this;
    session = self.group->session;
    foreground = self.group;
    return {};
}

Result<void> Tty::give_up_controlling() {
    ProcTreeGuard tree(proc_tree_lock);
    const Proc& self = current_proc();
    if (!is_controlling_locked(self))
        return Errno::notty;
    if (self.group->session->leader != &self)
        return Errno::perm; // one terminal for the whole session: only its leader can part with it
    disassociate_locked();
    return {};
}

Result<void> Tty::set_foreground(vaddr_t from, TtySide side) {
    int32_t id = 0;
    TRY(copyin(&id, from, sizeof id));
    TRY(admit_change(side));
    if (id < 0)
        return Errno::inval;
    ProcTreeGuard tree(proc_tree_lock);
    const Proc& self = current_proc();
    if (!is_controlling_locked(self))
        return Errno::notty;
    ProcessGroup* group = group_find_locked(id);
    if (!group)
        return Errno::srch;
    if (group->session != self.group->session)
        return Errno::perm;
    foreground = RefPtr<ProcessGroup>(group);
    return {};
}

Result<void> Tty::flow(uint64_t action, TtySide side) {
    TRY(admit_change(side));
    TtyGuard guard(lock_);
    switch (action) {
    case 0: // TCOOFF
    case 1: // TCOON
        line_.stop_output(action == 0);
        guard.unlock();
        tell_master(action == 0 ? packet_status::stop : packet_status::start);
        write_waitq_.wake_all();
        return {};
    case 2: // TCIOFF: ask the other side to stop
    case 3: {
        const uint8_t c = line_.termios().cc[action == 2 ? tty_cc::stop : tty_cc::start];
        TtyOutput out(output_, device_);
        if (c != 0)
            out.put(static_cast<char>(c));
        break;
    }
    default: return Errno::inval;
    }
    return {};
}

Result<uint64_t> Tty::ioctl(uint32_t cmd, uint64_t argument, TtySide side) {
    if (is_hung_up() && side == TtySide::slave)
        return cmd == command::tiocspgrp ? Errno::notty : Errno::io;
    switch (cmd) {
    case command::tcgets: {
        Termios t;
        {
            TtyGuard guard(lock_);
            t = line_.termios();
        }
        TRY(copyout(argument, &t, sizeof t));
        break;
    }
    case command::tcgets2: {
        Termios2 t;
        {
            TtyGuard guard(lock_);
            t.base = line_.termios();
        }
        t.input_speed = t.output_speed = speed_of(t.base.cflag);
        TRY(copyout(argument, &t, sizeof t));
        break;
    }
    case command::tcsets:
    case command::tcsetsw:
    case command::tcsetsf:
    case command::tcsets2:
    case command::tcsetsw2:
    case command::tcsetsf2: TRY(set_termios(cmd, argument, side)); break;
    case command::tcsbrk:
    case command::tcsbrkp: // output is never behind; a break has no meaning for the devices there are
        TRY(admit_change(side));
        break;
    case command::tcxonc: TRY(flow(argument, side)); break;
    case command::tcflsh:
        TRY(admit_change(side));
        if (argument > 2)
            return Errno::inval;
        if (argument != 1)
            flush_input();
        if (argument != 0)
            flush_output();
        break;
    case command::tiocgwinsz: {
        WindowSize w;
        {
            TtyGuard guard(lock_);
            w = window_;
        }
        TRY(copyout(argument, &w, sizeof w));
        break;
    }
    case command::tiocswinsz: TRY(set_window(argument)); break;
    case command::tiocsctty: TRY(make_controlling(argument)); break;
    case command::tiocnotty: TRY(give_up_controlling()); break;
    case command::tiocgpgrp:
    case command::tiocgsid: {
        int32_t id = 0;
        {
            ProcTreeGuard tree(proc_tree_lock);
            if (side == TtySide::slave ? !is_controlling_locked(current_proc()) : cmd == command::tiocgsid && !session)
                return Errno::notty;
            id = cmd == command::tiocgsid ? session->id : foreground_id_locked();
        }
        TRY(put_int(argument, id));
        break;
    }
    case command::tiocspgrp: TRY(set_foreground(argument, side)); break;
    case command::fionread: {
        size_t n = 0;
        {
            TtyGuard guard(lock_);
            n = line_.available();
        }
        TRY(put_int(argument, static_cast<int32_t>(n)));
        break;
    }
    case command::tiocoutq:
    case command::tiocgetd: // N_TTY
        TRY(put_int(argument, 0));
        break;
    case command::tiocgdev: TRY(put_int(argument, static_cast<int32_t>(device_number_))); break;
    default: return Errno::notty;
    }
    return uint64_t{0};
}

} // namespace lentil
