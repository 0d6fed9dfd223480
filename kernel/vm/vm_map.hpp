// SPDX-License-Identifier: BSD-2-Clause
// vm_map: what is where in an address space, and the one page-fault path.
#pragma once

#include <span>

#include <libkern/types.hpp>
#include <sched/mutex.hpp>
#include <vm/pmap.hpp>
#include <vm/vm_entries.hpp>

namespace lentil {

struct MapRequest {
    vaddr_t address = 0; ///< hint, or exact with `fixed`
    uint64_t length = 0; ///< bytes, rounded up to pages
    Prot prot = Prot::none;
    Prot max_prot = Prot::read | Prot::write | Prot::exec;
    bool fixed = false;      ///< replace what is there
    bool no_replace = false; ///< with fixed: exist if anything is there
    bool shared = false;
    bool grows_down = false;
    bool populate = false; ///< touch every page now
    EntryKind kind = EntryKind::plain;
    RefPtr<VmObject> object; ///< nullptr: anonymous (shared anonymous gets an object of its own)
    uint64_t offset = 0;
    RefPtr<MappedFile> file;
};

enum class Advice : uint32_t {
    normal,
    random,
    sequential,
    will_need,
    dont_need,
    free,
    dont_fork,
    do_fork,
    wipe_on_fork,
    keep_on_fork,
    page_by_page, ///< MADV_NOHUGEPAGE
    any_pages,    ///< MADV_HUGEPAGE
    other
};

/// What a fault that cannot be resolved means for user mode.
enum class FaultResult : uint32_t {
    ok,
    no_mapping,   ///< SIGSEGV, SEGV_MAPERR
    protection,   ///< SIGSEGV, SEGV_ACCERR
    beyond_end,   ///< SIGBUS, BUS_ADRERR: past the end of the object
    out_of_memory ///< somebody has to go (bsd/oom.hpp)
};

/// One address space. Shared by tasks (CLONE_VM, loans); counted.
class VmMap : public ZonedRefCounted<VmMap> {
public:
    static constexpr const char* zone_name = "vm_maps";
    static Result<RefPtr<VmMap>> create();
    ~VmMap(); ///< removes everything; active on no hart

    /// Copy for fork: private memory copy-on-write, shared memory shared, MADV_DONTFORK left out, WIPEONFORK empty. Its cost
    /// does not depend on how much is mapped. Fails with nomem and changes nothing that can be seen.
    Result<RefPtr<VmMap>> fork();

    /// mmap: returns the address. nomem (also for the limit on address space), exist, inval.
    Result<vaddr_t> map(const MapRequest& request);
    Result<void> unmap(vaddr_t start, uint64_t length);
    /// nomem if part of the range is unmapped, acces beyond max_prot.
    Result<void> protect(vaddr_t start, uint64_t length, Prot prot);
    /// mremap: fault if the old range is not part of one entry, nomem if there is no room. With `fixed` the destination may be
    /// gone after nomem, as on Linux.
    Result<vaddr_t> remap(vaddr_t old_address, uint64_t old_length, uint64_t new_length, bool may_move, bool fixed,
                          vaddr_t new_address);
    Result<void> advise(vaddr_t start, uint64_t length, Advice advice);
    /// One byte a page into `out` (bit 0: resident); nomem if unmapped.
    Result<void> resident(vaddr_t start, std::span<uint8_t> out);
    Result<void> sync(vaddr_t start, uint64_t length);         ///< msync: nomem if unmapped
    Result<void> check_mapped(vaddr_t start, uint64_t length); ///< nomem unless the whole range is mapped (mlock)

    /// brk(2): moves the end of the heap if it can; returns where it is now.
    vaddr_t set_break(vaddr_t end, uint64_t data_limit);
    /// Where the heap begins; set by exec.
    void init_break(vaddr_t start);

    /// The page-fault path. Sleeps. `address` any user address.
    FaultResult fault(vaddr_t address, Prot access);

    /// Copies to or from this map whether or not it is the current one (ptrace, /proc/PID/mem, argv of another proc);
    /// bytes copied. Writing breaks sharing like a user's store; `force` ignores the lack of write permission.
    size_t read_memory(vaddr_t from, void* to, size_t n, bool force = true);
    size_t write_memory(vaddr_t to, const void* from, size_t n, bool force);

    Pmap& pmap() { return pmap_; }
    /// A stable key of the word at `va` for futexes: object and offset for shared memory, map and address else.
    struct FutexKey {
        uintptr_t owner = 0;
        uint64_t offset = 0;
        friend bool operator==(const FutexKey&, const FutexKey&) = default;
    };
    Result<FutexKey> futex_key(vaddr_t va, bool process_private);

    struct Totals {
        uint64_t size = 0, resident = 0, data = 0, stack = 0, text = 0, shared_resident = 0, page_tables = 0,
                 peak_resident = 0; ///< bytes
        uint32_t entries = 0;
    };
    Totals totals();
    /// Pages that nothing else holds: those that would be free if this map were gone.
    uint64_t own_pages();
    /// High-water mark of the resident set. No lock.
    uint64_t peak_resident_bytes() const { return pmap_.peak_resident() * page_size; }
    /// Calls `visit` for every entry in address order with the map locked (visit must not fault or block on the map).
    void for_each_entry(void (*visit)(const VmMapEntry&, void*), void* context);

    /// RLIMIT_AS and RLIMIT_STACK of whoever built the map; bytes. exec and setrlimit keep them up to date.
    std::atomic<uint64_t> size_limit{~uint64_t{0}};
    std::atomic<uint64_t> stack_limit{uint64_t{8} << 20};

    /// Marks set by exec for /proc and auxv.
    struct Layout {
        vaddr_t code_start = 0, code_end = 0, data_start = 0, data_end = 0, stack_start = 0;
        vaddr_t arg_start = 0, arg_end = 0, env_start = 0, env_end = 0, auxv_start = 0, auxv_end = 0;
        vaddr_t mmap_base = 0; ///< top-down allocation starts here
        vaddr_t break_start = 0, break_end = 0;
        vaddr_t vdso = 0;
    } layout;
    /// Places in the vdso page that single steps use just now, one bit each (bsd/ptrace_step.cpp).
    std::atomic<uint32_t> step_places{0};
    /// Barriers that its threads said they would ask for (membarrier(2)); exec's new map has none.
    std::atomic<uint32_t> membarrier_registered{0};

private:
    friend struct VmMapInternals;
    friend class VmObject;
    friend class VmEntries;
    Mutex<Rank::vm_map> lock_;
    RefPtr<VmEntries> entries_;        ///< perhaps shared with other maps
    VmMapEntry* last_found_ = nullptr; ///< one of `entries_`, which the next look-up often wants again
    VmSharer sharers_[2];              ///< two, to be at the old and the new entries while they are changed for a copy
    unsigned sharer_ = 0;              ///< which of them is at entries_
    Pmap pmap_;

public:
    VmMap() { sharers_[0].map = sharers_[1].map = this; }
};

} // namespace lentil
