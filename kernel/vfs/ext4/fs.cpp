// SPDX-License-Identifier: BSD-2-Clause
// Mounting: the super block, the layout, what a crash left, and the end.
#include <algorithm>
#include <cstring>

#include <libkern/format.hpp>
#include <sched/clock.hpp>
#include <vfs/ext4/crc32c.hpp>
#include <vfs/ext4/node.hpp>
#include <vfs/filesystems.hpp>
#include <vfs/name_cache.hpp>

namespace lentil::ext4 {

namespace {

/// CRC-16 of the older group checksums (gdt_csum).
uint16_t crc16(uint16_t crc, const void* data, size_t n) {
    const uint8_t* p = static_cast<const uint8_t*>(data);
    while (n-- > 0) {
        crc = static_cast<uint16_t>(crc ^ *p++);
        for (int i = 0; i < 8; i++)
            crc = static_cast<uint16_t>(crc >> 1 ^ (crc & 1 ? 0xa001 : 0));
    }
    return crc;
}

} // namespace

Fs::~Fs() {
    for (uint32_t i = 0; i < group_count && groups_; i++)
        for (VmPage* page : {groups_[i].freed, groups_[i].held})
            if (page)
                page_unref(page);
    if (groups_)
        kfree(groups_, group_count * sizeof *groups_);
}

Errno Fs::fail(const char* what, Errno error) {
    if (failed_.exchange(1, std::memory_order_relaxed) == 0)
        kprint("ext4: {}: {}: nothing is written any more\n", std::string_view(disk_ ? disk_->name : "?"),
               std::string_view(what));
    super_flags.fetch_or(mount_flags::read_only, std::memory_order_relaxed);
    return error;
}

uint32_t Fs::inode_seed(uint32_t inode, uint32_t generation) const {
    return crc32c(crc32c(seed, &inode, 4), &generation, 4);
}

uint16_t Fs::group_checksum(uint32_t group, const GroupDescriptor* d) const {
    const auto* bytes = reinterpret_cast<const uint8_t*>(d);
    constexpr size_t at = offsetof(GroupDescriptor, checksum);
    if (checksums()) {
        const uint16_t zero = 0;
        uint32_t sum = crc32c(crc32c(seed, &group, 4), bytes, at);
        sum = crc32c(sum, &zero, 2);
        return static_cast<uint16_t>(crc32c(sum, bytes + at + 2, descriptor_bytes - at - 2));
    }
    if (!with(ro_compat::gdt_checksum))
        return 0;
    uint16_t sum = crc16(0xffff, super.uuid, sizeof super.uuid);
    sum = crc16(sum, &group, 4);
    sum = crc16(sum, bytes, at);
    return descriptor_bytes > at + 2 ? crc16(sum, bytes + at + 2, descriptor_bytes - at - 2) : sum;
}

void Fs::seal_super(SuperBlock& s) const {
    if (checksums())
        s.checksum = crc32c(~0u, &s, offsetof(SuperBlock, checksum));
}

void Fs::seal(MetaBlock& block) const {
    if (!checksums())
        return;
    switch (block.seal) {
    case Seal::none: return;
    case Seal::extents: {
        const auto* h = reinterpret_cast<const ExtentHeader*>(block.data);
        const uint32_t at = sizeof *h + h->max * sizeof(Extent);
        const uint32_t sum = crc32c(block.seed, block.data, at);
        memcpy(block.data + at, &sum, 4);
        return;
    }
    case Seal::directory: {
        auto* tail = reinterpret_cast<DirTail*>(block.data + block_bytes - sizeof(DirTail));
        tail->checksum = crc32c(block.seed, block.data, block_bytes - sizeof(DirTail));
        return;
    }
    case Seal::hash_node: seal_hash_node(block); return;
    }
}

void Fs::add_system_range(uint64_t start, uint64_t length) {
    if (system_count_ > 0 && system_[system_count_ - 1].end == start) {
        system_[system_count_ - 1].end += length;
        return;
    }
    if (system_count_ < system_.size())
        system_[system_count_++] = {start, start + length};
}

bool Fs::data_blocks_ok(uint64_t start, uint64_t length) const {
    if (start <= super.first_data_block || start >= block_count || length > block_count - start || length == 0)
        return false;
    // The first range that ends behind `start`.
    size_t low = 0, high = system_count_;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (system_[middle].end <= start)
            low = middle + 1;
        else
            high = middle;
    }
    return low == system_count_ || system_[low].start >= start + length;
}

