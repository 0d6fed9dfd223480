// SPDX-License-Identifier: BSD-2-Clause
// execve. In three parts: everything that can fail (on behalf of the caller, whose old image stays whole), becoming the
// only uthread, and the commit, which cannot fail.
#include <algorithm>
#include <cstring>

#include <bsd/exec.hpp>
#include <bsd/exec_internal.hpp>
#include <bsd/exit.hpp>
#include <bsd/kqueue.hpp>
#include <bsd/posix_timer.hpp>
#include <bsd/priority.hpp>
#include <bsd/ptrace.hpp>
#include <bsd/vfork.hpp>
#include <debug/trace.hpp>

namespace lentil {

constinit std::atomic<uint32_t> randomize_va_space{2};
constinit ExecHooks exec_hooks;

namespace {

constexpr size_t script_line_bytes = 256; ///< the longest "#!" line (BINPRM_BUF_SIZE)
constexpr unsigned max_script_depth = 4;

/// Puts strings in front of a list whose first string goes: what "#!" does to argv.
Result<StringList> prepend(StringList& list, std::initializer_list<std::string_view> strings) {
    const size_t dropped = list.count > 0 ? strlen(list.bytes.data()) + 1 : 0;
    size_t extra = 0, count = list.count > 0 ? list.count - 1 : 0;
    for (const std::string_view s : strings)
        if (!s.empty())
            extra += s.size() + 1, count++;
    StringList out;
    out.bytes = TRY(Buffer<char>::create(extra + list.used - dropped + 1));
    for (const std::string_view s : strings)
        if (!s.empty()) {
            std::memcpy(out.bytes.data() + out.used, s.data(), s.size());
            out.used += s.size() + 1; // the buffer is zeroed
        }
    std::memcpy(out.bytes.data() + out.used, list.bytes.data() + dropped, list.used - dropped);
    out.used += list.used - dropped;
    out.count = count;
    return out;
}

/// The interpreter line of a script: "#!", blanks, path, optionally blanks and one argument to the end of the line.
struct InterpreterLine {
    std::string_view path, argument;
};
Result<InterpreterLine> parse_interpreter_line(std::string_view line) {
    const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
    line.remove_prefix(2);
    const size_t end = line.find('\n');
    if (end == std::string_view::npos && line.size() >= script_line_bytes - 2)
        return Errno::noexec; // cut off: running half a path would be worse
    line = line.substr(0, end);
    while (!line.empty() && is_blank(line.front()))
        line.remove_prefix(1);
    while (!line.empty() && is_blank(line.back()))
        line.remove_suffix(1);
    InterpreterLine out;
    size_t n = 0;
    while (n < line.size() && !is_blank(line[n]))
        n++;
    out.path = line.substr(0, n);
    line.remove_prefix(n);
    while (!line.empty() && is_blank(line.front()))
        line.remove_prefix(1);
    out.argument = line;
    if (out.path.empty())
        return Errno::noexec;
    return out;
}

/// The request's file begins with `head`, a "#!" line: its interpreter is what is executed.
[[gnu::noinline, gnu::cold]] Result<void> take_interpreter(const Proc& proc, ExecRequest& request,
                                                           std::span<const uint8_t> head) {
    const InterpreterLine line = TRY(
        parse_interpreter_line({reinterpret_cast<const char*>(head.data()), std::min(head.size(), script_line_bytes)}));
    request.args = TRY(prepend(request.args, {line.path, line.argument, request.path}));
    auto path = TRY(Buffer<char>::create(line.path.size() + 1));
    std::memcpy(path.data(), line.path.data(), line.path.size());
    request.file = TRY(exec_hooks.open(proc, path.data()));
    request.path_storage = std::move(path);
    request.path = request.path_storage.data();
    return {};
}

/// Credentials of the new program: set-id bits, and what exec does to capabilities (capabilities(7)).
constexpr uint32_t set_uid = 04000, set_gid = 02000, group_exec = 010;

/// Whether set-id bits count: not for a tracee, since its tracer would have the new privileges too, unless that has the
/// right to all of them (EC-73). Until the end of execve nobody attaches then. A proc that the caller builds (spawn) gets
/// the caller's tracer.
bool may_raise_privileges(Proc& proc, const FileStat& stat) {
    if (!(stat.mode & (set_uid | set_gid)))
        return false;
    Proc& caller = current_proc();
    ProcTreeGuard guard(proc_tree_lock);
    for (const Uthread& uthread : caller.uthreads) {
        const Tracing* tracing = uthread.traced.load(std::memory_order_relaxed);
        if (tracing && !tracing->tracer->cred()->capable(Capability::sys_ptrace))
            return false;
    }
    proc.raises_privileges = &proc == &caller;
    return true;
}

/// Whether exec of a file without set-id bits leaves all as it is.
bool survives_exec(const Cred& cred) {
    const bool root = cred.uid == 0 || cred.euid == 0;
    const auto permitted = root ? cred.cap_bounding : cred.cap_ambient;
    return cred.suid == cred.euid && cred.fsuid == cred.euid && cred.sgid == cred.egid && cred.fsgid == cred.egid &&
           cred.cap_permitted == permitted &&
           cred.cap_effective == (root && cred.euid == 0 ? permitted : cred.cap_ambient);
}

[[gnu::noinline, gnu::cold]] Result<exec::NewCred> changed_credentials(Proc& proc, RefPtr<const Cred> old,
                                                                       const FileStat& stat);

Result<exec::NewCred> new_credentials(Proc& proc, const FileStat& stat) {
    RefPtr<const Cred> old = proc.cred();
    if ((stat.mode & (set_uid | set_gid)) || !survives_exec(*old)) [[unlikely]]
        return changed_credentials(proc, std::move(old), stat);
    const bool secure = old->euid != old->uid || old->egid != old->gid;
    return exec::NewCred{std::move(old), secure};
}

Result<exec::NewCred> changed_credentials(Proc& proc, RefPtr<const Cred> old, const FileStat& stat) {
    RefPtr<Cred> fresh = TRY(old->copy());
    if (!proc.no_new_privs && may_raise_privileges(proc, stat)) {
        if (stat.mode & set_uid)
            fresh->euid = stat.uid;
        if ((stat.mode & (set_gid | group_exec)) == (set_gid | group_exec))
            fresh->egid = stat.gid;
    }
    fresh->suid = fresh->fsuid = fresh->euid;
    fresh->sgid = fresh->fsgid = fresh->egid;
    const bool root = fresh->uid == 0 || fresh->euid == 0;
    fresh->cap_permitted = root ? fresh->cap_bounding : fresh->cap_ambient;
    fresh->cap_effective = root && fresh->euid == 0 ? fresh->cap_permitted : fresh->cap_ambient;
    exec::NewCred out;
    out.secure = fresh->euid != old->uid || fresh->egid != old->gid;
    out.cred = std::move(fresh);
    return out;
}

std::string_view base_name(std::string_view path) {
    const size_t slash = path.rfind('/');
    return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

void run_borrower(void*) { thread_return_to_user(); }

/// Ends every other uthread of the proc. Fails only if the caller itself is being ended.
Result<void> become_only_uthread(Uthread& self) {
    Proc& proc = *self.proc;
    {
        ProcTreeGuard tree(proc_tree_lock);
        if (proc.is_single())
            return {};
        if (!signal_begin_exec_locked(proc, self))
            return Errno::restart_nointr; // another was faster, or the proc ends: the way out sees it
    }
    // Killable only in theory: once the others were told to end, nothing else can end this proc's exec.
    wait_until(
        proc.uthreads_waitq, "execve",
        [&] {
            ProcTreeGuard tree(proc_tree_lock);
            return proc.is_single();
        },
        Interruptible::no);
    ProcTreeGuard tree(proc_tree_lock);
    signal_end_exec_locked(proc);
    if (self.tid != proc.pid) {
        // The leader is gone; its name is this uthread's from now on.
        pid_remove_locked(self);
        pid_free_locked(self.tid);
        self.tid = proc.pid;
        pid_insert_locked(self);
        ptrace_exec_leader_locked(proc, self);
    }
    return {};
}

} // namespace

namespace exec {

Result<void> prepare(Proc& proc, ExecRequest& request, Prepared& out) {
    alignas(uint64_t) uint8_t head[head_bytes];
    std::span<const uint8_t> bytes;
    Result<File::Mappable> source = Errno::noexec;
    // The name is the script's own, whatever interprets it.
    const std::string_view name = base_name(request.path);
    std::memcpy(out.name, name.data(), std::min(name.size(), sizeof out.name - 1));

    for (unsigned depth = 0;; depth++) {
        source = request.file->mappable();
        bytes = std::span(head).first(TRY(read_head(*request.file, source ? source->object.get() : nullptr, head)));
        if (bytes.size() < 2 || head[0] != '#' || head[1] != '!')
            break;
        if (depth == max_script_depth)
            return Errno::loop;
        TRY(take_interpreter(proc, request, bytes));
    }

    FileStat stat = TRY(request.file->stat());
    if ((stat.mode & (set_uid | set_gid)) && request.file->forbids_set_id())
        stat.mode &= ~(set_uid | set_gid);
    elf::Image image;
    TRY(parse_image(image, *request.file, bytes, stat.size));

    out.cred = TRY(new_credentials(proc, stat));
    File::Mappable contents = TRY(std::move(source));
    out.image = TRY(load(proc, request, std::move(contents), image, Identity{out.cred.cred.get(), out.cred.secure}));
    if (proc.fds->ref_count() > 1)
        out.fds = TRY(proc.fds->copy());
    TRY((out.fds ? out.fds : proc.fds)->prepare_exec());
    if (proc.sigacts->ref_count() > 1)
        out.sigacts = TRY(proc.sigacts->copy());
    if (loan_is_borrower(proc)) {
        out.task = TRY(Task::create(out.image.map));
        out.thread = TRY(Thread::create(out.name, run_borrower, nullptr));
    }
    return {};
}

void enter_image(Thread& thread, const NewImage& image) {
    machine::Trapframe& frame = machine::user_frame(thread.arch);
    frame = machine::Trapframe{};
    frame.set_pc(image.entry);
    frame.set_sp(image.stack_pointer);
    machine::fp_init(thread.arch);
}

void trace_success(const Thread& subject, const Proc& proc, const Thread& thread) {
    if (!trace_on(Probe::proc_exec_success)) [[likely]]
        return;
    const std::string_view name(proc.comm);
    trace_record(subject, Probe::proc_exec_success, trace_text(name),
                 trace_text(name.substr(std::min<size_t>(name.size(), 8))), thread.id);
}

namespace {
/// All three are aligned like words.
void copy_name(char (&to)[16], const char (&from)[16]) {
    __builtin_memcpy(__builtin_assume_aligned(to, 8), __builtin_assume_aligned(from, 8), sizeof to);
}
} // namespace

void commit_identity(Proc& proc, Uthread& self, Prepared& prepared) {
    {
        SpinGuard guard(proc.tables_lock);
        if (prepared.fds)
            std::swap(proc.fds, prepared.fds);
        std::swap(proc.executable, prepared.image.executable);
    }
    proc.fds->close_all_on_exec();
    posix_timers_end(proc);
    signal_exec(self, std::move(prepared.sigacts));
    copy_name(proc.comm, prepared.name);
    copy_name(self.name, prepared.name);
    if (prepared.cred.secure) {
        self.parent_death_signal = 0;
        proc.personality &= ~persona::not_for_set_id;
    }
    proc.dumpable = !prepared.cred.secure;
    proc.keep_caps = false;
    proc.set_cred(std::move(prepared.cred.cred));
    self.restart = {};
    self.set_child_tid = 0;
    self.pi_left.store(false, std::memory_order_relaxed);
    self.in_syscall = false;
}

} // namespace exec

namespace {

constexpr size_t longest_string = 32 * page_size; // MAX_ARG_STRLEN

/// Those that come behind what `list` has already.
[[gnu::noinline, gnu::cold]] Result<void> copyin_strings_left(StringList& list, vaddr_t vector, size_t limit_bytes) {
    uint64_t pointers[8];
    unsigned next = 0, have = 0;
    for (;; list.count++) {
        if (next == have) {
            // What lies in the page of one that is wanted can be read.
            const vaddr_t from = vector + list.count * sizeof pointers[0];
            const size_t in_page = (page_size - (from & page_mask)) / sizeof pointers[0];
            have = static_cast<unsigned>(std::clamp<size_t>(in_page, 1, std::size(pointers)));
            TRY(copyin(pointers, from, have * sizeof pointers[0]));
            next = 0;
        }
        const uint64_t at = pointers[next++];
        if (at == 0)
            return {};
        if ((list.count + 1) * sizeof at + list.used > limit_bytes)
            return Errno::toobig;
        if (list.count == list.starts_known && list.count < StringList::most_starts && list.used <= UINT16_MAX)
            list.starts[list.starts_known++] = static_cast<uint16_t>(list.used);
        for (size_t copied = 0;;) {
            const size_t room = list.bytes.size() - list.used;
            const long n = machine::user_read_string(list.bytes.data() + list.used, at + copied, room);
            if (n < 0 || !user_range_ok(at, 1))
                return Errno::fault;
            list.used += static_cast<size_t>(n);
            copied += static_cast<size_t>(n);
            if (copied > longest_string || list.used > limit_bytes)
                return Errno::toobig;
            if (static_cast<size_t>(n) < room) {
                list.used++; // its terminator
                break;
            }
            // The buffer is full before the string's end: go on in one of twice the size.
            auto larger = TRY(Buffer<char>::create_uninitialized(list.bytes.size() * 2));
            std::memcpy(larger.data(), list.bytes.data(), list.used);
            list.bytes = std::move(larger);
        }
        if (list.used == list.bytes.size()) {
            auto larger = TRY(Buffer<char>::create_uninitialized(list.bytes.size() * 2));
            std::memcpy(larger.data(), list.bytes.data(), list.used);
            list.bytes = std::move(larger);
        }
    }
}

} // namespace

Result<void> copyin_strings(StringList& list, vaddr_t vector, size_t limit_bytes) {
    if (vector == 0)
        return {};
    constexpr size_t usual_bytes = 1024;
    list.bytes = TRY(Buffer<char>::create_uninitialized(usual_bytes));
    static_assert(usual_bytes < longest_string);
    // Those that nearly every program gets in one go, where no limit can be in the way.
    if (limit_bytes >= usual_bytes + StringList::most_starts * sizeof(uint64_t)) [[likely]] {
        const machine::UserStrings read =
            machine::user_read_strings(list.bytes.data(), vector, usual_bytes, list.starts, StringList::most_starts);
        list.used = read.used;
        list.count = list.starts_known = StringList::most_starts - read.left;
        if (read.ended) [[likely]]
            return {};
    }
    return copyin_strings_left(list, vector, limit_bytes);
}

namespace {

/// From may_raise_privileges() to the end of execve, however it ends. Then tracers may attach again.
class PrivilegeWindow {
public:
    explicit PrivilegeWindow(Proc& proc) : proc_(&proc) {}
    ~PrivilegeWindow() {
        if (!proc_ || !proc_->raises_privileges)
            return;
        ProcTreeGuard guard(proc_tree_lock);
        close_locked();
    }
    PrivilegeWindow(const PrivilegeWindow&) = delete;
    PrivilegeWindow& operator=(const PrivilegeWindow&) = delete;
    void close_locked() { std::exchange(proc_, nullptr)->raises_privileges = false; }

private:
    Proc* proc_; ///< a borrower may be gone by the time its lender goes on: no look at it after close_locked()
};

} // namespace

Result<void> exec_image(ExecRequest& request) {
    Uthread& self = current_uthread();
    Proc& proc = *self.proc;
    if (proc.nproc_exceeded) { // LX-27
        if (proc_slots_of(proc.cred()->uid) > proc.limit(Limit::nproc).soft)
            return Errno::again;
        proc.nproc_exceeded = false;
    }
    PrivilegeWindow window(proc);
    exec::Prepared prepared;
    TRY(exec::prepare(proc, request, prepared));
    request.release();
    const pid_t old_tid = self.tid;
    TRY(become_only_uthread(self));

    // -- the point of no return ----------------------------------------------------------------------------------------
    uthread_leave_map(self);
    exec::commit_identity(proc, self, prepared);
    proc_counts.execs.fetch_add(1, std::memory_order_relaxed);
    exec::trace_success(current_thread(), proc, prepared.thread ? *prepared.thread : current_thread());

    RefPtr<VforkLoan> loan;
    ProcTreeGuard guard(proc_tree_lock);
    proc.has_execed = true;
    loan_release_locked(self);
    // The new image knows nothing of signals that the old one asked for, and its parent expects nothing but SIGCHLD of it.
    proc.exit_signal = sig_chld;
    for (ProcLinks& child : proc.children)
        proc_of(child).exit_signal = sig_chld;
    kqueue_note_exec_locked(proc);
    window.close_locked();
    if (loan_is_borrower(proc)) {
        // A borrower moves to a task and thread of its own, and the thread goes back to the lender. If the loan became a
        // gift since prepare(), the thread is its own by now and what was prepared is not needed.
        Thread& thread = *prepared.thread;
        prepared.task->adopt(thread);
        thread_set_params(thread, self.sched);
        exec::enter_image(thread, prepared.image);
        proc.task = prepared.task;
        const LoanEnd end = loan_release_locked(proc, loan);
        ASSERT(end == LoanEnd::handed_back);
        uthread_execute_on(self, thread);
        loan_check_locked();
        {
            SpinGuard signals(proc.sig.lock);
            signal_recalculate(self);
        }
        guard.unlock();
        loan_restore(std::move(loan));
        thread_start(thread);
        uthread_apply_sched(); // the lender goes on as it was
        return {};
    }
    guard.unlock();

    RefPtr<VmMap> old = proc.task->replace_map(std::move(prepared.image.map));
    self.usage.max_resident_bytes = std::max<uint64_t>(self.usage.max_resident_bytes, old->peak_resident_bytes());
    exec::enter_image(current_thread(), prepared.image);
    guard.relock();
    const bool waited_for = proc.loan != nullptr;
    const LoanEnd end = loan_release_locked(proc, loan); // wakes a creator that waits (FORK_PPWAIT)
    ASSERT(end == LoanEnd::not_ours);
    if (waited_for) { // what was put off until now
        SpinGuard signals(proc.sig.lock);
        signal_recalculate(self);
    }
    guard.unlock();
    if (self.traced.load(std::memory_order_relaxed)) [[unlikely]]
        ptrace_exec_done(old_tid);
    return {};
}

} // namespace lentil
