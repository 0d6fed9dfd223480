// SPDX-License-Identifier: BSD-2-Clause
// The BSD process: everything that user mode can observe about "who am I", the process tree, and its tables.
#pragma once

#include <bsd/cred.hpp>
#include <bsd/fdtable.hpp>
#include <bsd/limits.hpp>
#include <bsd/signal.hpp>
#include <bsd/tracing.hpp>
#include <bsd/uthread.hpp>
#include <bsd/vfork_loan.hpp>
#include <libkern/boot_static.hpp>
#include <mach/task.hpp>
#include <sched/callout.hpp>

namespace lentil::sysv {
class SemUndos;
}

namespace lentil {

class Tty; // bsd/tty.hpp
struct ProcessGroup;
struct Session;

/// The one lock of the process tree: parents, children, groups, sessions, pids, states, loans. Spins, so it may be held
/// only for pointer work; signal_send may be called with it held.
extern SpinLock<Rank::proc_tree> proc_tree_lock;
using ProcTreeGuard = SpinGuard<Rank::proc_tree>;

enum class ProcState : uint32_t {
    embryo, ///< fork1 is building it: nobody finds it
    active,
    zombie, ///< waits to be waited for
    dead    ///< reaped; lives on only through references
};

/// Links of a proc in the lists that others keep (a base, so that the lists' types can name the hooks).
struct ProcLinks {
    ListHook sibling_link; ///< t; parent's children
    ListHook group_link;   ///< t; process group's members
    ListHook all_link;     ///< t; all procs that are not dead, in order of birth
    ListHook pid_link;     ///< t; pid table
};

template<ListHook ProcLinks::*H>
using ProcList = bi::list<ProcLinks, bi::member_hook<ProcLinks, ListHook, H>, bi::constant_time_size<false>>;
Proc& proc_of(ProcLinks& links);

/// Interval timers of setitimer(2); they belong to the identity, not to the thread.
struct IntervalTimer {
    Callout callout; ///< ITIMER_REAL
    nanos_t interval_ns = 0;
};

/// With what every process needs: its leader and the records below lie in it, and each that is in use holds a reference to it.
struct Proc : RefCounted<Proc>, ProcLinks {
    static constexpr const char* zone_name = "procs";

    static Result<RefPtr<Proc>> create(); ///< nomem
    Proc();                               ///< for create() alone
    void last_unref();
    /// As a new one, once nobody refers to it: it may be another process then, without a constructor.
    void renew();
    /// Before its birth only: lets go of what lies in it, and so of itself.
    void abandon();
    /// The first owner of one of the records that lie in it.
    template<class T>
    RefPtr<T> house(T& record) {
        ref();
        return RefPtr<T>::adopt(&record);
    }

    pid_t pid = 0;

    // -- the tree; t = proc_tree_lock ---------------------------------------------------------------------------------
    ProcState state = ProcState::embryo;         ///< t
    Proc* parent = nullptr;                      ///< t; orphans go to init (or a subreaper): set_parent_locked()
    Word<pid_t> parent_pid{0};                   ///< t to change; the parent's, or 0
    ProcList<&ProcLinks::sibling_link> children; ///< t
    RefPtr<ProcessGroup> group;                  ///< t
    List<Uthread, &Uthread::proc_link> uthreads; ///< t; each entry owns one reference
    std::atomic<unsigned> uthread_count{0};      ///< t to change; living
    int32_t exit_signal = sig_chld;              ///< t; to the parent at the end; 0: none
    int32_t exit_status = 0;                     ///< t; wait status once zombie
    bool has_execed = false;                     ///< t; setpgid by the parent is over (EACCES)
    bool nproc_exceeded = false;                 ///< its own; a change of uid went past RLIMIT_NPROC (LX-27)
    bool is_subreaper = false;                   ///< t
    bool no_children_wait = false;               ///< t; PK_NOCLDWAIT of FORK_SYSTEM
    bool is_system = false;                      ///< kernel proc
    Waitq uthreads_waitq;                        ///< execve waits here to be the only uthread
    Waitq child_waitq;                           ///< wait4/waitid of this proc's uthreads