Result<void> Fs::read_super() {
    VmPage* page = TRY(page_alloc());
    const Result<void> read = disk_->read(2, page_data(page), sizeof super);
    memcpy(&super, page_data(page), sizeof super);
    page_unref(page);
    TRY(read);
    if (super.magic != super_magic)
        return Errno::inval;
    if ((super.ro_compat & ro_compat::metadata_checksum) &&
        (super.checksum_type != 1 || super.checksum != crc32c(~0u, &super, offsetof(SuperBlock, checksum))))
        return Errno::uclean;
    if (super.revision == 0 || (super.incompat & ~incompat::known) ||
        (super.incompat & incompat::needed) != incompat::needed || super.log_block_size > 2) {
        kprint("ext4: {}: made with features that are not supported\n", std::string_view(disk_->name));
        return Errno::inval;
    }
    block_shift = 10 + super.log_block_size;
    block_bytes = 1u << block_shift;
    block_count = join(super.blocks_lo, super.incompat & incompat::bits64 ? super.blocks_hi : 0);
    descriptor_bytes = super.incompat & incompat::bits64 ? super.descriptor_size : 32;
    const bool sizes_ok =
        super.inode_size >= 128 && super.inode_size <= block_bytes &&
        (super.inode_size & (super.inode_size - 1)) == 0 && (descriptor_bytes == 32 || descriptor_bytes == 64) &&
        super.first_data_block == (block_bytes == 1024 ? 1 : 0) && super.log_cluster_size == super.log_block_size;
    const bool counts_ok =
        super.blocks_per_group > 0 && super.blocks_per_group <= block_bytes * 8 && super.blocks_per_group % 8 == 0 &&
        super.inodes_per_group > 0 && super.inodes_per_group <= block_bytes * 8 && super.inodes_per_group % 8 == 0 &&
        super.inodes_per_group * uint64_t{super.inode_size} % block_bytes == 0 &&
        block_count > super.first_data_block + 1 && block_count <= disk_->sectors >> (block_shift - sector_shift);
    if (!sizes_ok || !counts_ok)
        return Errno::uclean;
    const uint64_t groups =
        (block_count - super.first_data_block + super.blocks_per_group - 1) / super.blocks_per_group;
    if (groups > 1u << 20 || super.inodes != groups * super.inodes_per_group || super.first_inode < 11 ||
        super.first_inode > super.inodes_per_group)
        return Errno::uclean;
    group_count = static_cast<uint32_t>(groups);
    seed = super.incompat & incompat::checksum_seed ? super.checksum_seed : crc32c(~0u, super.uuid, sizeof super.uuid);
    unsigned_hash = super.flags & super_unsigned_hash;
    return {};
}

Result<void> Fs::check_groups() {
    groups_ = static_cast<Group*>(kmalloc(group_count * sizeof(Group)));
    if (!groups_)
        return Errno::nomem;
    for (uint32_t i = 0; i < group_count; i++)
        new (&groups_[i]) Group;
    const uint32_t per_block = block_bytes / descriptor_bytes;
    const uint64_t table = (group_count + per_block - 1) / per_block;
    const uint64_t inode_blocks = uint64_t{super.inodes_per_group} * super.inode_size >> block_shift;
    system_count_ = 0;
    system_ = TRY(Buffer<Range>::create(size_t{group_count} * 4 + Journal::max_runs));
    uint64_t free_blocks = 0, free_inodes = 0;
    for (uint32_t i = 0; i < group_count; i++) {
        if (has_super(i))
            add_system_range(group_start(i),
                             std::min<uint64_t>(group_blocks(i), 1 + table + super.reserved_gdt_blocks));
        GroupDescriptor d{};
        GroupDescriptor* on_disk;
        const MetaRef block = TRY(descriptor(i, on_disk));
        memcpy(&d, on_disk, std::min<size_t>(descriptor_bytes, sizeof d));
        if ((checksums() || with(ro_compat::gdt_checksum)) && d.checksum != group_checksum(i, on_disk))
            return Errno::uclean;
        const uint64_t places[] = {join(d.block_bitmap_lo, d.block_bitmap_hi),
                                   join(d.inode_bitmap_lo, d.inode_bitmap_hi),
                                   join(d.inode_table_lo, d.inode_table_hi)};
        const uint64_t lengths[] = {1, 1, inode_blocks};
        for (unsigned p = 0; p < 3; p++) {
            if (places[p] <= super.first_data_block || places[p] >= block_count || lengths[p] > block_count - places[p])
                return Errno::uclean;
            add_system_range(places[p], lengths[p]);
        }
        free_blocks += d.free_blocks_lo | uint32_t{d.free_blocks_hi} << 16;
        free_inodes += d.free_inodes_lo | uint32_t{d.free_inodes_hi} << 16;
    }
    if (free_blocks > block_count || free_inodes > super.inodes)
        return Errno::uclean;
    free_block_count.store(free_blocks, std::memory_order_relaxed);
    free_inode_count.store(free_inodes, std::memory_order_relaxed);
    return sort_system_ranges();
}

