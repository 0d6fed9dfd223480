// SPDX-License-Identifier: BSD-2-Clause
// Building the image of a new program: segments, interpreter, stack with arguments, environment and auxiliary vector.
#include <bsd/exec_internal.hpp>
#include <bsd/random.hpp>
#include <bsd/vdso.hpp>
#include <vm/vm_map_build.hpp>

namespace lentil::exec {

namespace {

constexpr vaddr_t user_end = machine::Pte::user_end;
constexpr uint64_t initial_stack = 132 * 1024; ///< mapped at once; it grows on demand

/// Where an image's parts lie. Top-down: one unmapped page below the hole, the vDSO, an unmapped page, the stack (the three share
/// a page table), the stack's room to grow and a gap, the area for mmap; far below them a position-independent program.
/// Unless the process does without it (ADDR_NO_RANDOMIZE), stack, mmap area and program are moved down or up by random
/// multiples of what a leaf page table covers, so that an image needs as many tables wherever it is.
struct Placement {
    vaddr_t vdso = user_end - page_size - vdso_bytes;
    vaddr_t stack_top = 0;
    vaddr_t mmap_base = 0;
    vaddr_t pie_base = user_end / 3 * 2 & ~(table_span - 1);

    /// `bits` are random, and 40 of them used up.
    Placement(uint64_t stack_limit, bool random, uint64_t bits) {
        uint64_t mmap_shift = 0;
        if (random) {
            const auto shift = [&bits](uint64_t range) {
                const uint64_t n = bits % (range / table_span);
                bits /= range / table_span;
                return n * table_span;
            };
            vdso -= shift(most_stack_shift);
            mmap_shift = shift(most_mmap_shift);
            pie_base += shift(most_pie_shift);
        }
        stack_top = vdso - page_size;
        const uint64_t gap =
            std::min(std::max(stack_limit, uint64_t{128} << 20), user_end / 6 * 5 - most_stack_shift - most_mmap_shift);
        mmap_base = page_floor(stack_top - gap - (uint64_t{1} << 20)) - mmap_shift;
    }

