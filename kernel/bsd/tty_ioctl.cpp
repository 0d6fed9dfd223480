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

Result<void> put_int(vaddr_t to, int32_t value) { return copyout(to, &value, sizeof value); }

} // namespace

Result<void> Tty::set_termios(uint32_t cmd, vaddr_t from) {
    Termios fresh;
    TRY(copyin(&fresh, from, sizeof fresh)); // of termios2 the speeds follow; the line has its own
    TRY(admit_change());
    {
        TtyGuard guard(lock_);
        if (cmd == command::tcsetsf || cmd == command::tcsetsf2)
            line_.flush_input();
        line_.set_termios(fresh);
    }
    read_waitq_.wake_all(); // what counts as readable may have changed
    write_waitq_.wake_all();
    return {};
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
    {
        ProcTreeGuard tree(proc_tree_lock);
        const Proc& self = current_proc();
        if (!is_controlling_locked(self))
            return Errno::notty;
        if (self.group->session->leader != &self)
            return Errno::perm; // one terminal for the whole session: only its leader can part with it
    }
    disassociate();
    return {};
}

Result<void> Tty::set_foreground(vaddr_t from) {
    int32_t id = 0;
    TRY(copyin(&id, from, sizeof id));
    TRY(admit_change());
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
    foreground = ref(group);
    return {};
}

Result<void> Tty::flow(uint64_t action) {
    TRY(admit_change());
    TtyGuard guard(lock_);
    switch (action) {
    case 0: // TCOOFF
    case 1: // TCOON
        line_.stop_output(action == 0);
        break;
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
    guard.unlock();
    write_waitq_.wake_all();
    return {};
}

Result<uint64_t> Tty::ioctl(uint32_t cmd, uint64_t argument) {
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
    case command::tcsetsf2: TRY(set_termios(cmd, argument)); break;
    case command::tcsbrk:
    case command::tcsbrkp: // output is never behind; a break has no meaning for the devices there are
        TRY(admit_change());
        break;
    case command::tcxonc: TRY(flow(argument)); break;
    case command::tcflsh:
        TRY(admit_change());
        if (argument > 2)
            return Errno::inval;
        if (argument != 1) {
            TtyGuard guard(lock_);
            line_.flush_input();
        }
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
            if (!is_controlling_locked(current_proc()))
                return Errno::notty;
            id = cmd == command::tiocgsid ? session->id : foreground_id_locked();
        }
        TRY(put_int(argument, id));
        break;
    }
    case command::tiocspgrp: TRY(set_foreground(argument)); break;
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
