// SPDX-License-Identifier: BSD-2-Clause
// Signals: state of procs and uthreads, sending, picking, default actions, job-control stops. Layout of frames and
// siginfo for user mode is in abi/.
#pragma once

#include <array>

#include <libkern/intrusive.hpp>
#include <libkern/types.hpp>
#include <machine/machine.hpp>
#include <sched/waitq.hpp>
#include <vm/zalloc.hpp>

namespace lentil {

struct Proc;
struct Uthread;

/// Linux riscv64 (asm-generic) numbers.
enum Signal : int32_t {
    sig_hup = 1, sig_int = 2, sig_quit = 3, sig_ill = 4, sig_trap = 5, sig_abrt = 6, sig_bus = 7, sig_fpe = 8,
    sig_kill = 9, sig_usr1 = 10, sig_segv = 11, sig_usr2 = 12, sig_pipe = 13, sig_alrm = 14, sig_term = 15,
    sig_stkflt = 16, sig_chld = 17, sig_cont = 18, sig_stop = 19, sig_tstp = 20, sig_ttin = 21, sig_ttou = 22,
    sig_urg = 23, sig_xcpu = 24, sig_xfsz = 25, sig_vtalrm = 26, sig_prof = 27, sig_winch = 28, sig_io = 29,
    sig_pwr = 30, sig_sys = 31, sig_rtmin = 32, signal_count = 64,
};

/// A set of signals 1..64, bit n-1, as the Linux sigset_t of 8 bytes.
struct SigSet {
    uint64_t bits = 0;
    static constexpr SigSet of(int sig) { return {uint64_t{1} << (sig - 1)}; }
    constexpr bool has(int sig) const { return bits >> (sig - 1) & 1; }
    constexpr void add(int sig) { bits |= of(sig).bits; }
    constexpr void remove(int sig) { bits &= ~of(sig).bits; }
    constexpr bool empty() const { return bits == 0; }
    friend constexpr SigSet operator|(SigSet a, SigSet b) { return {a.bits | b.bits}; }
    friend constexpr SigSet operator&(SigSet a, SigSet b) { return {a.bits & b.bits}; }
    friend constexpr SigSet operator~(SigSet a) { return {~a.bits}; }
    friend constexpr bool operator==(SigSet, SigSet) = default;
};
inline constexpr SigSet unblockable{SigSet::of(sig_kill).bits | SigSet::of(sig_stop).bits};
inline constexpr SigSet stop_signals{SigSet::of(sig_stop).bits | SigSet::of(sig_tstp).bits | SigSet::of(sig_ttin).bits |
                                     SigSet::of(sig_ttou).bits};

/// What a signal carries, the union of siginfo_t's fields by kind (code says which are meaningful).
struct SigInfo {
    int32_t signo = 0, error = 0, code = 0; ///< code: SI_USER 0, SI_KERNEL 0x80, SI_QUEUE -1, SI_TIMER -2, SI_TKILL -6, CLD_*, SEGV_*...
    int32_t pid = 0;
    uid_t uid = 0;
    int32_t status = 0;                     ///< SIGCHLD
    uint64_t value = 0;                     ///< sigqueue, timers
    vaddr_t address = 0;                    ///< faults
    nanos_t utime = 0, stime = 0;           ///< SIGCHLD
    int32_t timer_id = 0, overrun = 0, band = 0, fd = 0;
};
namespace si_code {
inline constexpr int32_t user = 0, kernel = 0x80, queue = -1, timer = -2, tkill = -6;
inline constexpr int32_t cld_exited = 1, cld_killed = 2, cld_dumped = 3, cld_trapped = 4, cld_stopped = 5, cld_continued = 6;
inline constexpr int32_t segv_maperr = 1, segv_accerr = 2, bus_adraln = 1, bus_adrerr = 2, ill_illopc = 1, trap_brkpt = 1;
} // namespace si_code

struct SigAction {
    static constexpr uint64_t ignore = 1, default_action = 0;
    vaddr_t handler = default_action; ///< or the two values above
    uint64_t flags = 0;               ///< SA_*
    SigSet mask;
};
namespace sa_flags {
inline constexpr uint64_t nocldstop = 1, nocldwait = 2, siginfo = 4, onstack = 0x08000000, restart = 0x10000000,
                          nodefer = 0x40000000, resethand = 0x80000000;
}

/// Handlers of a proc; shared with FORK_SHARESIGS / CLONE_SIGHAND. Guarded by the `signal` lock of its own.
struct SigActs : ZonedRefCounted<SigActs> {
    static constexpr const char* zone_name = "sigacts";
    mutable SpinLock<Rank::cwd> lock;
    std::array<SigAction, signal_count> actions{};
    Result<RefPtr<SigActs>> copy() const;
};

/// One queued signal with its information.
struct QueuedSignal {
    static constexpr const char* zone_name = "queued_signals";
    SigInfo info;
    ListHook link;
};

/// A pending set: a bit a signal, and a queue for those that carry more than the bit.
struct Pending {
    SigSet set;
    List<QueuedSignal, &QueuedSignal::link> queue;
    ~Pending();
};

/// Signal state of a proc; everything here and in UthreadSignals is guarded by Proc::sig.lock.
struct ProcSignals {
    mutable SpinLock<Rank::signal> lock;
    Pending shared;
    bool group_exit = false;      ///< the proc ends: no uthread returns to user mode again
    int32_t group_exit_status = 0;///< wait status it ends with
    Uthread* exec_survivor = nullptr; ///< set while one uthread execs: all others end
    bool stopping = false, stopped = false, continued_unreported = false, stop_unreported = false;
    int32_t stop_signal = 0;
    Waitq stop_waitq;             ///< stopped uthreads sleep here
    Waitq wait_waitq;             ///< sigtimedwait, signalfd
    uint32_t queued_count = 0;
};

/// Signal state of a uthread.
struct UthreadSignals {
    SigSet mask;
    SigSet saved_mask;            ///< to restore after a handler when has_saved_mask (sigsuspend, ppoll)
    bool has_saved_mask = false;
    Pending pending;
    vaddr_t altstack_base = 0;
    uint64_t altstack_size = 0;
    uint32_t altstack_flags = 2;  ///< SS_DISABLE
    SigSet waiting_for;           ///< sigtimedwait
    bool stopped = false;
};

// -- sending -------------------------------------------------------------------------------------------------------
/// To the proc as a whole. No permission check. Callable with proc_tree held, and from interrupts; never blocks.
void signal_send(Proc& proc, const SigInfo& info);
/// To one uthread.
void signal_send(Uthread& uthread, const SigInfo& info);
/// A fault of the current uthread: cannot be blocked or ignored (LX: forces the default action then).
void signal_force(const SigInfo& info);
/// From the kernel to a proc, by number.
void signal_send_kernel(Proc& proc, int signo);
/// Whether the current uthread may signal `target`: Linux rules of kill(2).
bool signal_allowed(const Proc& target, int signo);

// -- looking -------------------------------------------------------------------------------------------------------
/// Whether the uthread has something to deliver or must stop or end.
bool signal_pending(const Uthread& uthread);
/// Recomputes whether the uthread's thread needs an AST. With the proc's signal lock held.
void signal_recalculate(Uthread& uthread);
/// The way back to user mode (AST): delivers one signal after another, stops, or ends the uthread. `frame` is the user's;
/// `restart` handling of an interrupted system call happens here.
void signal_ast(machine::Trapframe& frame);

// -- changes of the current uthread -----------------------------------------------------------------------------------
void signal_set_mask(Uthread& uthread, SigSet mask);
/// Atomically sets `mask` until the next handler ran (sigsuspend, ppoll, pselect): pairs with restore through signal_ast.
void signal_set_temporary_mask(Uthread& uthread, SigSet mask);
Result<SigAction> signal_set_action(Proc& proc, int signo, const SigAction* action);
/// exec: handlers to default, alternate stack gone, pending kept.
void signal_exec(Uthread& uthread, RefPtr<SigActs> fresh);
/// sigtimedwait: takes a pending signal of `set`, or sleeps. again on time-out.
Result<SigInfo> signal_wait(SigSet set, nanos_t deadline_ns);
/// fork: mask inherited, nothing pending.
void signal_fork(const Uthread& parent, Uthread& child);
/// Marks the proc as ending with `status` and interrupts all its uthreads. False if it was ending already. With no lock held.
bool signal_begin_group_exit(Proc& proc, int32_t wait_status);

} // namespace lentil
