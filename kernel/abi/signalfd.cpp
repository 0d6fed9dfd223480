// SPDX-License-Identifier: BSD-2-Clause
// signalfd: signals of the reader as data. Which process reads is decided at each read, as on Linux.
#include <abi/files.hpp>
#include <abi/sys_signal.hpp>
#include <bsd/anonymous_file.hpp>
#include <bsd/signal_impl.hpp>
#include <libkern/format.hpp>

namespace lentil::abi {

namespace {

/// struct signalfd_siginfo.
struct SignalfdInfo {
    uint32_t signo;
    int32_t error, code;
    uint32_t pid, uid;
    int32_t fd;
    uint32_t timer_id, band, overrun, trap;
    int32_t status, value_int;
    uint64_t value, utime, stime, address;
    uint8_t room[48];
};
static_assert(sizeof(SignalfdInfo) == 128 && offsetof(SignalfdInfo, value) == 48 &&
              offsetof(SignalfdInfo, address) == 72);

SignalfdInfo to_signalfd(const SigInfo& info) {
    SignalfdInfo out{};
    out.signo = static_cast<uint32_t>(info.signo);
    out.error = info.error;
    out.code = info.code;
    out.pid = static_cast<uint32_t>(info.pid);
    out.uid = info.uid;
    out.fd = info.fd;
    out.timer_id = static_cast<uint32_t>(info.timer_id);
    out.band = static_cast<uint32_t>(info.band);
    out.overrun = static_cast<uint32_t>(info.overrun);
    out.status = info.status;
    out.value_int = static_cast<int32_t>(info.value);
    out.value = info.value;
    out.utime = static_cast<uint64_t>(info.utime / ns_per_tick);
    out.stime = static_cast<uint64_t>(info.stime / ns_per_tick);
    out.address = info.address;
    return out;
}

class SignalFile final : public AnonymousFile {
public:
    static constexpr const char* zone_name = "signalfds";
    SignalFile(uint32_t flags_value, SigSet set)
        : AnonymousFile(open_flags::read_write | flags_value, "signalfd"), set_(set.bits) {}
    /// `file` as one, nullptr if it is none.
    static SignalFile* of(File& file) {
        char text[32]; // which no other kind of file has: paths begin with a slash
        const size_t length = file.node() ? 0 : file.describe(text);
        const bool is_one = std::string_view(text, length) == "anon_inode:[signalfd]";
        return is_one ? static_cast<SignalFile*>(&file) : nullptr;
    }
    void set(SigSet set) {
        set_.store(set.bits, std::memory_order_relaxed);
        signal_waitq(current_proc()).wake_all(); // what pends may be among them now
    }
    void dispose() override { zone_delete(this); }

    Result<size_t> read(Uio& uio) override {
        if (uio.left() < sizeof(SignalfdInfo))
            return Errno::inval;
        size_t done = 0;
        while (uio.left() >= sizeof(SignalfdInfo)) {
            SigInfo info;
            if (!take(info)) {
                if (done != 0)
                    break;
                if (nonblocking())
                    return Errno::again;
                if (wait_until(signal_waitq(current_proc()), "signalfd", [this] { return pends(); }) !=
                    WaitResult::awoken)
                    return Errno::restart_sys;
                continue;
            }
            const SignalfdInfo out = to_signalfd(info);
            done += TRY(uio.put(&out, sizeof out));
        }
        return done;
    }
    Result<size_t> write(Uio&) override { return Errno::inval; }
    uint32_t poll(uint32_t events, PollTable* table) override {
        if (table)
            table->add(signal_waitq(current_proc()));
        return (pends() ? poll_events::in | poll_events::rdnorm : 0) & events;
    }
    void describe_state(const FormatSink& out) override { out.add("sigmask:\t{:016x}\n", now().bits); }

private:
    bool take(SigInfo& info) {
        Uthread& self = current_uthread();
        SpinGuard guard(self.proc->sig.lock);
        const bool taken = signals::take_signal(self, now(), info);
        if (taken)
            signal_recalculate(self);
        return taken;
    }
    bool pends() const {
        const Uthread& self = current_uthread();
        SpinGuard guard(self.proc->sig.lock);
        return !((self.sig.pending.set | self.proc->sig.shared.set) & now()).empty();
    }

    SigSet now() const { return SigSet{set_.load(std::memory_order_relaxed)}; }

    std::atomic<uint64_t> set_;
};

} // namespace

Result<int> sys_signalfd4(int fd, UserPtr<uint64_t> mask, uint64_t size, uint32_t flags) {
    if (size != sizeof(uint64_t) || (flags & ~(open_flags::cloexec | open_flags::nonblock)))
        return Errno::inval;
    const SigSet set = SigSet{TRY(mask.read())} & ~unblockable;
    if (fd != -1) {
        const FileHold open = TRY(open_file(fd));
        SignalFile* const signals = SignalFile::of(*open);
        if (!signals)
            return Errno::inval;
        signals->set(set);
        return fd;
    }
    RefPtr<File> file = TRY(make_ref<SignalFile>(flags & open_flags::nonblock, set));
    return install_file(std::move(file), flags & open_flags::cloexec);
}

} // namespace lentil::abi
