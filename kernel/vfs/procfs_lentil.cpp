// SPDX-License-Identifier: BSD-2-Clause
// /proc/lentil: what this kernel counts. Lines of a name and a number, for tests and for the curious.
#include <sched/hart.hpp>
#include <vfs/procfs.hpp>
#include <vm/first_use.hpp>
#include <vm/kmem.hpp>
#include <vm/page.hpp>

namespace lentil {

namespace {

Result<void> counters(TextBuffer& out, const ProcTarget&) {
    const auto line = [&](std::string_view name, const std::atomic<uint64_t>& value) {
        out.add("{} {}\n", name, value.load(std::memory_order_relaxed));
    };
    const ProcCounts& p = proc_counts;
    line("threads_created", thread_counters.threads_created);
    line("threads_alive", thread_counters.threads_alive);
    line("kernel_stacks_created", thread_counters.kernel_stacks_created);
    line("kernel_stacks_alive", thread_counters.kernel_stacks_alive);
    line("procs", p.procs);
    line("uthreads", p.uthreads);
    line("forks", p.forks);
    line("forks_ppwait", p.forks_ppwait);
    line("forks_sharevm", p.forks_sharevm);
    line("loans", p.loans);
    line("loans_open", p.loans_open);
    line("loans_max_depth", p.loans_max_depth);
    line("gifts", p.gifts);
    line("late_gifts", p.late_gifts);
    line("pages_not_copied", p.pages_not_copied);
    line("execs", p.execs);
    line("exits", p.exits);
    line("spawns", p.spawns);
    // Sums over the harts; /proc/lentil/harts has them one by one.
    constexpr struct {
        std::string_view name;
        Word<uint64_t> HartCounters::*counter;
    } sums[] = {
        {"context_switches", &HartCounters::context_switches},
        {"timer_interrupts", &HartCounters::timer_interrupts},
        {"idle_entries", &HartCounters::idle_entries},
        {"ipis", &HartCounters::ipis_sent},
        {"steals", &HartCounters::steals},
        {"preemptions", &HartCounters::preemptions},
        {"page_faults", &HartCounters::page_faults},
    };
    for (const auto& s : sums) {
        uint64_t sum = 0;
        sched_harts().for_each(
            [&](unsigned i) { sum += (hart_by_index(i).counters.*s.counter).load(std::memory_order_relaxed); });
        out.add("{} {}\n", s.name, sum);
    }
    uint64_t syscalls = 0;
    sched_harts().for_each([&](unsigned i) { syscalls += hart_syscalls(hart_by_index(i)); });
    const machine::Counts done = machine::counts();
    out.add("syscalls {}\nspace_switches {}\nfences {}\nshootdowns {}\nfirmware_calls {}\n", syscalls,
            done.space_switches, done.fences, done.remote_shootdowns, done.firmware_calls);
    line("spin_waits", spin_waits);
    out.add("checks {}\nad_faults {}\n", checks_enabled ? 1 : 0, first_use_faults ? 1 : 0);
    return {};
}

Result<void> objects(TextBuffer& out, const ProcTarget&) {
    // Room for all of it first, of a size that has no zone: a buffer that grew meanwhile would be counted, or not, depending on
    // how long the numbers before it are.
    out.extend(page_size);
    out.cut(0);
    for_each_zone([](const char* name, size_t, uint64_t in_use,
                     void* to) { static_cast<TextBuffer*>(to)->add("{} {}\n", name, in_use); },
                  &out);
    const PageCounts pages = page_counts();
    out.add("kernel_stacks {}\npages_used {}\npages_free {}\n", kernel_stacks_in_use(), pages.total - pages.free,
            pages.free);
    return {};
}

Result<void> harts(TextBuffer& out, const ProcTarget&) {
    sched_harts().for_each([&](unsigned i) {
        Hart& hart = hart_by_index(i);
        const HartCounters& c = hart.counters;
        const auto field = [&](std::string_view name, const Word<uint64_t>& value) {
            out.add(" {} {}", name, value.load(std::memory_order_relaxed));
        };
        out.add("hart {}", i);
        field("timer_interrupts", c.timer_interrupts);
        field("idle_timer_interrupts", c.idle_timer_interrupts);
        field("idle_entries", c.idle_entries);
        field("ipis", c.ipis_received);
        field("ipis_sent", c.ipis_sent);
        field("context_switches", c.context_switches);
        field("steals", c.steals);
        field("balances", c.balances);
        field("preemptions", c.preemptions);
        out.add(" idle_ns {} user_ns {}\n", hart_idle_ns(hart), hart_user_ns(hart));
    });
    return {};
}

constexpr VnodeType file = VnodeType::regular;

constexpr ProcfsItem items[] = {
    {.name = "counters", .type = file, .mode = 0444, .generate = counters},
    {.name = "objects", .type = file, .mode = 0444, .generate = objects},
    {.name = "harts", .type = file, .mode = 0444, .generate = harts},
    {.name = "trace", .type = file, .mode = 0400, .open = procfs_trace_open},
    {.name = "trace_control",
     .type = file,
     .mode = 0600,
     .generate = procfs_trace_control,
     .write = procfs_set_trace_control},
};

} // namespace

std::span<const ProcfsItem> procfs_lentil_items() { return items; }

} // namespace lentil
