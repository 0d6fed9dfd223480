// SPDX-License-Identifier: BSD-2-Clause
// vm_entries: what is where in an address space, as a counted object that fork lets several maps share.
#pragma once

#include <libkern/intrusive.hpp>
#include <libkern/types.hpp>
#include <machine/machine.hpp>
#include <sched/mutex.hpp>
#include <vm/vm_object.hpp>

namespace lentil {

using machine::Prot;

class VmMap;

/// What is behind an entry, for /proc/PID/maps: keeps a file's vnode alive and names it. Implemented by vfs.
class MappedFile : public PolymorphicRefCounted<MappedFile> {
public:
    virtual ~MappedFile() = default;
    /// Path as maps shows it, cut off to the buffer.
    virtual size_t describe(std::span<char> buffer, uint64_t& device, uint64_t& inode) = 0;
    /// The node of the layer above, opaque here: /proc/PID/exe leads to it.
    virtual class FsNode* node() { return nullptr; }
    /// A program runs from the file: nobody opens it for writing until this goes. txtbsy: somebody has.
    virtual Result<void> deny_writers() { return {}; }
    /// An attached segment of System V (bsd/sysv_shm.cpp): every entry that names it is one attachment.
    virtual bool is_shared_memory() const { return false; }
};

enum class EntryKind : uint32_t {
    plain,
    heap,
    stack,
    vdso,
    attached ///< counted by who maps it (MappedFile::is_shared_memory): no two maps have the entry together
};

/// Fields belong to the lock of the map that has the entry; nobody's while several have it: then they do not change.
struct VmMapEntry : VmMapping {
    VmMapEntry() {} // so that making one zeroes nothing that is stored to anyway
    VmMapEntry(vaddr_t first, vaddr_t past, Prot now, Prot most) : start(first), end(past), prot(now), max_prot(most) {}
    vaddr_t start = 0, end = 0; ///< page-aligned, end exclusive
    Prot prot = Prot::none, max_prot = Prot::none;
    bool shared = false;     ///< MAP_SHARED: writes go to the object
    bool grows_down = false; ///< a stack: extends down to the guard distance on a fault below it
    bool wipe_on_fork = false, dont_fork = false;
    bool page_by_page = false; ///< no page comes before it is touched
    EntryKind kind = EntryKind::plain;
    RefPtr<VmObject> object; ///< nullptr: private anonymous
    uint64_t offset = 0;     ///< of `start` in the object, bytes, page-aligned
    RefPtr<MappedFile> file;
    TreeHook link;

    static constexpr const char* zone_name = "vm_map_entries";
};

/// A map in the list of those that share entries; or, without a map, how far a visit of the list has come.
struct VmSharer {
    VmMap* map = nullptr;
    ListHook link;
};

/// Pages that were copied because fork had shared them, the first few: what the next child and its parent will write to
/// right away too. A hint; every access is atomic.
class CopiedPages {
public:
    static constexpr unsigned capacity = 16;
    void note(vaddr_t va) {
        for (auto& place : places_) {
            const vaddr_t there = place.load(std::memory_order_relaxed);
            if (there == va)
                return;
            if (there == 0)
                return place.store(va, std::memory_order_relaxed);
        }
    }
    /// 0: none, and none after it.
    vaddr_t at(unsigned i) const { return places_[i].load(std::memory_order_relaxed); }
    /// A fork begins. Every so often all are forgotten: what is copied still is noted again.
    void age() {
        constexpr uint32_t forks = 32;
        const uint32_t age = age_.load(std::memory_order_relaxed) + 1;
        age_.store(age % forks, std::memory_order_relaxed);
        if (age == forks)
            for (auto& place : places_)
                place.store(0, std::memory_order_relaxed);
    }

private:
    std::atomic<vaddr_t> places_[capacity] = {};
    std::atomic<uint32_t> age_{0};
};

/// The entries of one map, or of several that fork made one from another and none of which has changed what it maps since.
/// While several hold a reference nothing in here changes: a map makes a copy of its own first
/// (VmMapInternals::own_entries). So the map that is left alone with it need not visit it to have it, and one that ends
/// visits nothing.
///
/// Objects lead to entries, entries to this, and this to the maps that share it (visit_sharers).
class VmEntries : public ZonedRefCounted<VmEntries> {
public:
    static constexpr const char* zone_name = "vm_entries";
    VmEntries() = default;
    ~VmEntries(); ///< takes the entries from their objects, and may close files

    struct KeyOf {
        using type = vaddr_t;
        vaddr_t operator()(const VmMapEntry& e) const { return e.start; }
    };
    Tree<VmMapEntry, &VmMapEntry::link, KeyOf> tree;
    uint64_t size_bytes = 0;
    uint32_t count = 0;
    CopiedPages copied_pages;
    bool some_dont_fork = false, some_wipe = false, some_attached = false; ///< an entry has the flag, or had it

    /// For a map that has these entries and whose lock is held: whether it may change them. A visit holds a reference too.
    bool is_sole() const { return ref_count() == 1; }

    /// A map has these entries from now on. `like`: the one that it is forked from, already here; a visit that has still to
    /// come to that one comes to both. The lock of the map or of `like`'s map is held.
    void join(VmSharer& sharer, VmSharer* like);
    void leave(VmSharer& sharer);

    /// Calls work(map) with the map's lock held for every map that shares these entries, those that are born meanwhile
    /// included, if need be; maps that end may be left out. A map that makes its own copy of the entries meanwhile is left
    /// out too: the copies stand in their objects' lists as not visited. The caller holds a reference and no lock of
    /// Rank::vm_map or above; when this returns no entry changes until that reference goes.
    template<class F>
    void visit_sharers(F work);

private:
    SpinLock<Rank::vm_sharers> lock_;
    List<VmSharer, &VmSharer::link> sharers_;
};

} // namespace lentil
