// SPDX-License-Identifier: BSD-2-Clause
// System V shared memory.
#include <bsd/sysv_shm.hpp>

namespace lentil::sysv {

constinit std::atomic<uint64_t> shm_max{shm_max_default}, shm_all{shm_all_default};
constinit std::atomic<uint32_t> shm_mni{4096};

namespace {

constinit SpinLock<Rank::ipc> shm_lock_;

class Attachment;

struct Segment : ZonedRefCounted<Segment> {
    static constexpr const char* zone_name = "shm_segments";
    Owner owner;
    uint64_t size = 0;
    RefPtr<VmObject> object;
    Attachment* attachment = nullptr; ///< as long as somebody has it attached; not counted
    int64_t attach_s = 0, detach_s = 0, change_s = 0;
    pid_t creator = 0, last = 0;

    uint64_t attached() const;
    uint64_t pages() const { return page_ceil(size) >> page_shift; }
};

/// What the entries of maps name: one for all of a segment's, so its references are the attachments.
class Attachment final : public MappedFile {
public:
    static constexpr const char* zone_name = "shm_attachments";
    explicit Attachment(Segment& of) : segment(&of) {}
    ~Attachment() override;
    void dispose() override { zone_delete(this); }
    size_t describe(std::span<char> buffer, uint64_t& device, uint64_t& inode) override {
        device = 1;
        inode = static_cast<uint64_t>(segment->owner.id);
        return format_to(buffer, "/SYSV{:08x} (deleted)", static_cast<uint32_t>(segment->owner.key)).size();
    }
    bool is_shared_memory() const override { return true; }
    const RefPtr<Segment> segment;
};

constinit Table<Segment> segments; // shm_lock_
constinit uint64_t pages_of_all = 0;

uint64_t Segment::attached() const { return attachment ? attachment->ref_count() : 0; }

/// Takes a segment out of the table: the caller drops it without the lock.
RefPtr<Segment> destroy_locked(Segment& segment) {
    pages_of_all -= segment.pages();
    return segments.remove(segment);
}

Attachment::~Attachment() {
    RefPtr<Segment> gone;
    SpinGuard guard(shm_lock_);
    if (segment->attachment == this)
        segment->attachment = nullptr;
    segment->detach_s = now_s();
    if (has_uthread())
        segment->last = current_proc().pid;
    if ((segment->owner.mode & shm_destroyed) && !segment->attachment && segments.find(segment->owner.id))
        gone = destroy_locked(*segment); // dropped after `guard`: not the last, we have one
}

ShmStatus status_of(const Segment& s) {
    return {s.owner,    s.size,    s.attached(), s.object->resident_pages(), s.attach_s, s.detach_s,
            s.change_s, s.creator, s.last};
}

/// The search for the entries that one shmat made, by what they name.
struct Search {
    vaddr_t address;         ///< that shmat gave
    RefPtr<MappedFile> file; ///< of the first one
    uint64_t size = 0;
    vaddr_t from = 0;           ///< where the next one may begin
    vaddr_t start = 0, end = 0; ///< where it does
    bool found = false;
};

} // namespace

Result<int32_t> shm_get(int32_t key, uint64_t size, uint32_t flags) {
    constexpr uint32_t huge_pages = 04000;
    if (flags & huge_pages)
        return Errno::inval;
    RefPtr<Segment> fresh;
    for (;;) {
        if (fresh) // not before something is to be inserted: an empty table takes no memory
            TRY(make_room(segments, shm_lock_));
        {
            SpinGuard guard(shm_lock_);
            if (Segment* there = key == private_key ? nullptr : segments.find_key(key)) {
                if ((flags & (get_flags::creat | get_flags::exclusive)) == (get_flags::creat | get_flags::exclusive))
                    return Errno::exist;
                if (size > there->size)
                    return Errno::inval;
                TRY(there->owner.check(flags & 0777));
                return there->owner.id;
            }
            if (key != private_key && !(flags & get_flags::creat))
                return Errno::noent;
            const uint64_t pages = page_ceil(size) >> page_shift;
            if (size < 1 || size > shm_max.load(std::memory_order_relaxed))
                return Errno::inval;
            if (pages << page_shift < size || pages_of_all + pages < pages_of_all ||
                pages_of_all + pages > shm_all.load(std::memory_order_relaxed) ||
                segments.used() >= shm_mni.load(std::memory_order_relaxed))
                return Errno::nospc;
            if (fresh && !segments.is_full()) {
                fresh->owner = Owner::of_caller(key, flags);
                pages_of_all += pages;
                segments.insert(*fresh);
                return fresh.release()->owner.id; // the table's
            }
        }
        if (fresh)
            continue;
        fresh = TRY(make_ref<Segment>());
        if (size > machine::Pte::user_end)
            return Errno::nomem;
        fresh->object = TRY(VmObject::create(page_ceil(size)));
        fresh->size = size;
        fresh->change_s = now_s();
        fresh->creator = current_proc().pid;
    }
}

Result<vaddr_t> shm_attach(int32_t id, vaddr_t address, uint32_t flags) {
    if (id < 0)
        return Errno::inval;
    MapRequest request;
    request.shared = true;
    request.kind = EntryKind::attached;
    if (address != 0) {
        if (!is_page_aligned(address)) {
            if (!(flags & shm_flags::round))
                return Errno::inval;
            address = page_floor(address);
            if (address == 0 && (flags & shm_flags::remap))
                return Errno::inval;
        }
        request.fixed = address != 0;
        request.no_replace = !(flags & shm_flags::remap);
        request.address = address;
    } else if (flags & shm_flags::remap) {
        return Errno::inval;
    }
    uint32_t wanted = may_read;
    request.prot = Prot::read;
    if (flags & shm_flags::read_only) {
        request.max_prot = Prot::read | Prot::exec;
    } else {
        request.prot = request.prot | Prot::write;
        wanted |= may_write;
    }
    if (flags & shm_flags::exec) {
        request.prot = request.prot | Prot::exec;
        wanted |= 0111;
    }

    Attachment* fresh = nullptr;
    RefPtr<Segment> segment;
    for (;;) {
        Errno error{};
        {
            SpinGuard guard(shm_lock_);
            Segment* const found = segments.find(id);
            if (!found)
                error = Errno::inval;
            else if (const Result<void> may = found->owner.check(wanted); !may)
                error = may.error();
            else if (found->attachment && found->attachment->try_ref())
                request.file = RefPtr<MappedFile>::adopt(found->attachment);
            else if (fresh && fresh->segment.get() == found)
                request.file = RefPtr<MappedFile>::adopt(found->attachment = std::exchange(fresh, nullptr));
            if (found && error == Errno{})
                segment = ref(found);
        }
        if (error != Errno{} || request.file) {
            if (fresh)
                fresh->unref();
            if (error != Errno{})
                return error;
            break;
        }
        if (!fresh)
            fresh = TRY(zone_new<Attachment>(*segment));
    }
    request.object = segment->object;
    request.length = segment->size;
    if (request.fixed && !user_range_ok(address, page_ceil(segment->size)))
        return Errno::inval;
    const Result<vaddr_t> at = current_map().map(request);
    if (!at)
        return at.error() == Errno::exist ? Errno::inval : at.error();
    SpinGuard guard(shm_lock_);
    segment->attach_s = now_s();
    segment->last = current_proc().pid;
    return at;
}

Result<void> shm_detach(vaddr_t address) {
    if (!is_page_aligned(address))
        return Errno::inval;
    VmMap& map = current_map();
    Search search{.address = address, .file = nullptr, .from = address};
    for (;;) {
        search.found = false;
        map.for_each_entry(
            [](const VmMapEntry& e, void* context) {
                auto& s = *static_cast<Search*>(context);
                if (s.found || e.start < s.from || !e.file || e.start - s.address != e.offset)
                    return;
                if (s.file ? !(e.file == s.file) : !e.file->is_shared_memory())
                    return;
                if (s.file && e.end - s.address > s.size)
                    return;
                s.found = true;
                s.file = e.file;
                s.size = page_ceil(static_cast<const Attachment&>(*e.file).segment->size);
                s.start = e.start;
                s.end = e.end;
            },
            &search);
        if (!search.found)
            break;
        TRY(map.unmap(search.start, search.end - search.start));
        search.from = search.end;
    }
    if (!search.file)
        return Errno::inval;
    Segment& segment = *static_cast<const Attachment&>(*search.file).segment;
    SpinGuard guard(shm_lock_);
    segment.detach_s = now_s();
    segment.last = current_proc().pid;
    return {};
}

namespace {
Result<ShmStatus> status_checked(const Segment* segment, bool check) {
    if (!segment)
        return Errno::inval;
    if (check)
        TRY(segment->owner.check(may_read));
    return status_of(*segment);
}
} // namespace

Result<ShmStatus> shm_status(int32_t id, bool check) {
    SpinGuard guard(shm_lock_);
    return status_checked(segments.find(id), check);
}

Result<ShmStatus> shm_status_at(int32_t place, bool check) {
    SpinGuard guard(shm_lock_);
    return status_checked(place < 0 ? nullptr : segments.at(static_cast<size_t>(place)), check);
}

Result<void> shm_set(int32_t id, const NewOwner& to) {
    SpinGuard guard(shm_lock_);
    Segment* const segment = segments.find(id);
    if (!segment)
        return Errno::inval;
    TRY(segment->owner.check_change());
    set_owner(segment->owner, to);
    segment->change_s = now_s();
    return {};
}

Result<void> shm_remove(int32_t id) {
    RefPtr<Segment> gone;
    SpinGuard guard(shm_lock_);
    Segment* const segment = segments.find(id);
    if (!segment)
        return Errno::inval;
    TRY(segment->owner.check_change());
    if (segment->attachment) { // it goes with the last who has it; nobody else finds it by its key
        segment->owner.mode |= shm_destroyed;
        segment->owner.key = private_key;
    } else {
        gone = destroy_locked(*segment);
    }
    return {};
}

Result<void> shm_lock(int32_t id, bool locked) {
    SpinGuard guard(shm_lock_);
    Segment* const segment = segments.find(id);
    if (!segment)
        return Errno::inval;
    const RefPtr<const Cred> cred = current_proc().cred();
    if (!cred->capable(Capability::ipc_lock)) {
        if (cred->euid != segment->owner.uid && cred->euid != segment->owner.cuid)
            return Errno::perm;
        if (locked && current_proc().limit(Limit::memlock).soft == 0)
            return Errno::perm;
    }
    // Nothing is ever paged out, so this is a mark.
    segment->owner.mode = locked ? segment->owner.mode | shm_locked : segment->owner.mode & ~shm_locked;
    return {};
}

ShmTotals shm_totals() {
    SpinGuard guard(shm_lock_);
    ShmTotals t{segments.used(), pages_of_all, 0, segments.last_place()};
    for (size_t i = 0; static_cast<int64_t>(i) <= t.last_place; i++)
        if (const Segment* s = segments.at(i))
            t.resident_pages += s->object->resident_pages();
    return t;
}

} // namespace lentil::sysv