/// For data_blocks_ok: uclean if two things lie in one place.
Result<void> Fs::sort_system_ranges() {
    std::sort(system_.data(), system_.data() + system_count_,
              [](const Range& a, const Range& b) { return a.start < b.start; });
    size_t kept = 0;
    for (size_t i = 1; i < system_count_; i++) {
        if (system_[i].start < system_[kept].end)
            return Errno::uclean;
        if (system_[i].start == system_[kept].end)
            system_[kept].end = system_[i].end;
        else
            system_[++kept] = system_[i];
    }
    system_count_ = kept + 1;
    return {};
}

Result<void> Fs::open(BlockVolume& disk, uint64_t mount_flags_wanted, std::string_view options) {
    uint32_t free = 0;
    if (!disk.mounted.compare_exchange_strong(free, 1))
        return Errno::busy;
    disk_ = &disk; // from here on teardown gives it back
    while (!options.empty()) {
        const std::string_view word = options.substr(0, options.find(','));
        options.remove_prefix(std::min(options.size(), word.size() + 1));
        constexpr std::string_view known[] = {"",        "data=ordered", "errors=remount-ro", "errors=continue",
                                              "barrier", "errors=panic", "user_xattr",        "acl"};
        if (std::find(std::begin(known), std::end(known), word) == std::end(known))
            return Errno::inval;
    }
    bool read_only_wanted = mount_flags_wanted & mount_flags::read_only;
    TRY(read_super());
    device = disk.number;
    buffers.init(disk, block_bytes);
    TRY(check_groups());
    if (super.ro_compat & ~ro_compat::writable) {
        kprint("ext4: {}: features that are only supported for reading\n", std::string_view(disk.name));
        if (!read_only_wanted)
            return Errno::rofs;
    }
    if (super.compat & compat::has_journal) {
        if (super.journal_inode == 0 || super.journal_device != 0 ||
            ((super.compat & compat::fast_commit) && (super.incompat & incompat::recover)))
            return Errno::inval;
        const RefPtr<Node> log = TRY(Node::load(*this, super.journal_inode));
        if (log->type != VnodeType::regular)
            return Errno::uclean;
        TRY(journal.open(*log, disk.device->read_only));
        // What replay wrote may be what was read before.
        buffers.shrink(0);
        kfree(std::exchange(groups_, nullptr), group_count * sizeof *groups_);
        const uint32_t block_bytes_before = block_bytes;
        TRY(read_super());
        if (block_bytes != block_bytes_before)
            return Errno::uclean;
        TRY(check_groups());
        // No file's blocks lie in the log.
        journal.for_each_run([&](uint64_t start, uint32_t length) { add_system_range(start, length); });
        TRY(sort_system_ranges());
    } else {
        journal.open_without();
    }
    super_flags.store(mount_flags_wanted & mount_flags::kept_by_super, std::memory_order_relaxed);
    root = TRY(node(root_inode));
    if (root->type != VnodeType::directory)
        return Errno::uclean;
    if (!read_only_wanted)
        TRY(start_writing());
    return {};
}

Result<void> Fs::start_writing() {
    if (disk_->device->read_only || failed())
        return Errno::rofs;
    if (super.ro_compat & ~ro_compat::writable)
        return Errno::rofs;
    {
        // First the mark that the log is to be looked at, then the log: a log that begins without it would not be.
        MutexGuard guard(op_lock);
        const MetaRef block = TRY(buffers.get(1024 / block_bytes));
        auto* const s = block.at<SuperBlock>(1024 % block_bytes);
        if (super.compat & compat::has_journal)
            s->incompat |= incompat::recover;
        else
            s->state = static_cast<uint16_t>(s->state & ~state_valid);
        s->mount_time = s->write_time = static_cast<uint32_t>(realtime_ns() / 1000000000);
        s->mounts++;
        seal_super(*s);
        TRY(disk_->write(buffers.sector_of(block->block), block.data(), block_bytes));
        TRY(disk_->flush());
        TRY(journal.start());
        writing_ = true;
    }
    return process_orphans();
}

