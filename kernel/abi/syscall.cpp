// SPDX-License-Identifier: BSD-2-Clause
// System call dispatch: the tables made at compile time from the .def files, and the way in and out.
#include <array>

#include <abi/leaf_calls.hpp>
#include <abi/sys_file.hpp>
#include <abi/sys_ipc.hpp>
#include <abi/sys_mem.hpp>
#include <abi/sys_misc.hpp>
#include <abi/sys_native.hpp>
#include <abi/sys_proc.hpp>
#include <abi/sys_signal.hpp>
#include <abi/sys_socket.hpp>
#include <abi/sys_time.hpp>
#include <abi/syscall_trace.hpp>
#include <bsd/ptrace.hpp>
#include <sched/hart.hpp>

namespace lentil::abi {
namespace {

#define SYSCALL(number, name) detail::Thunk<&sys_##name>::entry(number, #name, false),
#define SYSCALL_WHOLE_FRAME(number, name) detail::Thunk<&sys_##name>::entry(number, #name, true),
#define SYSCALL_LEAF(number, name) detail::Thunk<&sys_##name>::entry(number, #name, false, &leaf_##name),
#define SYSCALL_LEAF_WHOLE_FRAME(number, name) detail::Thunk<&sys_##name>::entry(number, #name, true, &leaf_##name),

constexpr SyscallEntry no_entry{0, nullptr, nullptr, nullptr, nullptr, 0, {}};

// Each list ends with an entry that is not one, so that an empty .def file still makes an array.
constexpr SyscallEntry file_calls[] = {
#include <abi/sys_file.def>
    no_entry};
constexpr SyscallEntry ipc_calls[] = {
#include <abi/sys_ipc.def>
    no_entry};
constexpr SyscallEntry mem_calls[] = {
#include <abi/sys_mem.def>
    no_entry};
constexpr SyscallEntry misc_calls[] = {
#include <abi/sys_misc.def>
    no_entry};
constexpr SyscallEntry proc_calls[] = {
#include <abi/sys_proc.def>
    no_entry};
constexpr SyscallEntry signal_calls[] = {
#include <abi/sys_signal.def>
    no_entry};
constexpr SyscallEntry socket_calls[] = {
#include <abi/sys_socket.def>
    no_entry};
constexpr SyscallEntry time_calls[] = {
#include <abi/sys_time.def>
    no_entry};
constexpr SyscallEntry native_calls[] = {
#include <abi/sys_native.def>
    no_entry};
#undef SYSCALL
#undef SYSCALL_WHOLE_FRAME
#undef SYSCALL_LEAF
#undef SYSCALL_LEAF_WHOLE_FRAME

consteval std::span<const SyscallEntry> entries(std::span<const SyscallEntry> list) {
    return list.first(list.size() - 1);
}

/// The numbers of one file rise strictly in absolute value: duplicates and disorder do not compile.
consteval bool is_sorted(std::span<const SyscallEntry> list, int sign) {
    int32_t last = -1;
    for (const SyscallEntry& e : entries(list)) {
        if (e.number * sign <= last)
            return false;
        last = e.number * sign;
    }
    return true;
}
static_assert(is_sorted(file_calls, 1) && is_sorted(mem_calls, 1) && is_sorted(misc_calls, 1) &&
              is_sorted(proc_calls, 1) && is_sorted(signal_calls, 1) && is_sorted(socket_calls, 1) &&
              is_sorted(time_calls, 1) && is_sorted(ipc_calls, 1));
static_assert(is_sorted(native_calls, -1), "native calls have negative numbers, by falling number");

constexpr size_t linux_call_count = std::size(file_calls) + std::size(mem_calls) + std::size(misc_calls) +
                                    std::size(proc_calls) + std::size(signal_calls) + std::size(socket_calls) +
                                    std::size(time_calls) + std::size(ipc_calls) - 8;
constexpr size_t native_call_count = std::size(native_calls) - 1;

/// All Linux calls by number. Two files that claim one number make it unequal to `unique`, checked below.
constexpr auto linux_calls = [] {
    std::array<SyscallEntry, linux_call_count> all{};
    size_t n = 0;
    const std::span<const SyscallEntry> lists[] = {entries(file_calls), entries(mem_calls),    entries(misc_calls),
                                                   entries(proc_calls), entries(signal_calls), entries(socket_calls),
                                                   entries(time_calls), entries(ipc_calls)};
    for (auto list : lists)
        for (const SyscallEntry& e : list) {
            size_t at = n++;
            for (; at > 0 && all[at - 1].number > e.number; at--)
                all[at] = all[at - 1];
            all[at] = e;
        }
    return all;
}();
consteval bool is_unique() {
    for (size_t i = 1; i < linux_calls.size(); i++)
        if (linux_calls[i - 1].number >= linux_calls[i].number)
            return false;
    return true;
}
static_assert(is_unique(), "a system call number is declared twice");

Result<uint64_t> no_such_call(const machine::Trapframe&) { return Errno::nosys; }

template<size_t Size>
consteval auto thunks_by_number(std::span<const SyscallEntry> list, int sign) {
    std::array<SyscallThunk, Size> dense{};
    for (SyscallThunk& t : dense)
        t = &no_such_call;
    for (const SyscallEntry& e : list)
        dense[static_cast<size_t>(e.number * sign)] = e.thunk;
    return dense;
}

constexpr int64_t linux_limit = 512, native_limit = 64;
constinit const auto linux_thunks = thunks_by_number<linux_limit>(linux_calls, 1);
constinit const auto native_thunks = thunks_by_number<native_limit>(entries(native_calls), -1);

SyscallThunk find_thunk(int64_t number) {
    if (number >= 0)
        return number < linux_limit ? linux_thunks[static_cast<size_t>(number)] : &no_such_call;
    return number > -native_limit ? native_thunks[static_cast<size_t>(-number)] : &no_such_call;
}

constexpr bool is_restart(Errno e) {
    return e == Errno::restart_sys || e == Errno::restart_nointr || e == Errno::restart_nohand ||
           e == Errno::restart_block;
}

static_assert(linux_limit == machine::direct_call_limit);

/// While system calls are traced none is entered directly, so that the direct way need not ask.
void set_direct_calls(bool traced) {
    for (machine::DirectCalls& calls : lentil_direct_calls) {
        calls.first.store(0, std::memory_order_relaxed);
        calls.other.store(0, std::memory_order_relaxed);
    }
    if (traced)
        return;
    for (const SyscallEntry& e : linux_calls) {
        machine::DirectCalls& calls = lentil_direct_calls[static_cast<size_t>(e.number)];
        const auto direct = reinterpret_cast<uintptr_t>(e.direct);
        calls.other.store(direct, std::memory_order_relaxed);
        calls.first.store(e.leaf ? machine::leaf_call(e.leaf) : direct, std::memory_order_release);
    }
}

/// What user mode sees of an error. A restart_* value is turned into a restart or EINTR by signal_ast(), also when the
/// signal went to another thread.
int64_t failed(Errno error) {
    Thread& self = current_thread();
    self.uthread->in_syscall = is_restart(error);
    if (is_restart(error))
        self.arch.ast_pending.store(1, std::memory_order_relaxed);
    return -static_cast<int64_t>(error);
}

} // namespace

} // namespace lentil::abi