    // -- tracing (bsd/ptrace.hpp) ---------------------------------------------------------------------------------------
    TraceeList tracees;              ///< t; uthreads that it traces
    Tracing* leader_trace = nullptr; ///< t; its leader's, as long as someone traces that or has to hear of the end
    bool raises_privileges = false;  ///< t; an execve of set-id is under way: nobody attaches

    // -- the loan; rules in bsd/vfork.cpp alone -------------------------------------------------------------------------
    VforkLoan* loan = nullptr; ///< t; owned; open while this proc borrows, or its creator waits (FORK_PPWAIT)
    std::atomic<uint32_t> recall_wanted{0}; ///< parked uthreads must get threads of their own: loan_recall

    struct Knote* knotes = nullptr;  ///< t; who watches it (bsd/kqueue.hpp)
    class PidFile* pidfds = nullptr; ///< t; that name it (bsd/pidfd.hpp)

    void set_parent_locked(Proc* fresh) {
        parent = fresh;
        parent_pid.store(fresh ? fresh->pid : 0, std::memory_order_relaxed);
    }
    unsigned living_uthreads() const { return uthread_count.load(std::memory_order_relaxed); }
    /// For its own uthread: there is no other, and what others did before they ended is seen. It stays so until the caller
    /// makes one.
    bool is_single() const { return uthread_count.load(std::memory_order_acquire) == 1; }

    // -- what it runs in: own after exec or gift, nullptr while it only borrows -------------------------------------------
    RefPtr<Task> task; ///< t

    // -- tables; replaced as a whole by their owner under `tables_lock`, read by others under it -----------------------
    mutable SpinLock<Rank::cwd> tables_lock;
    RefPtr<const Cred> cred_;
    RefPtr<FdTable> fds; ///< nullptr once exiting
    RefPtr<CwdInfo> cwd;
    RefPtr<SigActs> sigacts;
    /// `sigacts` is that of the process whose thread this one borrows, or borrowed, and whose only uthread waits for it: not to
    /// be written to. Changed by its own uthread alone: sigacts_own().
    bool sigacts_lent = false;
    RefPtr<const Limits> limits_;
    RefPtr<MappedFile> executable; ///< /proc/PID/exe

    /// A reference that stays valid whatever the owner does meanwhile.
    RefPtr<const Cred> cred() const {
        SpinGuard guard(tables_lock);
        return cred_;
    }
    uid_t real_uid() const {
        SpinGuard guard(tables_lock);
        return cred_->uid;
    }
    void set_cred(RefPtr<const Cred> fresh);
    RefPtr<FdTable> fd_table() const {
        SpinGuard guard(tables_lock);
        return fds;
    }
    RefPtr<CwdInfo> cwd_info() const {
        SpinGuard guard(tables_lock);
        return cwd;
    }
    LimitValue limit(Limit l) const {
        SpinGuard guard(tables_lock);
        return (*limits_)[l];
    }
    Result<void> set_limit(Limit l, LimitValue value);

    ProcSignals sig;

    std::atomic<sysv::SemUndos*> sem_undos{nullptr}; ///< what its end takes back (bsd/sysv_sem.hpp); mostly nothing

    Mutex<Rank::exec> exec_lock; ///< execve and credential changes

    alignas(uint64_t) char comm[16] = {}; ///< last path component of what was exec'd, or PR_SET_NAME
    bool dumpable = true, no_new_privs = false, keep_caps = false;

