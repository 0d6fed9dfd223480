// SPDX-License-Identifier: BSD-2-Clause
// What the explored kernel finds around it: firmware that boots it, a board that has a console only, panics that end the
// run with the seed that repeats it.
#include "explore_machine.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <host/explorer.hpp>
#include <map>
#include <sanitizer/common_interface_defs.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <bsd/proc.hpp>
#include <bsd/tty.hpp>
#include <debug/panic.hpp>
#include <debug/panic_test.hpp>
#include <libkern/format.hpp>
#include <platform/platform.hpp>
#include <sched/clock.hpp>
#include <sched/hart.hpp>
#include <vm/fail.hpp>
#include <vm/kmem.hpp>
#include <vm/page.hpp>
#include <vm/zalloc.hpp>

using namespace lentil;

extern "C" [[noreturn]] void kernel_main();
extern "C" [[noreturn]] void secondary_main(unsigned index);

#if defined(LENTIL_TSAN)
extern "C" void AnnotateIgnoreReadsBegin(const char*, int);
extern "C" void AnnotateIgnoreReadsEnd(const char*, int);
extern "C" void AnnotateIgnoreWritesBegin(const char*, int);
extern "C" void AnnotateIgnoreWritesEnd(const char*, int);
/// The simulated TLBs and caches belong to no flow. (The kernel has no hash tables and vectors of this library.)
extern "C" const char* __tsan_default_suppressions() {
    return "race:std::_Hashtable\nrace:std::__detail::_Hash\nrace:std::vector<char\n";
}
/// Nothing goes on in a run that has ended.
extern "C" const char* __tsan_default_options() { return "atexit_sleep_ms=0"; }
#endif