    static constexpr uint64_t table_span = uint64_t{2} << 20;
    // In sixteenths of the space: with the usual limit of the stack the heap of a program can grow by a sixteenth at least.
    static constexpr uint64_t most_stack_shift = user_end / 16, most_mmap_shift = user_end / 16,
                              most_pie_shift = user_end / 8;
    static_assert(most_stack_shift / table_span * (most_mmap_shift / table_span) * (most_pie_shift / table_span) <=
                  uint64_t{1} << 40);
};

Prot prot_of(const elf::Segment& s) {
    return (s.readable ? Prot::read : Prot::none) | (s.writable ? Prot::write : Prot::none) |
           (s.executable ? Prot::exec : Prot::none);
}

Result<void> write_exactly(VmMap& map, vaddr_t to, const void* from, size_t n) {
    return map.write_memory(to, from, n, true) == n ? Result<void>() : Errno::nomem;
}

/// Maps one segment: file pages first, then anonymous ones for what memory_size adds.
Result<void> map_segment(VmMap& map, const File::Mappable& source, const elf::Segment& s, vaddr_t bias) {
    const vaddr_t start = s.address + bias;
    const vaddr_t file_end = start + s.file_size, memory_end = start + s.memory_size;
    const vaddr_t pages_end = s.file_size == 0 ? page_floor(start) : page_ceil(file_end);
    const Prot prot = prot_of(s);
    if (s.file_size > 0) {
        TRY(map_in_new(map, {.start = page_floor(start),
                             .end = pages_end,
                             .prot = prot,
                             .object = source.object.get(),
                             .offset = page_floor(s.offset),
                             .file = source.file.get()}));
        // Where the segment has more memory than file, its last file page is zero from there to the page's end, even
        // past the segment: ld.so takes its first heap from that rest.
        if (s.memory_size > s.file_size && (file_end & page_mask) != 0)
            TRY(cut_off_in_new(map, file_end));
    }
    if (memory_end > pages_end)
        TRY(map_in_new(map, {.start = pages_end, .end = page_ceil(memory_end), .prot = prot}));
    return {};
}

Result<void> map_image(VmMap& map, const File::Mappable& source, const elf::Image& image, vaddr_t bias) {
    if (image.highest() + bias > map.layout.stack_start - (uint64_t{8} << 20))
        return Errno::nomem;
    for (unsigned i = 0; i < image.segment_count; i++)
        TRY(map_segment(map, source, image.segments[i], bias));
    return {};
}

/// The dynamic linker: read, checked and mapped like the program, at an address of the map's choice.
struct Interpreter {
    vaddr_t base = 0, entry = 0;
};
[[gnu::noinline]] Result<Interpreter> map_interpreter(const Proc& proc, VmMap& map, File& program,
                                                      const elf::Image& image) {
    auto path = TRY(Buffer<char>::create_uninitialized(image.interpreter_size));
    TRY(read_exactly(program, image.interpreter_offset, path.data(), path.size()));
    if (path[path.size() - 1] != '\0')
        return Errno::noexec;
    const RefPtr<File> file = TRY(exec_hooks.open(proc, path.data()));
    const File::Mappable source = TRY(file->mappable());
    alignas(uint64_t) uint8_t head[head_bytes];
    const size_t head_size = TRY(read_head(*file, source.object.get(), head));
    const FileStat stat = TRY(file->stat());
    elf::Image linker;
    TRY(parse_image(linker, *file, std::span(head).first(head_size), stat.size));
    if (linker.interpreter_size != 0)
        return Errno::libbad;

    vaddr_t bias = 0;
    if (linker.position_independent) {
        // Let the map find a place for the whole extent, then put the segments over it.
        MapRequest request;
        request.length = linker.highest() - linker.lowest();
        const vaddr_t place = TRY(map.map(request));
        bias = place - linker.lowest();
        TRY(map.unmap(place, request.length));
    }
    TRY(map_image(map, source, linker, bias));
    return Interpreter{bias, linker.entry + bias};
}

/// Auxiliary vector keys (Linux include/uapi/linux/auxvec.h and the riscv additions).
enum Auxv : uint64_t {
    at_null = 0,
    at_phdr = 3,
    at_phent = 4,
    at_phnum = 5,
    at_pagesz = 6,
    at_base = 7,
    at_flags = 8,
    at_entry = 9,
    at_uid = 11,
    at_euid = 12,
    at_gid = 13,
    at_egid = 14,
    at_hwcap = 16,
    at_clktck = 17,
    at_secure = 23,
    at_random = 25,
    at_execfn = 31,
    at_sysinfo_ehdr = 33,
    at_minsigstksz = 51,
};

/// All that is random in an image.
struct Chance {
    uint64_t at_random[2];
    uint64_t placement;
};

struct StackInput {
    const ExecRequest& request;
    const elf::Image& image;
    const Identity& identity;
    vaddr_t bias;
    Interpreter interpreter;
    const Chance& chance;
};

/// What the program finds on its stack: from the top the file's name, environment, arguments, 16 random bytes, then the
/// table that sp points to. Written in one go, since the new map is not the current one.
Result<vaddr_t> build_stack(VmMap& map, const StackInput& in) {
    const StringList& args = in.request.args;
    const StringList& env = in.request.env;
    const std::string_view path = in.request.path;

    const vaddr_t stack_top = map.layout.stack_start;
    const vaddr_t file_name = stack_top - 16 - (path.size() + 1);
    const vaddr_t env_start = (file_name - env.used) & ~vaddr_t{7}; // as in the buffer: copied by words
    const vaddr_t arg_start = env_start - args.used;
    const vaddr_t random_at = (arg_start - 16) & ~vaddr_t{15};
    map.layout.arg_start = arg_start;
    map.layout.arg_end = arg_start + args.used;
    map.layout.env_start = env_start;
    map.layout.env_end = env_start + env.used;

    // argc, argv pointers and NULL, envp pointers and NULL, auxv: in one table, 16-aligned as the psABI wants sp.
    constexpr size_t auxv_entries = 19;
    const size_t table_bytes = (1 + args.count + 1 + env.count + 1 + 2 * auxv_entries) * sizeof(uint64_t);
    const vaddr_t sp = (random_at - table_bytes) & ~vaddr_t{15};
    const size_t total = stack_top - sp;
    // Nearly always all of it is in the topmost page, which is written where it lies.
    Buffer<uint64_t> block;
    char* bytes = nullptr;
    if (total <= page_size && !in.image.stack_executable) {
        // Nobody else has this map yet: it needs no lock, and the page no fault.
        VmPage* const fresh = TRY(page_alloc_zeroed());
        if (auto entered = map.pmap().enter(stack_top - page_size, fresh, Prot::read | Prot::write); !entered) {
            page_unref(fresh);
            return entered.error();
        }
        bytes = static_cast<char*>(page_data(fresh)) + page_size - total;
    } else {
        block = TRY(Buffer<uint64_t>::create(total / 8));
        bytes = reinterpret_cast<char*>(block.data());
    }

    uint64_t* at = reinterpret_cast<uint64_t*>(bytes);
    *at++ = args.count;
    const auto point_at = [&](const StringList& list, vaddr_t start) {
        size_t i = 0;
        for (; i < list.starts_known; i++)
            *at++ = start + list.starts[i];
        const char* string = list.bytes.data();
        if (i > 0 && i < list.count) {
            string += list.starts[i - 1];
            string += strlen(string) + 1;
        }
        for (; i < list.count; i++) {
            *at++ = start + static_cast<size_t>(string - list.bytes.data());
            string += strlen(string) + 1;
        }
        *at++ = 0;
    };
    point_at(args, arg_start);
    point_at(env, env_start);
    map.layout.auxv_start = sp + static_cast<size_t>(reinterpret_cast<char*>(at) - bytes);
    map.layout.auxv_end = map.layout.auxv_start + auxv_entries * 2 * sizeof(uint64_t);
    const auto tell = [&](uint64_t key, uint64_t value) {
        at[0] = key;
        at[1] = value;
        at += 2;
    };
    const Cred& cred = *in.identity.cred;
    tell(at_sysinfo_ehdr, map.layout.vdso);
    tell(at_hwcap, machine::boot_info.hwcap);
    tell(at_pagesz, page_size);
    tell(at_clktck, 100);
    tell(at_phdr, in.image.program_headers_address ? in.image.program_headers_address + in.bias : 0);
    tell(at_phent, elf::program_header_size);
    tell(at_phnum, in.image.program_header_count);
    tell(at_base, in.interpreter.base);
    tell(at_flags, 0);
    tell(at_entry, in.image.entry + in.bias);
    tell(at_uid, cred.uid);
    tell(at_euid, cred.euid);
    tell(at_gid, cred.gid);
    tell(at_egid, cred.egid);
    tell(at_secure, in.identity.secure);
    tell(at_random, random_at);
    tell(at_execfn, file_name);
    tell(at_minsigstksz, 2048);
    tell(at_null, 0);
    ASSERT(reinterpret_cast<char*>(at) - bytes == static_cast<ptrdiff_t>(table_bytes));

    // The rest, between these and at the end, is zero already.
    auto* const random_words = reinterpret_cast<uint64_t*>(bytes + (random_at - sp));
    random_words[0] = in.chance.at_random[0];
    random_words[1] = in.chance.at_random[1];
    std::memcpy(bytes + (arg_start - sp), args.bytes.data(), args.used);
    std::memcpy(bytes + (env_start - sp), env.bytes.data(), env.used);
    std::memcpy(bytes + (file_name - sp), path.data(), path.size());
    if (block.size() > 0)
        TRY(write_exactly(map, sp, bytes, total));
    return sp;
}

Result<void> map_stack(VmMap& map, vaddr_t stack_top, bool executable, uint64_t needed) {
    return map_in_new(map, {.start = stack_top - page_ceil(std::max(initial_stack, needed + page_size)),
                            .end = stack_top,
                            .prot = Prot::read | Prot::write | (executable ? Prot::exec : Prot::none),
                            .kind = EntryKind::stack,
                            .grows_down = true});
}

Result<void> map_vdso(VmMap& map, vaddr_t at) {
    map.layout.vdso = at;
    return map_in_new(map, {.start = at,
                            .end = at + vdso_bytes,
                            .prot = Prot::read | Prot::exec,
                            .kind = EntryKind::vdso,
                            .object = vdso_object()});
}

} // namespace

Result<void> read_exactly(File& file, uint64_t offset, void* to, size_t n) {
    Uio uio = Uio::kernel(to, n);
    while (uio.left() > 0) {
        const size_t got = TRY(file.pread(uio, static_cast<off_t>(offset + uio.moved())));
        if (got == 0)
            return Errno::noexec;
    }
    return {};
}

Result<size_t> read_head(File& file, VmObject* object, std::span<uint8_t> head) {
    if (object)
        if (const auto page = object->page(0)) {
            const auto* const data = static_cast<const uint8_t*>(page_data(*page));
            size_t n = std::min<uint64_t>(object->size(), head.size());
            // Of an image whose table comes right behind its header, which says how long that is, no more than the two. What
            // it says in the copy is looked at again.
            n = elf::bytes_of_headers(std::span(data, n));
            std::memcpy(head.data(), data, n);
            page_unref(*page);
            return n;
        }
    Uio uio = Uio::kernel(head.data(), head.size());
    while (uio.left() > 0)
        if (TRY(file.pread(uio, static_cast<off_t>(uio.moved()))) == 0)
            break;
    return uio.moved();
}

Result<void> parse_image(elf::Image& image, File& file, std::span<const uint8_t> head, uint64_t file_size) {
    const elf::HeaderTable table = TRY(elf::locate_program_headers(head));
    const size_t size = table.count * elf::program_header_size;
    if (table.offset <= head.size() && size <= head.size() - table.offset)
        return elf::parse_located(image, table, head, head.subspan(table.offset, size), file_size, user_end);
    auto headers = TRY(Buffer<uint8_t>::create_uninitialized(size));
    TRY(read_exactly(file, table.offset, headers.data(), headers.size()));
    return elf::parse_located(image, table, head, headers.span(), file_size, user_end);
}

Result<NewImage> load(const Proc& proc, ExecRequest& request, File::Mappable source, const elf::Image& image,
                      const Identity& identity) {
    NewImage fresh;
    fresh.map = TRY(VmMap::create());
    VmMap& map = *fresh.map;
    const uint64_t stack_limit = proc.limit(Limit::stack).soft;
    map.size_limit.store(proc.limit(Limit::as).soft, std::memory_order_relaxed);
    map.stack_limit.store(stack_limit, std::memory_order_relaxed);
    Chance chance;
    const bool random = (identity.secure || (proc.personality & persona::addr_no_randomize) == 0) &&
                        randomize_va_space.load(std::memory_order_relaxed) != 0;
    uint64_t words[3];
    random_for_image(words);
    chance = {{words[0], words[1]}, words[2]};
    const Placement placement(stack_limit, random, chance.placement);
    map.layout.mmap_base = placement.mmap_base;

    const uint64_t string_bytes = request.args.used + request.env.used + request.path.size() +
                                  8 * (request.args.count + request.env.count) + 1024;
    const vaddr_t bias = image.position_independent ? placement.pie_base - image.lowest() : 0;
    map.layout.stack_start = placement.stack_top;
    TRY(map_image(map, source, image, bias));
    TRY(map_stack(map, placement.stack_top, image.stack_executable, string_bytes));
    fresh.executable = std::move(source.file);
    TRY(fresh.executable->deny_writers());
    const elf::Segment& last = image.segments[image.segment_count - 1];
    map.layout.code_start = image.lowest() + bias;
    for (unsigned i = 0; i < image.segment_count; i++) {
        const elf::Segment& s = image.segments[i];
        if (s.executable)
            map.layout.code_end = s.address + s.file_size + bias;
        map.layout.data_start = s.address + bias;
        map.layout.data_end = s.address + s.file_size + bias;
    }
    map.init_break(page_ceil(last.address + last.memory_size + bias));

    Interpreter interpreter;
    if (image.interpreter_size != 0)
        interpreter = TRY(map_interpreter(proc, map, *request.file, image));
    TRY(map_vdso(map, placement.vdso));
    fresh.stack_pointer = TRY(build_stack(map, StackInput{request, image, identity, bias, interpreter, chance}));
    fresh.entry = image.interpreter_size != 0 ? interpreter.entry : image.entry + bias;
    // The first instruction's page will be wanted whatever happens; if it cannot be had now, its fault says why.
    bring_code_in_new(map, fresh.entry);
    return fresh;
}

} // namespace lentil::exec