Result<void> Fs::stop_writing() {
    if (!writing_)
        return {};
    TRY(write_back_all());
    MutexGuard guard(op_lock);
    TRY(journal.close());
    const MetaRef block = TRY(buffers.get(1024 / block_bytes));
    auto* const s = block.at<SuperBlock>(1024 % block_bytes);
    s->incompat &= ~incompat::recover;
    s->state = static_cast<uint16_t>(super.state);
    s->write_time = static_cast<uint32_t>(realtime_ns() / 1000000000);
    seal_super(*s);
    TRY(disk_->write(buffers.sector_of(block->block), block.data(), block_bytes));
    TRY(disk_->flush());
    writing_ = false;
    return {};
}

Result<void> Fs::change_flags(uint64_t from, uint64_t to) {
    const bool was = from & mount_flags::read_only, wanted = to & mount_flags::read_only;
    if (was && !wanted)
        return start_writing();
    if (was || !wanted)
        return {};
    MutexGuard guard(background_lock_);
    evict(false);
    bool removed = false; // files without a name that someone has open: they are to be freed yet
    for_each_node([&](Node& n) { removed |= n.links.load(std::memory_order_relaxed) == 0; });
    if (removed)
        return Errno::busy;
    return stop_writing();
}

FsStat Fs::fs_stat() {
    FsStat st;
    st.magic = super_magic;
    st.block_size = block_bytes;
    uint64_t overhead = 0;
    for (size_t i = 0; i < system_count_; i++)
        overhead += system_[i].end - system_[i].start;
    st.blocks = block_count - super.first_data_block - overhead;
    const uint64_t free = free_block_count.load(std::memory_order_relaxed);
    st.blocks_free = free - std::min(free, reserved_.load(std::memory_order_relaxed));
    st.blocks_reserved = join(super.reserved_lo, super.reserved_hi);
    st.files = super.inodes;
    st.files_free = free_inode_count.load(std::memory_order_relaxed);
    st.flags = flags.load(std::memory_order_relaxed);
    return st;
}

template<class Visit>
void Fs::for_each_node(Visit visit) {
    SpinGuard guard(table_lock);
    for (Node* first : nodes_)
        for (Node* n = first; n; n = n->table_next)
            visit(*n);
}

// ---- after a crash: inodes that were on their way out ------------------------------------------------------------------

Result<void> Fs::orphan_add(Node& node) {
    if (failed())
        return Errno::rofs;
    if (node.is_orphan)
        return {};
    const MetaRef block = TRY(buffers.get(1024 / block_bytes));
    auto* const s = block.at<SuperBlock>(1024 % block_bytes);
    node.next_orphan = s->last_orphan;
    node.is_orphan = true;
    node.orphan_behind = first_orphan_;
    if (first_orphan_)
        first_orphan_->orphan_before = &node;
    first_orphan_ = &node;
    s->last_orphan = node.number;
    journal.modify(*block);
    return node.store();
}

Result<void> Fs::orphan_remove(Node& node) {
    if (failed())
        return Errno::rofs;
    if (!node.is_orphan)
        return {};
    const MetaRef block = TRY(buffers.get(1024 / block_bytes));
    auto* const s = block.at<SuperBlock>(1024 % block_bytes);
    // One that the mount found is always the first.
    if (s->last_orphan == node.number) {
        s->last_orphan = node.next_orphan;
        journal.modify(*block);
    } else {
        if (!node.orphan_before)
            return fail("a broken list of orphans");
        node.orphan_before->next_orphan = node.next_orphan;
        TRY(node.orphan_before->store());
    }
    if (node.orphan_before)
        node.orphan_before->orphan_behind = node.orphan_behind;
    else if (first_orphan_ == &node)
        first_orphan_ = node.orphan_behind;
    if (node.orphan_behind)
        node.orphan_behind->orphan_before = node.orphan_before;
    node.orphan_before = node.orphan_behind = nullptr;
    node.is_orphan = false;
    node.next_orphan = 0;
    return {};
}

