// SPDX-License-Identifier: BSD-2-Clause
// ptrace(2) as Linux riscv64 has it, and process_vm_readv, process_vm_writev. There is no user area, so PEEKUSER and
// POKEUSER fail, and registers are reached as sets.
#include <algorithm>
#include <cstring>

#include <abi/linux_ptrace.hpp>
#include <abi/linux_signal.hpp>
#include <abi/sys_proc.hpp>
#include <bsd/ptrace.hpp>
#include <sched/killed.hpp>

namespace lentil::abi {

namespace {

/// Not PTRACE_O_TRACESECCOMP: there is no seccomp.
bool options_ok(uint64_t options) { return (options & ~uint64_t{trace_options::all}) == 0; }

Result<void> set_options(int pid, uint64_t options) {
    if (!options_ok(options))
        return Errno::inval;
    return ptrace_with_stopped(pid, [&](Tracing& tracing) { tracing.options = static_cast<uint32_t>(options); });
}

Result<void> peek(int pid, vaddr_t address, vaddr_t to) {
    const RefPtr<VmMap> map = TRY(ptrace_map(pid));
    uint64_t word = 0;
    if (map->read_memory(address, &word, sizeof word) != sizeof word)
        return Errno::io;
    return copyout(to, &word, sizeof word);
}

Result<void> poke(int pid, vaddr_t address, uint64_t word) {
    const RefPtr<VmMap> map = TRY(ptrace_map(pid));
    if (map->write_memory(address, &word, sizeof word, true) != sizeof word)
        return Errno::io;
    return {};
}

// ---- registers -----------------------------------------------------------------------------------------------------

/// A register set of any kind, as user mode sees it.
union Registers {
    LinuxUserRegs general{};
    LinuxUserFp fp;
};

Result<size_t> size_of(uint64_t type) {
    switch (static_cast<RegisterSet>(type)) {
    case RegisterSet::general: return sizeof(LinuxUserRegs);
    case RegisterSet::floating_point: return sizeof(LinuxUserFp);
    default: return Errno::inval;
    }
}

Result<void> load_registers(int pid, uint64_t type, Registers& out) {
    return ptrace_with_stopped(pid, [&](Tracing& tracing) {
        Thread& thread = *tracing.uthread->thread.load(std::memory_order_relaxed);
        if (static_cast<RegisterSet>(type) == RegisterSet::general) {
            machine::Trapframe& frame = machine::user_frame(thread.arch);
            out.general.pc = frame.pc();
            for (unsigned i = 1; i < 32; i++)
                out.general.x[i - 1] = frame.reg(i);
        } else {
            std::memcpy(out.fp.f, thread.arch.fp.f, sizeof out.fp.f);
            out.fp.fcsr = static_cast<uint32_t>(thread.arch.fp.fcsr);
            out.fp.zero = 0;
        }
    });
}

Result<void> store_registers(int pid, uint64_t type, const Registers& in) {
    return ptrace_with_stopped(pid, [&](Tracing& tracing) {
        Thread& thread = *tracing.uthread->thread.load(std::memory_order_relaxed);
        if (static_cast<RegisterSet>(type) == RegisterSet::general) {
            machine::Trapframe& frame = machine::user_frame(thread.arch);
            frame.set_pc(in.general.pc & ~uint64_t{1}); // instructions are never odd
            for (unsigned i = 1; i < 32; i++)
                frame.reg(i) = in.general.x[i - 1];
        } else {
            std::memcpy(thread.arch.fp.f, in.fp.f, sizeof in.fp.f);
            thread.arch.fp.fcsr = in.fp.fcsr & 0xff;
            tracing.stop->fp_changed = true;
        }
    });
}

Result<void> get_registers(int pid, uint64_t type, UserPtr<LinuxIovec> where) {
    LinuxIovec iovec = TRY(where.read());
    const size_t size = TRY(size_of(type));
    if (iovec.length % sizeof(uint64_t) != 0)
        return Errno::inval;
    Registers registers;
    TRY(load_registers(pid, type, registers));
    iovec.length = std::min<uint64_t>(iovec.length, size);
    TRY(copyout(iovec.base, &registers, iovec.length));
    return where.write(iovec);
}

Result<void> set_registers(int pid, uint64_t type, UserPtr<LinuxIovec> where) {
    LinuxIovec iovec = TRY(where.read());
    const size_t size = TRY(size_of(type));
    if (iovec.length % sizeof(uint64_t) != 0)
        return Errno::inval;
    iovec.length = std::min<uint64_t>(iovec.length, size);
    Registers registers;
    TRY(load_registers(pid, type, registers)); // what is not given stays
    TRY(copyin(&registers, iovec.base, iovec.length));
    TRY(store_registers(pid, type, registers));
    return where.write(iovec);
}

// ---- signals -------------------------------------------------------------------------------------------------------

Result<void> get_siginfo(int pid, vaddr_t to) {
    LinuxSiginfo info;
    TRY(ptrace_with_stopped(pid, [&](Tracing& tracing) -> Result<void> {
        if (!tracing.stop->has_info)
            return Errno::inval;
        info = to_linux(tracing.stop->info);
        return {};
    }));
    return copyout(to, &info, sizeof info);
}

Result<void> set_siginfo(int pid, vaddr_t from) {
    LinuxSiginfo info;
    TRY(copyin(&info, from, sizeof info));
    return ptrace_with_stopped(pid, [&](Tracing& tracing) -> Result<void> {
        if (!tracing.stop->has_info)
            return Errno::inval;
        if (is_signal(info.signo))
            tracing.stop->info = from_linux(info, info.signo);
        return {};
    });
}

/// The n-th queued signal; false if there are fewer.
Result<bool> queued_signal(int pid, uint64_t n, bool shared, LinuxSiginfo& out) {
    bool found = false;
    TRY(ptrace_with_stopped(pid, [&](Tracing& tracing) {
        SpinGuard guard(tracing.proc->sig.lock);
        const Pending& pending = shared ? tracing.proc->sig.shared : tracing.uthread->sig.pending;
        for (const QueuedSignal& entry : pending.queue)
            if (n-- == 0) {
                out = to_linux(entry.info);
                found = true;
                break;
            }
    }));
    return found;
}

Result<int64_t> peek_siginfo(int pid, vaddr_t args_at, vaddr_t to) {
    const auto args = TRY(UserPtr<PtracePeekSiginfoArgs>(args_at).read());
    if ((args.flags & ~peek_siginfo_shared) || args.count < 0)
        return Errno::inval;
    int64_t done = 0;
    for (; done < args.count && !being_killed(); done++) {
        LinuxSiginfo info;
        const uint64_t n = args.offset + static_cast<uint64_t>(done);
        if (!TRY(queued_signal(pid, n, args.flags & peek_siginfo_shared, info)))
            break;
        TRY(copyout(to + static_cast<uint64_t>(done) * sizeof info, &info, sizeof info));
    }
    return done;
}

Result<void> get_mask(int pid, uint64_t size, vaddr_t to) {
    uint64_t mask = 0;
    if (size != sizeof mask)
        return Errno::inval;
    TRY(ptrace_with_stopped(pid, [&](Tracing& tracing) {
        const UthreadSignals& sig = tracing.uthread->sig;
        SpinGuard guard(tracing.proc->sig.lock);
        mask = (sig.has_saved_mask ? sig.saved_mask : sig.mask).bits;
    }));
    return copyout(to, &mask, sizeof mask);
}

Result<void> set_mask(int pid, uint64_t size, vaddr_t from) {
    uint64_t mask = 0;
    if (size != sizeof mask)
        return Errno::inval;
    TRY(copyin(&mask, from, sizeof mask));
    return ptrace_with_stopped(pid, [&](Tracing& tracing) {
        UthreadSignals& sig = tracing.uthread->sig;
        SpinGuard guard(tracing.proc->sig.lock);
        sig.mask = SigSet{mask} & ~unblockable;
        sig.has_saved_mask = false;
        signal_recalculate(*tracing.uthread);
    });
}

// ---- system calls --------------------------------------------------------------------------------------------------

Result<int64_t> get_syscall_info(int pid, uint64_t size, vaddr_t to) {
    PtraceSyscallInfo info;
    std::memset(&info, 0, sizeof info);
    size_t used = offsetof(PtraceSyscallInfo, entry_info);
    TRY(ptrace_with_stopped(pid, [&](Tracing& tracing) {
        const machine::Trapframe& frame =
            machine::user_frame(tracing.uthread->thread.load(std::memory_order_relaxed)->arch);
        info.arch = audit_arch_riscv64;
        info.instruction_pointer = frame.pc();
        info.stack_pointer = frame.sp();
        if (!(tracing.options & trace_options::sysgood))
            return; // as Linux: without it a stop does not say what it is
        if (tracing.stop->kind == TraceStopKind::syscall_entry) {
            info.operation = PtraceSyscallInfo::entry;
            info.entry_info.number = static_cast<uint64_t>(frame.syscall_number());
            for (unsigned i = 0; i < 6; i++)
                info.entry_info.args[i] = frame.arg(i);
            used = offsetof(PtraceSyscallInfo, entry_info) + sizeof info.entry_info;
        } else if (tracing.stop->kind == TraceStopKind::syscall_exit) {
            constexpr int64_t largest_errno = 4095;
            info.operation = PtraceSyscallInfo::exit;
            info.exit_info.value = static_cast<int64_t>(frame.return_value());
            info.exit_info.is_error = info.exit_info.value < 0 && info.exit_info.value >= -largest_errno;
            used = offsetof(PtraceSyscallInfo, exit_info.is_error) + 1;
        }
    }));
    TRY(copyout(to, &info, std::min<uint64_t>(size, used)));
    return static_cast<int64_t>(used);
}

Result<void> get_message(int pid, vaddr_t to) {
    uint64_t message = 0;
    TRY(ptrace_with_stopped(pid, [&](Tracing& tracing) { message = tracing.message; }));
    return copyout(to, &message, sizeof message);
}

Result<void> order(int64_t request, int pid, vaddr_t address, uint64_t data) {
    using namespace ptrace_request;
    switch (request) {
    case attach: return ptrace_attach(pid, false, 0);
    case seize:
        if (address != 0 || !options_ok(data))
            return Errno::io;
        return ptrace_attach(pid, true, static_cast<uint32_t>(data));
    case ptrace_request::interrupt: return ptrace_interrupt(pid);
    case ptrace_request::listen: return ptrace_listen(pid);
    case ptrace_request::kill: return ptrace_kill(pid);
    case cont: return ptrace_resume(pid, TraceResume::freely, data);
    case ptrace_request::syscall: return ptrace_resume(pid, TraceResume::syscall, data);
    case singlestep: return ptrace_resume(pid, TraceResume::step, data);
    case detach: return ptrace_detach(pid, data);
    case peektext:
    case peekdata: return peek(pid, address, data);
    case poketext:
    case pokedata: return poke(pid, address, data);
    case setoptions: return set_options(pid, data);
    case geteventmsg: return get_message(pid, data);
    case getsiginfo: return get_siginfo(pid, data);
    case setsiginfo: return set_siginfo(pid, data);
    case getregset: return get_registers(pid, address, UserPtr<LinuxIovec>(data));
    case setregset: return set_registers(pid, address, UserPtr<LinuxIovec>(data));
    case getsigmask: return get_mask(pid, address, data);
    case setsigmask: return set_mask(pid, address, data);
    default:
        // What Linux riscv64 does not know either, once it found the tracee.
        TRY(ptrace_with_stopped(pid, [](Tracing&) {}));
        return Errno::io;
    }
}

// ---- process_vm_readv, process_vm_writev ---------------------------------------------------------------------------

constexpr uint64_t most_pieces = 1024; // UIO_MAXIOV

/// A list of pieces in the caller's memory, gone through byte by byte.
class Pieces {
public:
    static Result<Pieces> read(vaddr_t at, uint64_t count) {
        if (count > most_pieces)
            return Errno::inval;
        Pieces pieces;
        pieces.list_ = TRY(Buffer<LinuxIovec>::create(count));
        if (count > 0)
            TRY(copyin(pieces.list_.data(), at, count * sizeof(LinuxIovec)));
        uint64_t total = 0;
        for (const LinuxIovec& piece : pieces.list_.span())
            if (piece.length > INT64_MAX || (total += piece.length) > INT64_MAX)
                return Errno::inval;
        pieces.skip_empty();
        return pieces;
    }
    bool at_end() const { return n_ == list_.size(); }
    uint64_t address() const { return list_.data()[n_].base + offset_; }
    uint64_t left_in_piece() const { return list_.data()[n_].length - offset_; }
    void advance(uint64_t bytes) {
        offset_ += bytes;
        skip_empty();
    }

private:
    void skip_empty() {
        while (n_ < list_.size() && offset_ == list_.data()[n_].length) {
            n_++;
            offset_ = 0;
        }
    }
    Buffer<LinuxIovec> list_;
    size_t n_ = 0;
    uint64_t offset_ = 0;
};

Result<RefPtr<VmMap>> map_of(pid_t id) {
    RefPtr<Proc> proc;
    {
        ProcTreeGuard guard(proc_tree_lock);
        if (const Uthread* uthread = uthread_find_locked(id))
            proc = ref(uthread->proc);
        else
            proc = ref(proc_find_locked(id));
    }
    if (!proc)
        return Errno::srch;
    TRY(ptrace_check_access(*proc));
    RefPtr<VmMap> map = proc_map(*proc);
    if (!map)
        return Errno::srch;
    return map;
}

Result<uint64_t> process_vm(int pid, Pieces local, Pieces remote, uint64_t flags, bool write) {
    if (flags != 0)
        return Errno::inval;
    const RefPtr<VmMap> map = TRY(map_of(pid));
    auto buffer = TRY(Buffer<uint8_t>::create(page_size));
    uint64_t done = 0;
    while (!local.at_end() && !remote.at_end()) {
        const uint64_t part = std::min({local.left_in_piece(), remote.left_in_piece(), buffer.size()});
        uint64_t moved = 0;
        if (write) {
            if (!copyin(buffer.data(), local.address(), part).ok())
                break;
            moved = map->write_memory(remote.address(), buffer.data(), part, false);
        } else {
            moved = map->read_memory(remote.address(), buffer.data(), part, false);
            if (!copyout(local.address(), buffer.data(), moved).ok())
                break;
        }
        done += moved;
        if (moved < part || being_killed())
            break;
        local.advance(part);
        remote.advance(part);
    }
    if (done == 0 && !local.at_end() && !remote.at_end())
        return Errno::fault;
    return done;
}

} // namespace

Result<int64_t> sys_ptrace(int64_t request, int pid, vaddr_t address, uint64_t data) {
    switch (request) {
    case ptrace_request::traceme: TRY(ptrace_trace_me()); return int64_t{0};
    case ptrace_request::peeksiginfo: return peek_siginfo(pid, address, data);
    case ptrace_request::get_syscall_info: return get_syscall_info(pid, address, data);
    default: TRY(order(request, pid, address, data)); return int64_t{0};
    }
}

Result<uint64_t> sys_process_vm_readv(int pid, vaddr_t local, uint64_t local_count, vaddr_t remote,
                                      uint64_t remote_count, uint64_t flags) {
    return process_vm(pid, TRY(Pieces::read(local, local_count)), TRY(Pieces::read(remote, remote_count)), flags,
                      false);
}

Result<uint64_t> sys_process_vm_writev(int pid, vaddr_t local, uint64_t local_count, vaddr_t remote,
                                       uint64_t remote_count, uint64_t flags) {
    return process_vm(pid, TRY(Pieces::read(local, local_count)), TRY(Pieces::read(remote, remote_count)), flags, true);
}

} // namespace lentil::abi
