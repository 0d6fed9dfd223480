// SPDX-License-Identifier: BSD-2-Clause
// RAM of the simulated machine: a sparse file, mapped once for the direct map and page by page in the
// kernel's window.
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <host/simulator.hpp>
#include <sys/mman.h>
#include <unistd.h>

namespace lentil::machine {

constinit BootInfo boot_info;
constinit Hooks hooks;

namespace {

constinit AddressSpace the_kernel_space;
constinit int ram_file = -1;
/// The kernel's root table; a page of RAM that boot_info does not know.
constexpr paddr_t root_pa = direct_map_size - page_size;

[[noreturn]] void fatal(const char* text) {
    [[maybe_unused]] const ssize_t written = ::write(2, text, std::strlen(text));
    std::abort();
}

void map_direct(paddr_t start, uint64_t size) {
    void* const at = direct_map(start);
    if (::mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, ram_file,
               static_cast<::off_t>(start)) != at)
        fatal("host: cannot map the machine's memory\n");
}

/// The page tables' answer for a page of the window; an empty entry if they have none.
Pte walk_kernel(vaddr_t va) {
    const Pte* table = static_cast<const Pte*>(direct_map(the_kernel_space.root));
    for (unsigned level = Pte::levels - 1; level > 0; level--) {
        const Pte entry = table[Pte::index(va, level)];
        if (!entry.valid())
            return {};
        table = static_cast<const Pte*>(direct_map(entry.address()));
    }
    return table[Pte::index(va, 0)];
}

struct sigaction previous_handler;

/// The window's TLB miss.
void on_fault(int signal, siginfo_t* info, void* context) {
    const auto address = reinterpret_cast<vaddr_t>(info->si_addr);
    if (address - kmem_start < kmem_end - kmem_start) {
        const vaddr_t va = page_floor(address);
        const Pte entry = walk_kernel(va);
        if (entry.valid() && has(entry.prot(), Prot::write)) {
            void* const at = reinterpret_cast<void*>(va);
            if (::mmap(at, page_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, ram_file,
                       static_cast<::off_t>(entry.address())) == at)
                return;
        }
    }
    // Not ours: the sanitizer's report, or the system's default.
    ::sigaction(SIGSEGV, &previous_handler, nullptr);
    if ((previous_handler.sa_flags & SA_SIGINFO) && previous_handler.sa_sigaction)
        previous_handler.sa_sigaction(signal, info, context);
}

void reserve(vaddr_t start, uint64_t size) {
    void* const at = reinterpret_cast<void*>(start);
    if (::mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != at)
        fatal("host: cannot reserve addresses\n");
}

} // namespace

void zero_page(void* page) { std::memset(page, 0, page_size); }

AddressSpace& kernel_space() { return the_kernel_space; }

void init_root(void* root_table) {
    constexpr size_t half = page_size / 2;
    std::memset(root_table, 0, half);
    std::memcpy(static_cast<char*>(root_table) + half,
                static_cast<const char*>(direct_map(the_kernel_space.root)) + half, half);
}

void tlb_shootdown_kernel(vaddr_t start, size_t length) {
    const vaddr_t first = page_floor(start), end = page_ceil(start + length);
    ASSERT(first >= kmem_start && end <= kmem_end);
    reserve(first, end - first);
}

} // namespace lentil::machine

namespace lentil::host {

using namespace machine;

void start(const Config& config) {
    ASSERT(ram_file == -1);
    ram_file = ::memfd_create("lentil-ram", MFD_CLOEXEC);
    if (ram_file < 0 || ::ftruncate(ram_file, static_cast<::off_t>(direct_map_size)) != 0)
        fatal("host: no memory file\n");
    reserve(direct_map_base, direct_map_size);
    reserve(kmem_start, kmem_end - kmem_start);
    for (const MemoryRange& range : config.memory) {
        map_direct(page_floor(range.start), page_ceil(range.start + range.size) - page_floor(range.start));
        // RAM holds rubbish when the machine starts; a little of it will do.
        std::memset(direct_map(range.start), 0x5a, std::min<uint64_t>(range.size, 16 << 20));
        boot_info.memory[boot_info.memory_count++] = range;
    }
    for (const MemoryRange& range : config.reserved)
        boot_info.reserved[boot_info.reserved_count++] = range;
    map_direct(root_pa, page_size);
    the_kernel_space.root = root_pa;

    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    ::sigaction(SIGSEGV, &action, &previous_handler);

    boot_info.hart_count = config.harts;
    static ThreadArch boot_threads[max_harts];
    for (unsigned i = 0; i < config.harts; i++) {
        boot_info.harts[i].id = i;
        host_harts[i].thread = reinterpret_cast<Thread*>(&boot_threads[i]);
        host_harts[i].space = &the_kernel_space;
        the_kernel_space.active.add(i);
    }
    host_hart = 0;
}

} // namespace lentil::host
