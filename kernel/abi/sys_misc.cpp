// SPDX-License-Identifier: BSD-2-Clause
// Calls about the system as a whole, and prctl.
#include <algorithm>
#include <lentil_version.hpp>

#include <abi/iovec.hpp>
#include <abi/sys_misc.hpp>
#include <bsd/host_name.hpp>
#include <bsd/random.hpp>
#include <debug/log.hpp>
#include <libkern/format.hpp>
#include <sched/clock.hpp>
#include <sched/waitq.hpp>

namespace lentil::abi {
namespace {

bool capable(Capability c) { return current_proc().cred()->capable(c); }

template<size_t N>
void fill(char (&field)[N], std::string_view text) {
    std::copy_n(text.data(), std::min(text.size(), N - 1), field);
}

Result<void> set_name(HostName which, uint64_t from, int length) {
    if (!capable(Capability::sys_admin))
        return Errno::perm;
    if (length < 0 || length > static_cast<int>(host_name_max))
        return Errno::inval;
    char text[host_name_max];
    TRY(copyin(text, from, static_cast<size_t>(length)));
    host_name_set(which, {text, static_cast<size_t>(length)});
    return {};
}

// -- the log: what SYSLOG_ACTION_READ consumed and SYSLOG_ACTION_CLEAR hides -------------------------------------------
constinit std::atomic<uint64_t> log_read_to{0}, log_cleared_to{0};

/// Copies log text from `from` on, at most `size` bytes; advances `from`.
Result<uint64_t> copy_log(uint64_t& from, uint64_t buffer, uint64_t size) {
    char chunk[256];
    uint64_t done = 0;
    while (done < size) {
        const size_t n = log_read(std::span(chunk, std::min<uint64_t>(sizeof chunk, size - done)), from);
        if (n == 0)
            break;
        TRY(copyout(buffer + done, chunk, n));
        from += n;
        done += n;
    }
    return done;
}

// -- prctl ---------------------------------------------------------------------------------------------------------------
Result<uint64_t> set_task_name(uint64_t from) {
    char name[16] = {};
    if (machine::user_read_string(name, from, sizeof name - 1) < 0)
        return Errno::fault;
    Uthread& self = current_uthread();
    std::copy_n(name, sizeof name, self.name);
    if (self.tid == self.proc->pid)
        std::copy_n(name, sizeof name, self.proc->comm);
    return 0;
}

Result<uint64_t> change_cred(void (*change)(Cred&, uint64_t), uint64_t argument) {
    Proc& self = current_proc();
    MutexGuard guard(self.exec_lock);
    RefPtr<Cred> fresh = TRY(self.cred()->copy());
    change(*fresh, argument);
    self.set_cred(std::move(fresh));
    return 0;
}

constexpr uint64_t capability_count = 41;

Result<uint64_t> ambient(uint64_t operation, uint64_t capability) {
    constexpr uint64_t is_set = 1, raise = 2, lower = 3, clear_all = 4;
    if (operation == clear_all)
        return capability != 0 ? Result<uint64_t>(Errno::inval)
                               : change_cred([](Cred& c, uint64_t) { c.cap_ambient = 0; }, 0);
    if (capability >= capability_count)
        return Errno::inval;
    const RefPtr<const Cred> cred = current_proc().cred();
    switch (operation) {
    case is_set: return cred->cap_ambient >> capability & 1;
    case raise:
        if (!(cred->cap_permitted >> capability & 1) || !(cred->cap_inheritable >> capability & 1))
            return Errno::perm;
        return change_cred([](Cred& c, uint64_t n) { c.cap_ambient |= uint64_t{1} << n; }, capability);
    case lower: return change_cred([](Cred& c, uint64_t n) { c.cap_ambient &= ~(uint64_t{1} << n); }, capability);
    default: return Errno::inval;
    }
}

} // namespace

Result<void> sys_uname(uint64_t out) {
    Utsname name{};
    fill(name.sysname, system_name);
    name.nodename[host_name_get(HostName::node, std::span(name.nodename).first(host_name_max))] = 0;
    fill(name.release, system_release);
    fill(name.version, version_string);
    fill(name.machine, system_machine);
    name.domainname[host_name_get(HostName::domain, std::span(name.domainname).first(host_name_max))] = 0;
    return copyout(out, &name, sizeof name);
}

Result<void> sys_sethostname(uint64_t name, int length) { return set_name(HostName::node, name, length); }

Result<void> sys_setdomainname(uint64_t name, int length) { return set_name(HostName::domain, name, length); }

Result<void> sys_sysinfo(UserPtr<Sysinfo> out) {
    Sysinfo info{};
    const PageCounts pages = page_counts();
    info.uptime = (monotonic_ns() + ns_per_second - 1) / ns_per_second;
    sched_load_averages(info.loads);
    info.total_ram = pages.total * page_size;
    info.free_ram = pages.free * page_size;
    info.procs =
        static_cast<uint16_t>(std::min<uint64_t>(proc_counts.uthreads.load(std::memory_order_relaxed), UINT16_MAX));
    info.memory_unit = 1;
    return out.write(info);
}

Result<uint32_t> sys_personality(uint32_t persona) {
    Proc& self = current_proc();
    const uint32_t old = self.personality;
    if (persona != 0xffffffff)
        self.personality = persona;
    return old;
}

Result<uint64_t> sys_getrandom(uint64_t buffer, uint64_t n, uint32_t flags) {
    constexpr uint32_t nonblock = 1, random = 2, insecure = 4;
    if ((flags & ~(nonblock | random | insecure)) || (flags & (random | insecure)) == (random | insecure))
        return Errno::inval;
    const UioSegment segment = TRY(one_segment(buffer, std::min<uint64_t>(n, rw_max)));
    Uio uio{std::span(&segment, 1)};
    return TRY(random_give(uio));
}

Result<uint64_t> sys_syslog(int type, uint64_t buffer, int size) {
    enum { close, open, read, read_all, read_clear, clear, console_off, console_on, console_level, unread, capacity };
    if (type != read_all && type != capacity && !capable(Capability::sys_admin))
        return Errno::perm;
    switch (type) {
    case close:
    case open: return 0;
    case read: {
        if (buffer == 0 || size < 0)
            return Errno::inval;
        if (size == 0)
            return 0;
        // No queue to sleep on: whoever follows the log looks twice a second.
        while (log_read_to.load(std::memory_order_relaxed) >= log_end())
            if (sleep_until(monotonic_ns() + ns_per_second / 2, "syslog") == WaitResult::interrupted)
                return Errno::restart_sys;
        uint64_t from = log_read_to.load(std::memory_order_relaxed);
        const uint64_t n = TRY(copy_log(from, buffer, static_cast<uint64_t>(size)));
        log_read_to.store(from, std::memory_order_relaxed);
        return n;
    }
    case read_all:
    case read_clear: {
        if (buffer == 0 || size < 0)
            return Errno::inval;
        const uint64_t end = log_end(), room = static_cast<uint64_t>(size);
        uint64_t from =
            std::max({log_begin(), log_cleared_to.load(std::memory_order_relaxed), end - std::min(end, room)});
        const uint64_t n = TRY(copy_log(from, buffer, std::min(end - std::min(end, from), room)));
        if (type == read_clear)
            log_cleared_to.store(end, std::memory_order_relaxed);
        return n;
    }
    case clear: log_cleared_to.store(log_end(), std::memory_order_relaxed); return 0;
    case console_off:
    case console_on: log_set_quiet(type == console_off); return 0;
    case console_level:
        if (size < 1 || size > 8)
            return Errno::inval;
        log_set_quiet(size < 5); // below KERN_WARNING's level: nothing of ours is that urgent
        return 0;
    case unread: return log_end() - std::max(log_begin(), log_read_to.load(std::memory_order_relaxed));
    case capacity: return std::max<uint64_t>(log_end() - log_begin(), page_size);
    default: return Errno::inval;
    }
}

Result<void> sys_reboot(uint32_t magic1, uint32_t magic2, uint32_t command, uint64_t) {
    if (!capable(Capability::sys_boot))
        return Errno::perm;
    constexpr uint32_t magic = 0xfee1dead;
    constexpr uint32_t second[] = {672274793, 85072278, 369367448, 537993216};
    if (magic1 != magic || std::find(std::begin(second), std::end(second), magic2) == std::end(second))
        return Errno::inval;
    switch (command) {
    case 0x01234567: // RESTART
    case 0xa1b2c3d4: // RESTART2
        kprint("reboot: restarting\n");
        machine::power(machine::PowerAction::reboot);
    case 0xcdef0123: // HALT: there is nothing to return to
    case 0x4321fedc: // POWER_OFF
        kprint("reboot: power down\n");
        machine::power(machine::PowerAction::off);
    case 0x89abcdef: // CAD_ON and CAD_OFF: no keyboard sends Ctrl-Alt-Del
    case 0: return {};
    default: return Errno::inval;
    }
}

Result<uint64_t> sys_prctl(int option, uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    enum {
        set_pdeathsig = 1,
        get_pdeathsig = 2,
        get_dumpable = 3,
        set_dumpable = 4,
        get_keepcaps = 7,
        set_keepcaps = 8,
        set_name_ = 15,
        get_name = 16,
        get_seccomp = 21,
        capbset_read = 23,
        capbset_drop = 24,
        get_securebits = 27,
        set_securebits = 28,
        get_timerslack = 30,
        set_child_subreaper = 36,
        get_child_subreaper = 37,
        set_no_new_privs = 38,
        get_no_new_privs = 39,
        get_tid_address = 40,
        get_thp_disable = 42,
        cap_ambient = 47,
    };
    constexpr uint64_t timer_slack_ns = 50000; ///< Linux's default; sleeps here are not slacker than that
    Proc& self = current_proc();
    Uthread& uthread = current_uthread();
    switch (option) {
    case set_pdeathsig:
        if (a > signal_count)
            return Errno::inval;
        uthread.parent_death_signal = static_cast<int32_t>(a);
        return 0;
    case get_pdeathsig: TRY(UserPtr<int32_t>(a).write(uthread.parent_death_signal)); return 0;
    case get_dumpable: return self.dumpable;
    case set_dumpable:
        if (a > 1)
            return Errno::inval;
        self.dumpable = a != 0;
        return 0;
    case get_keepcaps: return self.keep_caps;
    case set_keepcaps:
        if (a > 1)
            return Errno::inval;
        self.keep_caps = a != 0;
        return 0;
    case set_name_: return set_task_name(a);
    case get_name: TRY(copyout(a, uthread.name, sizeof uthread.name)); return 0;
    case get_seccomp: return 0;
    case capbset_read:
        return a >= capability_count ? Result<uint64_t>(Errno::inval) : self.cred()->cap_bounding >> a & 1;
    case capbset_drop:
        if (a >= capability_count)
            return Errno::inval;
        if (!capable(Capability::setpcap))
            return Errno::perm;
        return change_cred([](Cred& cred, uint64_t n) { cred.cap_bounding &= ~(uint64_t{1} << n); }, a);
    case get_securebits: return self.cred()->securebits;
    case set_securebits: {
        constexpr uint64_t known = 0xff, locks = 0xaa;
        const uint64_t old = self.cred()->securebits;
        if ((a & ~known) || (((old & locks) >> 1) & (a ^ old)) || (old & locks & ~a))
            return Errno::perm;
        if (!capable(Capability::setpcap))
            return Errno::perm;
        return change_cred([](Cred& cred, uint64_t bits) { cred.securebits = static_cast<uint32_t>(bits); }, a);
    }
    case get_timerslack: return timer_slack_ns;
    case set_child_subreaper: {
        ProcTreeGuard guard(proc_tree_lock);
        self.is_subreaper = a != 0;
        return 0;
    }
    case get_child_subreaper: TRY(UserPtr<int32_t>(a).write(self.is_subreaper)); return 0;
    case set_no_new_privs:
        if (a != 1 || b != 0 || c != 0 || d != 0)
            return Errno::inval;
        self.no_new_privs = true;
        return 0;
    case get_no_new_privs:
        if (a != 0 || b != 0 || c != 0 || d != 0)
            return Errno::inval;
        return self.no_new_privs;
    case get_tid_address: TRY(UserPtr<uint64_t>(a).write(uthread.clear_child_tid)); return 0;
    case get_thp_disable: return 0;
    case cap_ambient:
        if (c != 0 || d != 0)
            return Errno::inval;
        return ambient(a, b);
    default: return Errno::inval;
    }
}

} // namespace lentil::abi