constinit std::array<lentil::machine::DirectCalls, lentil::machine::direct_call_limit> lentil_direct_calls{};

namespace lentil::abi {

int64_t detail::direct_failed(Errno error) { return failed(error); }

void syscalls_init() {
    trace_state::syscalls_changed = set_direct_calls;
    set_direct_calls(trace_wanted());
}

std::span<const SyscallEntry> linux_table() { return linux_calls; }

std::span<const SyscallEntry> native_table() { return entries(native_calls); }

void dispatch(machine::Trapframe& frame) {
    Thread& self = current_thread();
    const int64_t number = frame.syscall_number();
    Uthread& caller = *self.uthread;
    caller.in_syscall = true;
    caller.syscall_number = number;
    self.user_frame_replaced = false;
    // The thread may move just here: a count may get lost, none is needed exactly.
    HartCounters::bump(current_hart().counters.syscalls);
    if (trace_wanted()) [[unlikely]]
        trace_entry(frame);

    SyscallThunk thunk = find_thunk(number);
    if (caller.traced.load(std::memory_order_relaxed)) [[unlikely]]
        thunk = ptrace_syscall_entry(frame) ? find_thunk(frame.syscall_number()) : &no_such_call;

    const Result<uint64_t> result = thunk(frame);

    // From here on the thread may execute as somebody else: the borrower after vfork, the lender after its exec. `caller`
    // is not touched any more.
    Uthread& now = *self.uthread;
    if (trace_wanted()) [[unlikely]]
        trace_exit(number, result, self.user_frame_replaced);
    if (self.user_frame_replaced) {
        now.in_syscall = false;
    } else if (result.ok()) [[likely]] {
        frame.set_return(*result);
        now.in_syscall = false;
    } else {
        frame.set_return(static_cast<uint64_t>(failed(result.error())));
    }
    if (now.traced.load(std::memory_order_relaxed)) [[unlikely]]
        ptrace_syscall_exit(user_frame());
    detail::check_after_call();
}

} // namespace lentil::abi
