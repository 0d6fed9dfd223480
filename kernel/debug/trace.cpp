// SPDX-License-Identifier: BSD-2-Clause
// The trace rings. A ring has one writer, its hart with interrupts off, and takes no lock; readers copy a record and then
// look whether the writer came round meanwhile.
#include <bsd/proc.hpp>
#include <debug/trace.hpp>
#include <libkern/format.hpp>
#include <libkern/parse.hpp>
#include <machine/boot_info.hpp>
#include <sched/hart.hpp>
#include <vm/kmem.hpp>

namespace lentil {

constinit std::atomic<uint64_t> trace_state::enabled{0};
constinit trace_state::SyscallsChanged trace_state::syscalls_changed = nullptr;

namespace {

constexpr size_t record_words = sizeof(TraceRecord) / sizeof(uint64_t);

/// A record in words that a reader may load while they are written.
struct Slot {
    std::atomic<uint64_t> words[record_words];
};

struct alignas(64) Ring {
    std::atomic<Slot*> slots{nullptr};
    std::atomic<uint64_t> written{0}; ///< records since boot; the newest ones are in the slots
    std::atomic<uint64_t> cleared{0}; ///< `written` at the last clear
};

constinit Ring rings[max_harts];
constinit std::atomic<uint64_t> capacity{8192};
constinit std::atomic<uint32_t> allocated{0};

constexpr uint64_t least_records = 64, most_records = uint64_t{1} << 20;

constexpr ProbeInfo probes[] = {
#define PROBE(identifier, name, arguments, when) {name, arguments, when},
#include <debug/trace.def>
#undef PROBE
};
constexpr size_t probe_count = std::size(probes);
static_assert(probe_count == static_cast<size_t>(Probe::count) && probe_count < 63);

struct Whole {
    uint64_t words[record_words];
};

/// The oldest record of a ring whose slot is not being written over.
uint64_t oldest_kept(const Ring& ring, uint64_t written) {
    const uint64_t size = capacity.load(std::memory_order_relaxed);
    const uint64_t kept = written >= size ? written - size + 1 : 0;
    return std::max(kept, ring.cleared.load(std::memory_order_relaxed));
}

bool copy_record(const Ring& ring, uint64_t index, TraceRecord& out) {
    const Slot* slots = ring.slots.load(std::memory_order_acquire);
    if (!slots)
        return false;
    Whole whole;
    const Slot& slot = slots[index & (capacity.load(std::memory_order_relaxed) - 1)];
    for (size_t i = 0; i < record_words; i++)
        whole.words[i] = slot.words[i].load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (index < oldest_kept(ring, ring.written.load(std::memory_order_relaxed)))
        return false;
    out = std::bit_cast<TraceRecord>(whole);
    return true;
}

/// Once; all harts that the machine has, since any may come up later.
Result<void> allocate_rings() {
    if (allocated.exchange(1) != 0)
        return {};
    const size_t bytes = capacity.load() * sizeof(Slot);
    for (unsigned i = 0; i < machine::boot_info.hart_count; i++) {
        if (rings[i].slots.load(std::memory_order_relaxed))
            continue;
        const Result<void*> memory = kmem_alloc(bytes);
        if (!memory.ok()) {
            allocated.store(0); // the next one who asks goes on where this one stopped
            return memory.error();
        }
        rings[i].slots.store(static_cast<Slot*>(*memory), std::memory_order_release);
    }
    return {};
}

} // namespace

const ProbeInfo& probe_info(Probe probe) { return probes[static_cast<size_t>(probe)]; }

// ---- recording -----------------------------------------------------------------------------------------------------------

void trace_record_as(const Thread& subject, pid_t pid, pid_t tid, Probe probe, const TraceArguments& args) {
    IrqGuard irq;
    const unsigned hart = current_hart().index;
    Ring& ring = rings[hart];
    Slot* const slots = ring.slots.load(std::memory_order_relaxed);
    if (!slots)
        return;
    const TraceRecord record{machine::now_ns(), subject.id, pid, tid, static_cast<uint32_t>(probe), hart, args};
    const uint64_t at = ring.written.load(std::memory_order_relaxed);
    // A reader that sees one of these words also sees that `written` has reached `at`: see copy_record.
    std::atomic_thread_fence(std::memory_order_release);
    const Whole whole = std::bit_cast<Whole>(record);
    Slot& slot = slots[at & (capacity.load(std::memory_order_relaxed) - 1)];
    for (size_t i = 0; i < record_words; i++)
        slot.words[i].store(whole.words[i], std::memory_order_relaxed);
    ring.written.store(at + 1, std::memory_order_release);
}

void trace_record(const Thread& subject, Probe probe, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3) {
    const Uthread* const uthread = subject.uthread;
    trace_record_as(subject, uthread ? uthread->proc->pid : 0, uthread ? uthread->tid : 0, probe, {a0, a1, a2, a3});
}

void trace_record_current(Probe probe, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3) {
    trace_record(current_thread(), probe, a0, a1, a2, a3);
}

// ---- control -------------------------------------------------------------------------------------------------------------

Result<void> trace_configure(std::string_view words) {
    uint64_t enabled = trace_state::enabled.load(std::memory_order_relaxed), records = 0;
    bool clear = false;
    while (!words.empty()) {
        const size_t end = std::min(words.find_first_of(", \t\n"), words.size());
        const std::string_view word = words.substr(0, end);
        words.remove_prefix(std::min(end + 1, words.size()));
        uint64_t bits = 0;
        if (word.empty())
            continue;
        if (word == "off") {
            enabled = 0;
            continue;
        }
        if (word == "clear") {
            clear = true;
            continue;
        }
        if (word.starts_with("records=")) {
            records = TRY(parse_number(word.substr(8), 10));
            if (records < least_records || records > most_records)
                return Errno::inval;
            continue;
        }
        if (word == "syscalls")
            bits = trace_state::console_syscalls;
        for (size_t i = 0; i < probe_count && bits != trace_state::console_syscalls; i++)
            if (word == "all" || probes[i].name.find(word) != std::string_view::npos)
                bits |= trace_state::bit(static_cast<Probe>(i));
        if (bits == 0)
            return Errno::inval;
        enabled |= bits;
    }
    if (records != 0) {
        if (allocated.load() != 0)
            return Errno::busy;
        capacity.store(std::bit_ceil(records));
    }
    if (enabled & ~trace_state::console_syscalls)
        TRY(allocate_rings());
    if (clear)
        for (Ring& ring : rings)
            ring.cleared.store(ring.written.load(std::memory_order_relaxed), std::memory_order_relaxed);
    trace_state::enabled.store(enabled, std::memory_order_relaxed);
    if (trace_state::syscalls_changed)
        trace_state::syscalls_changed(trace_state::any(trace_state::syscalls));
    return {};
}

TraceCounts trace_counts(unsigned hart) {
    const Ring& ring = rings[hart];
    const uint64_t written = ring.written.load(std::memory_order_acquire),
                   cleared = ring.cleared.load(std::memory_order_relaxed);
    return {written - cleared, oldest_kept(ring, written) - cleared};
}

uint64_t trace_capacity() { return capacity.load(std::memory_order_relaxed); }

// ---- reading -------------------------------------------------------------------------------------------------------------

TraceCursor::TraceCursor() {
    for (unsigned i = 0; i < max_harts; i++) {
        const Ring& ring = rings[i];
        end_[i] = ring.written.load(std::memory_order_acquire);
        next_[i] = oldest_kept(ring, end_[i]);
        advance(i);
    }
}

void TraceCursor::advance(unsigned hart) {
    time_[hart] = no_deadline;
    for (TraceRecord record; next_[hart] < end_[hart]; next_[hart]++) {
        if (copy_record(rings[hart], next_[hart], record)) {
            time_[hart] = record.time_ns;
            return;
        }
        skipped_++;
    }
}

bool TraceCursor::next(TraceRecord& out) {
    for (;;) {
        unsigned first = 0;
        for (unsigned i = 1; i < max_harts; i++)
            if (time_[i] < time_[first])
                first = i;
        if (time_[first] == no_deadline)
            return false;
        const bool there = copy_record(rings[first], next_[first], out);
        if (there)
            next_[first]++;
        advance(first); // passes and counts what is gone
        if (there)
            return true;
    }
}

std::string_view trace_format(std::span<char> to, const TraceRecord& record) {
    const ProbeInfo& probe = probes[record.probe];
    size_t used = format_to(to, "{} {} {} {} {} {}", record.time_ns, record.hart, record.thread, record.pid, record.tid,
                            probe.name)
                      .size();
    const auto put = [&](std::string_view text) { used += format_to(to.subspan(used), "{}", text).size(); };
    const auto put_text = [&](uint64_t word) {
        for (; word != 0; word >>= 8) {
            const char c = static_cast<char>(word & 0xff);
            put(std::string_view(c > ' ' && c < 0x7f ? &c : "?", 1)); // a blank would end the field
        }
    };
    size_t word = 0;
    for (std::string_view left = probe.arguments; !left.empty() && word < std::size(record.args);) {
        const size_t end = std::min(left.find(' '), left.size());
        const std::string_view argument = left.substr(0, end), name = argument.substr(0, end - 2);
        left.remove_prefix(std::min(end + 1, left.size()));
        const uint64_t value = record.args[word++];
        used += format_to(to.subspan(used), " {}=", name).size();
        switch (argument.back()) {
        case 'x': used += format_to(to.subspan(used), "{:#x}", value).size(); break;
        case 's': put_text(value); break;
        case 'n':
            put_text(value);
            if (word < std::size(record.args))
                put_text(record.args[word++]);
            break;
        default: used += format_to(to.subspan(used), "{}", static_cast<int64_t>(value)).size();
        }
    }
    put("\n");
    return {to.data(), used};
}

} // namespace lentil