    // -- timers and accounting -------------------------------------------------------------------------------------------
    nanos_t start_ns = 0; ///< monotonic
    IntervalTimer real_timer;
    struct CpuTimer {
        nanos_t expires_ns = 0, interval_ns = 0; ///< on the proc's own CPU clock; 0: off
    } virtual_timer, prof_timer;
    struct PosixTimers* timers = nullptr; ///< t; of timer_create, nullptr before the first (bsd/posix_timer.hpp)
    bool timers_ended = false;            ///< s; nothing arms a timer any more: prlimit reaches a zombie too
    Callout cpu_callout;                  ///< looks at those two and at RLIMIT_CPU (bsd/itimer.hpp: init, exit)
    nanos_t cpu_limit_next_ns = 0;        ///< CPU time of the next SIGXCPU; 0: no limit
    Usage dead_uthreads_usage;            ///< t; of uthreads that ended, but for `leader`
    Usage children_usage;                 ///< t; of children waited for
    bool has_dead_usage = false, has_children_usage = false; ///< t; whether those are not all 0
    uint64_t memory_at_end = 0;  ///< bytes mapped when it ended, if process accounting is on
    bool used_privilege = false; ///< written by its own uthreads: a capability let it do something
    uint32_t personality = 0;
    std::atomic<int32_t> oom_score_adj{0};

    /// CPU time and counts of all its uthreads, living and dead, without children.
    Usage usage() const;
    Usage usage_locked() const; ///< proc_tree_lock held