Result<void> Fs::process_orphans() {
    unsigned ended = 0;
    for (;;) {
        uint32_t number;
        {
            const MetaRef block = TRY(buffers.get(1024 / block_bytes));
            number = block.at<SuperBlock>(1024 % block_bytes)->last_orphan;
        }
        if (number == 0)
            break;
        if (number < super.first_inode || number > super.inodes || ended++ > super.inodes)
            return Errno::uclean;
        RefPtr<Node> orphan = TRY(node(number));
        uint32_t offset;
        {
            const MetaRef place = TRY(inode_place(number, offset));
            orphan->next_orphan = place.at<DiskInode>(offset)->dtime;
            orphan->is_orphan = true;
        }
        if (orphan->links.load(std::memory_order_relaxed) == 0) {
            orphan.reset();
            evict(false);
            const MetaRef block = TRY(buffers.get(1024 / block_bytes));
            if (failed() || block.at<SuperBlock>(1024 % block_bytes)->last_orphan == number)
                return Errno::uclean;
            continue;
        }
        // A truncation that was cut off: go on with it.
        TRY(orphan->free_from(orphan->size_bytes()));
        Op op(*this);
        TRY(op.begin());
        TRY(orphan_remove(*orphan));
        TRY(orphan->store());
    }
    if (ended > 0)
        kprint("ext4: {}: {} orphan{} cleared\n", std::string_view(disk_->name), ended, ended == 1 ? "" : "s");
    return {};
}

// ---- the table of nodes ------------------------------------------------------------------------------------------------

Result<RefPtr<Node>> Fs::node(uint32_t inode) {
    const auto find = [&]() -> RefPtr<Node> {
        for (Node* n = nodes_[inode % node_buckets]; n; n = n->table_next)
            if (n->number == inode)
                return RefPtr<Node>(n);
        return nullptr;
    };
    {
        SpinGuard guard(table_lock);
        if (RefPtr<Node> found = find())
            return found;
    }
    RefPtr<Node> fresh = TRY(Node::load(*this, inode));
    SpinGuard guard(table_lock);
    if (RefPtr<Node> found = find()) {
        guard.unlock(); // before `fresh` goes
        return found;
    }
    fresh->ref(); // the table's
    fresh->table_next = nodes_[inode % node_buckets];
    nodes_[inode % node_buckets] = fresh.get();
    node_count_++;
    return fresh;
}

void Fs::add_node(Node& fresh) {
    SpinGuard guard(table_lock);
    fresh.ref();
    fresh.table_next = nodes_[fresh.number % node_buckets];
    nodes_[fresh.number % node_buckets] = &fresh;
    node_count_++;
}

RefPtr<Node> Fs::take_unused(bool all, bool force) {
    SpinGuard guard(table_lock);
    for (Node*& first : nodes_)
        for (Node** at = &first; *at; at = &(*at)->table_next) {
            Node& n = **at;
            // Only the table has it, and who looks it up there waits for our lock.
            const bool named = n.links.load(std::memory_order_relaxed) != 0;
            if (n.ref_count() != 1 || (named && !all) || (named && !force && (n.has_dirty_pages() || n.needs_store())))
                continue;
            name_cache::forget(n); // the other way to find it
            if (n.ref_count() != 1)
                continue;
            *at = n.table_next;
            node_count_--;
            return RefPtr<Node>::adopt(&n);
        }
    return nullptr;
}

void Fs::end_if_unused(RefPtr<Node> node) {
    {
        SpinGuard guard(table_lock);
        if (node->ref_count() != 2 || node->links.load(std::memory_order_relaxed) != 0)
            return; // somebody has it open: it ends when that is over
        for (Node** at = &nodes_[node->number % node_buckets]; *at; at = &(*at)->table_next)
            if (*at == node.get()) {
                *at = node->table_next;
                node_count_--;
                node->unref();
                break;
            }
    }
    if (writing_ && !failed())
        if (const Result<void> gone = node->destroy(); !gone)
            (void)fail("a removed file cannot be freed", gone.error());
}

void Fs::evict(bool all) {
    while (RefPtr<Node> node = take_unused(all)) {
        if (node->links.load(std::memory_order_relaxed) == 0 && writing_ && !failed())
            if (const Result<void> gone = node->destroy(); !gone)
                (void)fail("a removed file cannot be freed", gone.error());
    }
}

