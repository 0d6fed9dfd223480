// SPDX-License-Identifier: BSD-2-Clause
// Memory calls: Linux's flags and error rules in front of vm_map.
#include <algorithm>

#include <abi/files.hpp>
#include <abi/sys_mem.hpp>
#include <sched/killed.hpp>

namespace lentil::abi {
namespace {

constexpr vaddr_t user_end = machine::Pte::user_end;

namespace map_flags {
constexpr uint32_t shared = 1, private_ = 2, shared_validate = 3, type_mask = 0xf, fixed = 0x10, anonymous = 0x20,
                   grows_down = 0x100, deny_write = 0x800, executable = 0x1000, locked = 0x2000, no_reserve = 0x4000,
                   populate = 0x8000, non_block = 0x10000, stack = 0x20000, huge_tlb = 0x40000,
                   fixed_no_replace = 0x100000;
constexpr uint32_t known = type_mask | fixed | anonymous | grows_down | deny_write | executable | locked | no_reserve |
                           populate | non_block | stack | huge_tlb | fixed_no_replace;
} // namespace map_flags

constexpr uint32_t prot_read = 1, prot_write = 2, prot_exec = 4, prot_sem = 8;
constexpr uint32_t prot_grows_down = 0x01000000, prot_grows_up = 0x02000000;

/// Writable without readable does not exist in the architecture's tables: Linux makes it readable too.
Prot prot_from(uint32_t bits) {
    Prot prot = Prot::none;
    if (bits & (prot_read | prot_write))
        prot = prot | Prot::read;
    if (bits & prot_write)
        prot = prot | Prot::write;
    if (bits & prot_exec)
        prot = prot | Prot::exec;
    return prot;
}

struct Range {
    vaddr_t start;
    uint64_t length; ///< bytes, whole pages, may be 0
};

/// [start, start+length) rounded up to pages: inval if `start` is not aligned, `outside` if it is no user range.
Result<Range> page_range(vaddr_t start, uint64_t length, Errno outside) {
    if (!is_page_aligned(start))
        return Errno::inval;
    if (length > user_end || !user_range_ok(start, page_ceil(length)))
        return outside;
    return Range{start, page_ceil(length)};
}

/// The same for calls that round an unaligned start down.
Result<Range> rounded_range(vaddr_t start, uint64_t length) {
    if (length > user_end)
        return Errno::inval;
    return page_range(page_floor(start), length + (start & page_mask), Errno::nomem);
}

/// While it lives the file is not sealed against writing.
class MappingToCome {
public:
    MappingToCome() = default;
    ~MappingToCome() {
        if (seals_)
            seals_->end_shared_mapping();
    }
    MappingToCome(const MappingToCome&) = delete;
    MappingToCome& operator=(const MappingToCome&) = delete;
    /// Whether the shared mapping may be written to, now or later. The file outlives this.
    Result<bool> begin(FileSeals& seals, Prot prot) {
        const bool may_write =
            TRY(seals.begin_shared_mapping(has(prot, Prot::write) ? FileSeals::Writes::now : FileSeals::Writes::maybe));
        seals_ = &seals;
        return may_write;
    }

private:
    FileSeals* seals_ = nullptr;
};

/// What the file and its open mode let a mapping do.
Result<void> map_file(File& file, uint32_t flags, MapRequest& request, MappingToCome& coming) {
    if (flags & map_flags::grows_down)
        return Errno::inval;
    if (!file.readable())
        return Errno::acces;
    if (request.shared && !file.writable()) {
        if (has(request.prot, Prot::write))
            return Errno::acces;
        request.max_prot = Prot::read | Prot::exec;
    }
    if (file.forbids_execution()) [[unlikely]] {
        if (has(request.prot, Prot::exec))
            return Errno::perm;
        request.max_prot = has(request.max_prot, Prot::write) ? Prot::read | Prot::write : Prot::read;
    }
    FileSeals* const seals = request.shared && has(request.max_prot, Prot::write) ? file.seals() : nullptr;
    if (seals && !TRY(coming.begin(*seals, request.prot)))
        request.max_prot = has(request.max_prot, Prot::exec) ? Prot::read | Prot::exec : Prot::read;
    File::Mappable mappable = TRY(file.mappable());
    request.object = std::move(mappable.object);
    request.file = std::move(mappable.file);
    return {};
}

Result<void> lock_range(vaddr_t start, uint64_t length) {
    const Range range = TRY(rounded_range(start, length));
    if (range.length == 0)
        return {};
    const uint64_t limit = current_proc().limit(Limit::memlock).soft;
    if (range.length > limit && !current_proc().cred()->capable(Capability::ipc_lock))
        return limit == 0 ? Errno::perm : Errno::nomem;
    TRY(current_map().check_mapped(range.start, range.length));
    // Nothing is ever paged out, so memory that is there stays there.
    return current_map().advise(range.start, range.length, Advice::will_need);
}

} // namespace

Result<uint64_t> sys_brk(uint64_t end) { return current_map().set_break(end, current_proc().limit(Limit::data).soft); }

Result<uint64_t> sys_mmap(uint64_t address, uint64_t length, uint32_t prot, uint32_t flags, int fd, uint64_t offset) {
    if (!is_page_aligned(offset))
        return Errno::inval;
    FileHold file;
    if (!(flags & map_flags::anonymous))
        file = TRY(open_file(fd));
    if (length == 0 || (flags & map_flags::huge_tlb))
        return Errno::inval;
    if (length > user_end)
        return Errno::nomem;
    if (file && offset + page_ceil(length) < offset)
        return Errno::overflow;

    MapRequest request;
    switch (flags & map_flags::type_mask) {
    case map_flags::private_: break;
    case map_flags::shared_validate:
        if (flags & ~map_flags::known)
            return Errno::opnotsupp;
        [[fallthrough]];
    case map_flags::shared: request.shared = true; break;
    default: return Errno::inval;
    }
    request.no_replace = flags & map_flags::fixed_no_replace;
    request.fixed = (flags & map_flags::fixed) || request.no_replace;
    if (request.fixed && !is_page_aligned(address))
        return Errno::inval;
    if (request.fixed && !user_range_ok(address, page_ceil(length)))
        return Errno::nomem;
    if (request.shared && !file && (flags & map_flags::grows_down))
        return Errno::inval;
    request.address = page_floor(address);
    request.length = length;
    request.prot = prot_from(prot);
    request.grows_down = flags & map_flags::grows_down;
    request.populate =
        (flags & map_flags::locked) || ((flags & map_flags::populate) && !(flags & map_flags::non_block));
    MappingToCome coming; // goes before the file
    if (file) {
        request.offset = offset;
        TRY(map_file(*file, flags, request, coming));
    }
    return current_map().map(request);
}

Result<void> sys_munmap(uint64_t start, uint64_t length) {
    const Range range = TRY(page_range(start, length, Errno::inval));
    if (range.length == 0)
        return Errno::inval;
    return current_map().unmap(range.start, range.length);
}

Result<uint64_t> sys_mremap(uint64_t old_address, uint64_t old_length, uint64_t new_length, uint32_t flags,
                            uint64_t new_address) {
    constexpr uint32_t may_move = 1, fixed = 2;
    if (flags & ~(may_move | fixed)) // MREMAP_DONTUNMAP is not there
        return Errno::inval;
    if ((flags & fixed) && !(flags & may_move))
        return Errno::inval;
    if (!is_page_aligned(old_address) || new_length == 0 || old_length == 0)
        return Errno::inval;
    if (new_length > user_end)
        return flags & fixed ? Errno::inval : Errno::nomem;
    if (old_length > user_end || !user_range_ok(old_address, page_ceil(old_length)))
        return Errno::fault;
    old_length = page_ceil(old_length);
    new_length = page_ceil(new_length);
    if (flags & fixed) {
        if (!is_page_aligned(new_address) || !user_range_ok(new_address, new_length))
            return Errno::inval;
        if (new_address < old_address + old_length && old_address < new_address + new_length)
            return Errno::inval;
    }
    return current_map().remap(old_address, old_length, new_length, flags & may_move, flags & fixed, new_address);
}

Result<void> sys_mprotect(uint64_t start, uint64_t length, uint32_t prot) {
    if (prot & ~(prot_read | prot_write | prot_exec | prot_sem | prot_grows_down | prot_grows_up))
        return Errno::inval;
    if (prot & (prot_grows_down | prot_grows_up))
        return Errno::inval;
    const Range range = TRY(page_range(start, length, Errno::nomem));
    if (range.length == 0)
        return {};
    return current_map().protect(range.start, range.length, prot_from(prot));
}

Result<void> sys_msync(uint64_t start, uint64_t length, uint32_t flags) {
    constexpr uint32_t async = 1, invalidate = 2, sync = 4;
    if ((flags & ~(async | invalidate | sync)) || (flags & (async | sync)) == (async | sync))
        return Errno::inval;
    const Range range = TRY(page_range(start, length, Errno::nomem));
    if (range.length == 0)
        return {};
    return current_map().sync(range.start, range.length);
}

Result<void> sys_mlock(uint64_t start, uint64_t length) { return lock_range(start, length); }

Result<void> sys_mlock2(uint64_t start, uint64_t length, uint32_t flags) {
    constexpr uint32_t on_fault = 1;
    if (flags & ~on_fault)
        return Errno::inval;
    return lock_range(start, length);
}

Result<void> sys_munlock(uint64_t start, uint64_t length) {
    const Range range = TRY(rounded_range(start, length));
    if (range.length == 0)
        return {};
    return current_map().check_mapped(range.start, range.length);
}

Result<void> sys_mlockall(uint32_t flags) {
    constexpr uint32_t current = 1, future = 2, on_fault = 4;
    if (flags == 0 || flags == on_fault || (flags & ~(current | future | on_fault)))
        return Errno::inval;
    if (current_proc().cred()->capable(Capability::ipc_lock))
        return {};
    const uint64_t limit = current_proc().limit(Limit::memlock).soft;
    if (limit == 0)
        return Errno::perm;
    if ((flags & current) && current_map().totals().size > limit)
        return Errno::nomem;
    return {};
}

Result<void> sys_munlockall() { return {}; }

Result<void> sys_mincore(uint64_t start, uint64_t length, uint64_t vector) {
    const Range range = TRY(page_range(start, length, Errno::nomem));
    if (!user_range_ok(vector, range.length >> page_shift))
        return Errno::fault;
    uint8_t present[256];
    for (uint64_t done = 0; done < range.length;) {
        if (being_killed())
            return Errno::intr;
        const uint64_t pages = std::min<uint64_t>((range.length - done) >> page_shift, sizeof present);
        TRY(current_map().resident(range.start + done, std::span(present, pages)));
        TRY(copyout(vector + (done >> page_shift), present, pages));
        done += pages << page_shift;
    }
    return {};
}

Result<void> sys_madvise(uint64_t start, uint64_t length, int advice) {
    Advice meaning;
    switch (advice) {
    case 0: meaning = Advice::normal; break;
    case 1: meaning = Advice::random; break;
    case 2: meaning = Advice::sequential; break;
    case 3: meaning = Advice::will_need; break;
    case 4: meaning = Advice::dont_need; break;
    case 8: meaning = Advice::free; break;
    case 10: meaning = Advice::dont_fork; break;
    case 11: meaning = Advice::do_fork; break;
    case 14: meaning = Advice::any_pages; break; // MADV_HUGEPAGE
    case 15: meaning = Advice::page_by_page; break;
    case 18: meaning = Advice::wipe_on_fork; break;
    case 19: meaning = Advice::keep_on_fork; break;
    case 16: // MADV_DONTDUMP, DODUMP: there are no core files
    case 17:
    case 20: // MADV_COLD, PAGEOUT: nothing is ever paged out
    case 21: meaning = Advice::other; break;
    default: return Errno::inval;
    }
    const Range range = TRY(page_range(start, length, Errno::inval));
    if (range.length == 0)
        return {};
    return current_map().advise(range.start, range.length, meaning);
}

Result<void> sys_riscv_flush_icache(uint64_t, uint64_t, uint64_t flags) {
    constexpr uint64_t local = 1;
    if (flags & ~local)
        return Errno::inval;
    // The thread may run anywhere a moment later, so "local" gains nothing and is no less right for all.
    machine::sync_instructions(sched_harts());
    return {};
}

} // namespace lentil::abi