namespace {

ExploreRun this_run;
ExploreResult* shared = nullptr; ///< numbers of the run, for the parent process
std::deque<std::string> record;  ///< the last things that happened
bool record_all = false;
host::Plan plan;

/// No points inside, and no other hart runs: nothing that is read here can be a race.
class Quiet {
public:
    Quiet() : was_(machine::exploring) {
        machine::exploring = false;
#if defined(LENTIL_TSAN)
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
    }
    ~Quiet() {
#if defined(LENTIL_TSAN)
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
        machine::exploring = was_;
    }
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;

private:
    bool was_;
};

[[gnu::format(printf, 1, 2)]] void remember(const char* format, ...) {
    char text[300];
    const Thread* thread = machine::current_thread();
    const Uthread* uthread = thread->uthread;
    int n = std::snprintf(text, sizeof text, "%9lu hart %u ", host::explored_points(), machine::host_hart);
    if (uthread)
        n += std::snprintf(text + n, sizeof text - static_cast<size_t>(n), "%d/%d ", uthread->proc->pid, uthread->tid);
    else
        n += std::snprintf(text + n, sizeof text - static_cast<size_t>(n), "(%s) ", thread->name);
    va_list args;
    va_start(args, format);
    std::vsnprintf(text + n, sizeof text - static_cast<size_t>(n), format, args);
    va_end(args);
    if (record_all)
        std::fprintf(stderr, "%s\n", text);
    record.emplace_back(text);
    if (record.size() > 150)
        record.pop_front();
}

void save_numbers() {
    shared->points = host::explored_points();
    shared->switches = host::explored_switches();
    shared->loans = proc_counts.loans;
    shared->gifts = proc_counts.gifts;
    shared->forks = proc_counts.forks;
    shared->execs = proc_counts.execs;
    shared->exits = proc_counts.exits;
    shared->depth = proc_counts.loans_max_depth;
}

const char* name_of(ThreadState state) {
    switch (state) {
    case ThreadState::embryo: return "embryo";
    case ThreadState::ready: return "ready";
    case ThreadState::running: return "running";
    case ThreadState::waiting: return "waiting";
    case ThreadState::dead: return "dead";
    }
    return "?";
}

void print_processes() {
    for (const ProcLinks& links : *all_procs) {
        const Proc& proc = static_cast<const Proc&>(links);
        std::fprintf(stderr, "%d parent %d state %u%s%s\n", proc.pid, proc.parent ? proc.parent->pid : 0,
                     static_cast<unsigned>(proc.state), proc.loan ? " borrows" : "",
                     proc.sig.group_exit ? " ends"
                     : proc.sig.stopping ? " stops"
                                         : "");
        for (const Uthread& u : proc.uthreads) {
            const Thread* t = u.thread.load();
            std::fprintf(stderr, "    %d uthread state %u mask %lx pending %lx thread %s, %s, level %u\n", u.tid,
                         static_cast<unsigned>(u.state.load()), u.sig.mask.bits, u.sig.pending.set.bits,
                         t ? name_of(t->state.load()) : "none", t && t->wait_channel ? t->wait_channel : "-",
                         t ? t->interrupt_level.load() : 0);
        }
    }
}

[[noreturn]] void fail(const std::string& why) {
    machine::exploring = false;
    static bool failing = false;
    if (std::exchange(failing, true))
        ::_exit(1);
    std::fprintf(stderr, "---- the last steps:\n");
    for (const std::string& line : record)
        std::fprintf(stderr, "%s\n", line.c_str());
    std::fprintf(stderr, "---- processes:\n");
    if (init_proc)
        print_processes();
    std::fprintf(stderr, "---- explore: %s\n", why.c_str());
    std::fprintf(stderr, "seed %lu, %u harts, point %lu; again: LENTIL_EXPLORE_SEED=%lu build/test/host/host_explore\n",
                 this_run.seed, machine::boot_info.hart_count, host::explored_points(), this_run.seed);
    __sanitizer_print_stack_trace();
    save_numbers();
    ::_exit(1);
}

// ---- objects -----------------------------------------------------------------------------------------------------------

using Counts = std::map<std::string, int64_t>;

Counts count_objects() {
    const Quiet quiet;
    Counts counts;
    const unsigned here = machine::host_hart;
    for (unsigned i = 0; i < machine::boot_info.hart_count; i++) {
        const host::OnHart on(i);
        zone_reclaim();
    }
    ASSERT(machine::host_hart == here);
    const PageCounts pages = page_counts();
    counts["user pages"] = static_cast<int64_t>(pages.total - pages.free - pages.kernel);
    counts["processes"] = static_cast<int64_t>(proc_counts.procs);
    counts["uthreads"] = static_cast<int64_t>(proc_counts.uthreads);
    counts["open loans"] = static_cast<int64_t>(proc_counts.loans_open);
    counts["threads alive"] = static_cast<int64_t>(thread_counters.threads_alive);
    counts["kernel stacks alive"] = static_cast<int64_t>(thread_counters.kernel_stacks_alive);
    for_each_zone([](const char* name, size_t, uint64_t in_use,
                     void* out) { (*static_cast<Counts*>(out))[name] = static_cast<int64_t>(in_use); },
                  &counts);
    return counts;
}

Counts first_counts;

std::string differences(const Counts& before, const Counts& after) {
    std::string text;
    for (const auto& [name, n] : after) {
        if (name == "kmem_ranges")
            continue; // harts keep some stacks for the next threads
        const auto known = before.find(name);
        const int64_t was = known == before.end() ? 0 : known->second;
        if (was != n)
            text += " " + name + ": " + std::to_string(was) + " before, " + std::to_string(n) + " after;";
    }
    return text;
}

// ---- memory that fails ---------------------------------------------------------------------------------------------------

uint64_t fail_one_in = 0;

/// In calls that say ENOMEM (or EAGAIN), and in the kernel's service of loans, which tries again.
bool fails_sometimes() {
    if (fail_one_in == 0)
        return false;
    const Thread& thread = *machine::current_thread();
    if (thread.uthread) {
        constexpr int64_t those[] = {-6, -5, -4, -1, 220, 221, 222}; // kevent to vfork, clone, execve, mmap
        if (!thread.uthread->in_syscall ||
            std::find(std::begin(those), std::end(those), thread.arch.frame.syscall_number()) == std::end(those))
            return false;
    } else if (std::strcmp(thread.name, "loans") != 0) {
        return false;
    }
    if (host::explore_random(fail_one_in) != 0)
        return false;
    shared->cases[static_cast<unsigned>(Case::allocation_failed)]++;
    return true;
}

// ---- nobody can go on ----------------------------------------------------------------------------------------------------

/// Time is about to jump: a thread that could run now waits for nothing but a wake-up that was lost.
void on_standstill() {
    const Quiet quiet;
    sched_harts().for_each([](unsigned i) {
        if (hart_by_index(i).queued.load() != 0)
            fail("every hart sleeps, but a thread is queued on hart " + std::to_string(i));
    });
}

// ---- questions of the user program -------------------------------------------------------------------------------------

std::string user_text(vaddr_t at, uint64_t length) {
    std::string text;
    for (uint64_t i = 0; i < length && i < 200; i++)
        if (const char* c = host::user_memory(at + i, machine::Prot::read))
            text += *c;
    return text;
}

/// The kernel is built without what tells a sanitizer the type of its terminals.
[[gnu::no_sanitize("vptr")]] void type_key(char key) { console_tty().input({&key, 1}); }

void answer(machine::Trapframe& frame) {
    const auto a = [&](unsigned n) { return frame.arg(n); };
    switch (static_cast<Question>(frame.get(machine::Trapframe::a7))) {
    case Question::random: frame.set_return(host::explore_random(a(0))); return;
    case Question::fail:
        fail("the program: " + user_text(a(0), a(1)) + " (" + std::to_string(static_cast<int64_t>(a(2))) + ", " +
             std::to_string(static_cast<int64_t>(a(3))) + ", " + std::to_string(static_cast<int64_t>(a(4))) + ")");
    case Question::note:
        remember("-- %s %ld %ld %ld", user_text(a(0), a(1)).c_str(), static_cast<int64_t>(a(2)),
                 static_cast<int64_t>(a(3)), static_cast<int64_t>(a(4)));
        return;
    case Question::settle: {
        const bool compare = a(0), last_time = a(1);
        const bool alone = host::others_wait();
        frame.set_return(alone);
        if (!alone) {
            if (last_time)
                fail("something goes on and on");
            return;
        }
        const Counts now = count_objects();
        host::check_translations();
        if (!compare) {
            first_counts = now;
        } else if (const std::string text = differences(first_counts, now); !text.empty()) {
            frame.set_return(0);
            if (last_time)
                fail("objects are left:" + text);
        }
        return;
    }
    case Question::memory_fails:
        fail_one_in = a(0);
        allocation_fault_hook = fails_sometimes;
        return;
    case Question::type: type_key(static_cast<char>(a(0))); return;
    case Question::cover:
        if (a(0) < static_cast<uint64_t>(Case::count))
            shared->cases[a(0)]++;
        return;
    }
    fail("a question that is none");
}

void on_trap(const machine::Trapframe& frame, host::Stepped step, bool handled) {
    if (step.what == host::Step::call) {
        if (handled)
            remember("   -> %lx", frame.return_value());
        else
            remember("call %ld (%lx, %lx, %lx, %lx)", frame.syscall_number(), frame.arg(0), frame.arg(1), frame.arg(2),
                     frame.arg(3));
    } else if (!handled) {
        remember("trap %u at %lx, pc %lx", static_cast<unsigned>(step.what), step.address, frame.pc());
    }
}

// ---- the machine -------------------------------------------------------------------------------------------------------

std::vector<char> initramfs() {
    std::ifstream file(EXPLORE_PROGRAM, std::ios::binary);
    const std::string program{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (program.empty())
        fail("no program " EXPLORE_PROGRAM);
    std::vector<char> archive;
    const auto put = [&](const char* name, unsigned mode, const std::string& contents, unsigned major = 0,
                         unsigned minor = 0) {
        char header[128];
        std::snprintf(header, sizeof header, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", 1, mode, 0,
                      0, 1, 0, contents.size(), 0, 0, major, minor, std::strlen(name) + 1, 0);
        const auto pad = [&] {
            while (archive.size() % 4 != 0)
                archive.push_back(0);
        };
        archive.insert(archive.end(), header, header + 110);
        archive.insert(archive.end(), name, name + std::strlen(name) + 1);
        pad();
        archive.insert(archive.end(), contents.begin(), contents.end());
        pad();
    };
    put("init", 0100755, program);
    put("dev", 0040755, "");
    put("dev/console", 0020600, "", 5, 1);
    put("TRAILER!!!", 0, "");
    return archive;
}

void run_instead() {
    vm_init();
    sched_init_hart(0);
    clock_init();
    machine::hooks.timer_interrupt = sched_timer_interrupt;
    machine::hooks.ipi = sched_ipi;
    machine::hooks.kernel_preempt = sched_kernel_preempt;
    for (unsigned i = 1; i < machine::boot_info.hart_count; i++)
        MUST(machine::hart_start(i));                                     // there is such a hart
    MUST(kernel_thread_start("test", this_run.instead_of_init, nullptr)); // there is memory
    sched_idle();
}

void powered_off(machine::PowerAction action) {
    if (action != machine::PowerAction::off)
        fail("the kernel gave up");
    explore_done();
}

[[noreturn]] void run_machine() {
    uint64_t state = this_run.seed * 0x9e3779b97f4a7c15 + 1;
    const auto choose = [&](auto... values) {
        const uint64_t all[] = {static_cast<uint64_t>(values)...};
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        return all[state % sizeof...(values)];
    };
    const auto any_harts = static_cast<unsigned>(choose(1, 2, 2, 3, 4));
    const unsigned harts = this_run.calm ? 2 : any_harts;
    plan.seed = this_run.seed;
    plan.switch_one_in = static_cast<unsigned>(choose(2, 3, 5, 10, 30, 100));
    plan.stall_one_in = static_cast<unsigned>(choose(0, 100, 300, 1000));
    plan.longest_stall = static_cast<unsigned>(choose(300, 3000));
    plan.burst = static_cast<unsigned>(choose(2, 10, 50));
    plan.step_ns = static_cast<nanos_t>(choose(300, 2000, 20000, 100000));
    if (this_run.calm) {
        plan.stall_one_in = 0;
        plan.step_ns = 100;
    }
    plan.boot = this_run.instead_of_init ? run_instead : [] { kernel_main(); };
    plan.secondary = [](unsigned hart) {
        if (!this_run.instead_of_init)
            secondary_main(hart);
        sched_init_hart(hart);
        sched_idle();
    };
    plan.powered_off = powered_off;
    plan.question = answer;
    plan.direct_calls = lentil_direct_calls.data();
    plan.trapped = on_trap;
    plan.standstill = on_standstill;

    constexpr paddr_t ram = 0x80000000, initrd = ram + (60 << 20);
    const std::vector<char> archive = initramfs();
    const machine::MemoryRange memory[] = {{ram, 64 << 20}};
    const machine::MemoryRange reserved[] = {{initrd, page_ceil(archive.size())}};
    host::start({memory, reserved, harts});
    std::memcpy(machine::direct_map(initrd), archive.data(), archive.size());
    machine::boot_info.initrd = {initrd, archive.size()};
    std::snprintf(machine::boot_info.command_line, sizeof machine::boot_info.command_line, "quiet %s",
                  this_run.command_line.c_str());
    std::memcpy(machine::boot_info.rng_seed, &this_run.seed, sizeof this_run.seed);
    machine::boot_info.rng_seed_size = sizeof this_run.seed;
    std::snprintf(machine::boot_info.model, sizeof machine::boot_info.model, "simulation");
    shared->harts = harts;
    host::explore(plan);
}

} // namespace

void explore_done() {
    save_numbers();
    ::_exit(0);
}

ExploreResult explore_run(const ExploreRun& run) {
    void* const memory =
        ::mmap(nullptr, sizeof(ExploreResult), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared = new (memory) ExploreResult;
    int ends[2];
    if (::pipe(ends) != 0)
        std::abort();
    std::fflush(nullptr);
    const ::pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], 2);
        ::close(ends[0]);
        ::close(ends[1]);
        ::alarm(300); // a loop without points
        this_run = run;
        record_all = std::getenv("LENTIL_EXPLORE_TRACE") != nullptr;
        run_machine();
    }
    ::close(ends[1]);
    ExploreResult result;
    char piece[4096];
    std::string output;
    for (ssize_t n; (n = ::read(ends[0], piece, sizeof piece)) > 0;)
        output.append(piece, static_cast<size_t>(n));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    result = *shared;
    result.output = std::move(output);
    result.ok = status == 0;
    if (!result.ok && result.output.find("again: ") == std::string::npos)
        result.output += "\nseed " + std::to_string(run.seed) + " ended with status " + std::to_string(status) +
                         "; again: LENTIL_EXPLORE_SEED=" + std::to_string(run.seed) + " build/test/host/host_explore\n";
    ::munmap(memory, sizeof(ExploreResult));
    return result;
}

// ---- what the kernel's lowest layers and its boot expect -----------------------------------------------------------------

namespace lentil {

PanicDescriber panic_describe_process = nullptr;
const char* panic_activity = nullptr;

void panic(std::string_view reason, SourceLine where) {
    fail("panic: " + std::string(reason) + " at " + where.file + ":" + std::to_string(where.line));
}

void panic_test(std::string_view) {}

namespace platform {
void probe_devices() {}
void hart_is_up() {}
void handle_external_interrupt() { fail("an interrupt of a device, but there is none"); }
void Console::write(std::string_view text) { remember("console: %.*s", static_cast<int>(text.size()), text.data()); }
void Console::set_input_handler(InputHandler) {}
Console& console() {
    static Console the_console;
    return the_console;
}
nanos_t wall_clock_ns() { return 1'800'000'000'000'000'000; }
void console_prefer(std::string_view) {}
void entropy_connect(void (*)(const void*, size_t)) {}
void entropy_ask() {}
} // namespace platform

} // namespace lentil

namespace boost {
void assertion_failed(char const* expression, char const*, char const*, long) { lentil::panic(expression); }
void assertion_failed_msg(char const* expression, char const*, char const*, char const*, long) {
    lentil::panic(expression);
}
} // namespace boost