Result<void> Fs::write_back_all() {
    Result<void> result;
    for (uint32_t last = 0;;) {
        RefPtr<Node> dirty; // by number, one after the other: what gets dirty behind us is for the next time
        for_each_node([&](Node& n) {
            if (n.number > last && (!dirty || n.number < dirty->number) && (n.has_dirty_pages() || n.needs_store()))
                dirty = RefPtr<Node>(&n); // the table keeps the one before
        });
        if (!dirty)
            break;
        last = dirty->number;
        if (const Result<void> done = dirty->write_back(); !done)
            result = done;
    }
    if (failed())
        return Errno::io;
    Op op(*this);
    if (const Result<void> done = journal.commit(); !done)
        result = done;
    return result;
}

Result<void> Fs::sync() {
    MutexGuard guard(background_lock_);
    if (!writing_)
        return {};
    TRY(write_back_all());
    return disk_->flush();
}

void Fs::background(bool write) {
    MutexGuard guard(background_lock_);
    evict(false);
    if (!writing_ || failed())
        return;
    if (write || PageCache::too_many_dirty())
        (void)write_back_all(); // errors are kept for fsync, or have made the file system fail
    const size_t limit = page_counts().total / 16;
    while (node_count_ > limit)
        if (!evict_one())
            break;
}

bool Fs::evict_one() {
    RefPtr<Node> node = take_unused(true);
    return node.get() != nullptr;
}

bool Fs::in_use() {
    MutexGuard guard(background_lock_);
    evict(false);
    bool used = false;
    for_each_node([&](Node& n) {
        const uint32_t expected = 1 + n.named_children.load(std::memory_order_relaxed) + (root.get() == &n ? 2 : 0) +
                                  n.views.load(std::memory_order_relaxed);
        used |= n.ref_count() > expected;
    });
    return used;
}

void Fs::teardown() {
    MutexGuard guard(background_lock_);
    if (!failed())
        if (const Result<void> stopped = stop_writing(); !stopped)
            (void)fail("it cannot be written back at unmount", stopped.error());
    {
        MutexGuard op(op_lock);
        journal.discard();
    }
    root.reset();
    // Names are references between nodes: leaves go first, round after round.
    for (bool any = true; any;) {
        any = false;
        while (RefPtr<Node> node = take_unused(true, true))
            any = true;
    }
    // The caller may have the root still.
    for (Node*& first : nodes_)
        while (Node* node = first) {
            first = node->table_next;
            node->unref();
        }
    if (disk_)
        disk_->mounted.store(0, std::memory_order_release);
}

} // namespace lentil::ext4

namespace lentil {

namespace {

constinit Mutex<Rank::mount_change> flusher_lock;
constinit bool flusher_runs = false;

void look_after_all(bool write) {
    for (unsigned i = 0; RefPtr<Mount> mount = mount_by_index(i); i++)
        mount->background(write);
}

/// Ends removed files every second; writes back what is dirty every five. Who finds no memory asks for a round at once.
void flusher(void*) {
    constexpr nanos_t second = 1000000000;
    nanos_t next = machine::now_ns() + second;
    for (unsigned round = 1;;) {
        if (VmCachedObject::wait_until_asked(next)) {
            // First what is clean: writing needs some memory too.
            const size_t want = page_counts().total / 16;
            size_t freed = VmCachedObject::reclaim_mapped(want);
            if (freed < want) {
                look_after_all(true);
                freed += VmCachedObject::reclaim_mapped(want - freed);
            }
            VmCachedObject::round_ended(freed);
            continue;
        }
        look_after_all(round++ % 5 == 0);
        next = machine::now_ns() + second;
    }
}

} // namespace

Result<RefPtr<Mount>> ext4_mount(const MountRequest& request) {
    BlockVolume* const disk = block_find(request.source);
    if (!disk)
        return request.source.starts_with("/dev/") ? Errno::noent : Errno::notblk;
    RefPtr<ext4::Fs> fs = TRY(make_ref<ext4::Fs>());
    fs->keeps_names = true;
    if (const Result<void> opened = fs->open(*disk, request.flags, request.options); !opened) {
        fs->teardown();
        return opened.error();
    }
    {
        MutexGuard guard(flusher_lock);
        if (!flusher_runs)
            flusher_runs = kernel_thread_start("flusher", flusher, nullptr).ok();
    }
    return RefPtr<Mount>(std::move(fs));
}

} // namespace lentil