    // -- what lies in it: found through the pointers above alone ------------------------------------------------------------
    Uthread leader;  ///< the first; its usage counts here even once it ended
    FdTable own_fds; ///< what fork1 gives it unless the parent's are shared, like the next
    CwdInfo own_cwd;
    VforkLoan loan_record; ///< if its creator waits
};

/// Closes the running stretch of the current thread and charges it to `uthread`: at every change of who it executes as.
void uthread_charge(Uthread& uthread);

inline Proc& proc_of(ProcLinks& links) { return static_cast<Proc&>(links); }

struct ProcessGroup : ZonedRefCounted<ProcessGroup> {
    static constexpr const char* zone_name = "process_groups";
    pid_t id = 0;
    RefPtr<Session> session;
    ProcList<&ProcLinks::group_link> members; ///< t
    ListHook link;                            ///< t; table of groups
};

struct Session : ZonedRefCounted<Session> {
    static constexpr const char* zone_name = "sessions";
    pid_t id = 0;
    Proc* leader = nullptr;               ///< t
    Tty* tty = nullptr;                   ///< t; controlling terminal, which clears this before it goes
    RefPtr<ProcessGroup> hung_foreground; ///< t; in front of a terminal that hung up, until the leader ends
};

// -- finding (all return references; srch semantics are the caller's) -----------------------------------------------------
RefPtr<Proc> proc_find(pid_t pid);
RefPtr<Uthread> uthread_find(pid_t tid);
RefPtr<ProcessGroup> group_find(pid_t id);
/// With proc_tree_lock held; no reference.
Proc* proc_find_locked(pid_t pid);
Uthread* uthread_find_locked(pid_t tid);
ProcessGroup* group_find_locked(pid_t id);

/// Calls `visit` for each proc that is not an embryo, with a reference but no lock held. In order of pid.
void for_each_proc(void (*visit)(Proc&, void*), void* context);
/// What `proc` runs in, a borrower's included; nullptr for zombies and kernel procs.
RefPtr<VmMap> proc_map(const Proc& proc);
/// The next proc with a pid >= `pid`, for iterations that may block.
RefPtr<Proc> proc_next(pid_t pid);

extern Proc* init_proc;                                      ///< pid 1
extern BootStatic<ProcList<&ProcLinks::all_link>> all_procs; ///< t; every proc from its birth to its reaping

// -- ids and counts (bsd/pid.cpp) ---------------------------------------------------------------------------------------
struct ProcCounts {
    std::atomic<uint64_t> procs{0}, uthreads{0};
    std::atomic<uint64_t> forks{0}, forks_ppwait{0}, forks_sharevm{0}, loans{0}, loans_open{0}, loans_max_depth{0},
        gifts{0}, late_gifts{0}, pages_not_copied{0}, execs{0}, exits{0}, spawns{0};
};
extern ProcCounts proc_counts;
/// Bound of procs, and how many of those places are kept for privileged callers (BS-08, FB-05).
extern std::atomic<uint32_t> max_procs;
inline constexpr uint32_t procs_reserved = 10;
/// One more than the highest id that is given out (LX-05); 301 to pid_limit.
extern std::atomic<pid_t> pid_max;
/// How long a caller sleeps whom admission refused, before it hears of it; 0: not at all (NB-04, NB-08).
extern std::atomic<uint32_t> fork_refused_sleep_ms;
/// Makes the tables and sets max_procs from the size of memory. Once, at boot.
void proc_init();

void pid_free_locked(pid_t pid);
inline constexpr pid_t pid_limit = 32768;

/// Entering and leaving the tables that find procs, uthreads and groups by number. proc_tree_lock held.
void pid_insert_locked(Proc& proc);
void pid_remove_locked(Proc& proc);
void pid_insert_locked(Uthread& uthread);
void pid_remove_locked(Uthread& uthread);
void pid_insert_locked(ProcessGroup& group);
void pid_remove_locked(ProcessGroup& group);

/// What a process or a further thread needs to come into being: a place among max_procs and in the count of its uid (admission
/// rules: NB-01 to NB-08, D08), and a number. Given back unless kept.
class Birthright {
public:
    /// Counts for cred.uid; `process` is false for a further thread (counts for RLIMIT_NPROC, not for max_procs). `wanted` != 0
    /// asks for that number (set_tid). again if there is no place or no number; exist, inval.
    static Result<Birthright> reserve(const Cred& cred, uint64_t nproc_limit, bool process, pid_t wanted);
    Birthright(Birthright&& o) noexcept : uid_(o.uid_), process_(o.process_), number_(std::exchange(o.number_, 0)) {}
    ~Birthright();
    pid_t number() const { return number_; }
    void keep() { number_ = 0; }

private:
    Birthright(uid_t uid, bool process, pid_t number) : uid_(uid), process_(process), number_(number) {}
    uid_t uid_;
    bool process_;
    pid_t number_; ///< 0: given away
};
/// The end of a proc (with its last uthread) or of a further uthread gives its place back. proc_tree_lock held.
void proc_slot_release(uid_t uid, bool process);
/// Procs and uthreads of a real uid. No lock held.
uint32_t proc_slots_of(uid_t uid);
/// What the processes of one real uid have together. Comes with the first of them, goes with what it counts.
struct UserCounts {
    static constexpr const char* zone_name = "user_counts";
    uid_t uid = 0;
    uint32_t uthreads = 0;            ///< t; against RLIMIT_NPROC
    std::atomic<uint32_t> signals{0}; ///< queued for them, and timers: against RLIMIT_SIGPENDING
    ListHook link;                    ///< t
};
/// proc_tree_lock held. nullptr for a uid without processes.
UserCounts* user_counts_locked(uid_t uid);
/// A change of real uid moves `count` places; nomem. No lock held.
Result<void> proc_slot_move(uid_t from, uid_t to, unsigned count);

// -- groups and sessions (bsd/pgrp.cpp) ----------------------------------------------------------------------------------
Result<void> proc_setpgid(pid_t pid, pid_t group);
Result<pid_t> proc_setsid();
/// Moves between groups; an empty group goes. proc_tree_lock held.
void group_join_locked(Proc& proc, RefPtr<ProcessGroup> group);
void group_leave_locked(Proc& proc);
/// Sends to every member; srch if there is none, perm if none may be signalled. With `check`, permission rules of kill(2).
Result<void> group_signal(pid_t group, const SigInfo& info, bool check);
/// Whether `group` has no member whose parent is in another group of the same session (POSIX orphaned).
bool group_is_orphaned_locked(const ProcessGroup& group, const Proc* leaving);

} // namespace lentil
