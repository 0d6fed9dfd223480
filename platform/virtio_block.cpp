// SPDX-License-Identifier: BSD-2-Clause
// Virtio disks (Virtual I/O Device 1.2, section 5.2). Each request under way has a slot; a slot owns its descriptors for
// good: one that points to a table of its own where the device knows indirect descriptors, a fixed run of the ring else.
#include <cstring>

#include <libkern/format.hpp>
#include <platform/virtio.hpp>
#include <sync/spinlock.hpp>
#include <vfs/block.hpp>
#include <vm/page.hpp>
#include <vm/zalloc.hpp>

namespace lentil::platform {

namespace {

constexpr uint64_t feature_segment_size = 1 << 1, feature_segments = 1 << 2, feature_read_only = 1 << 5,
                   feature_block_size = 1 << 6, feature_flush = 1 << 9;
/// Configuration space (5.2.4).
constexpr uint64_t config_capacity = 0, config_segment_size = 8, config_segments = 12, config_block_size = 20;
constexpr uint32_t virtblk_major = 254;
constexpr unsigned max_disks = 16;

/// What goes before the data (5.2.6).
struct RequestHeader {
    uint32_t type, reserved;
    uint64_t sector;
};
constexpr uint32_t type_read = 0, type_write = 1, type_flush = 4;

class VirtioDisk final : public BlockDevice {
public:
    static constexpr const char* zone_name = "virtio_disks";
    explicit VirtioDisk(const Mmio& registers) : transport_(registers) {}
    const char* init(Node node);
    void submit(BlockRequest& request) override;

private:
    static constexpr unsigned max_slots = 32, indirect_segments = 64;
    /// The memory that the device sees of one request.
    struct Slot {
        VirtioDescriptor table[indirect_segments + 2];
        RequestHeader header;
        uint8_t status;
    };
    static constexpr unsigned slots_per_block = page_size / sizeof(Slot);

    /// With the lock: puts as many waiting requests on the ring as fit.
    bool start_waiting();
    void fill(unsigned slot, BlockRequest& request);
    void interrupt();

    VirtioDevice transport_;
    VirtioQueue queue_;
    SpinLock<Rank::device> lock_; ///< all below, and the queue
    Slot* slots_[max_slots] = {};
    BlockRequest* requests_[max_slots] = {};
    unsigned slot_count_ = 0, descriptors_per_slot_ = 1;
    bool indirect_ = false;
    BlockRequestQueue waiting_;
};

constinit unsigned disk_count = 0;

const char* VirtioDisk::init(Node node) {
    using namespace virtio_features;
    if (!transport_.negotiate(feature_segment_size | feature_segments | feature_read_only | feature_block_size |
                              feature_flush | indirect))
        return "the disk refuses our features";
    if (const char* complaint = transport_.set_queue(0, queue_))
        return complaint;
    indirect_ = transport_.has(indirect);
    max_segments = indirect_segments;
    if (transport_.has(feature_segments))
        if (const uint32_t limit = transport_.config32(config_segments); limit > 0 && limit < max_segments)
            max_segments = limit;
    slot_count_ = max_slots;
    if (indirect_) {
        if (slot_count_ > queue_.size())
            slot_count_ = queue_.size();
    } else {
        while (slot_count_ > 1 && queue_.size() / slot_count_ < 10)
            slot_count_ /= 2;
        descriptors_per_slot_ = queue_.size() / slot_count_;
        if (descriptors_per_slot_ < 3)
            return "its queue is too small";
        if (max_segments > descriptors_per_slot_ - 2)
            max_segments = descriptors_per_slot_ - 2;
    }
    // Segments lie inside a page, so no limit below that is respected.
    if (transport_.has(feature_segment_size) && transport_.config32(config_segment_size) < page_size)
        return "it takes no whole pages";
    max_bytes = max_segments * page_size;
    for (unsigned i = 0; i < slot_count_; i++) {
        if (i % slots_per_block == 0) {
            const auto page = page_alloc_zeroed();
            if (!page)
                return "no memory";
            slots_[i] = static_cast<Slot*>(page_data(*page));
        } else {
            slots_[i] = slots_[i - 1] + 1;
        }
    }
    sectors = transport_.config64(config_capacity);
    read_only = transport_.has(feature_read_only);
    has_cache = transport_.has(feature_flush);
    if (transport_.has(feature_block_size))
        logical_block = transport_.config32(config_block_size);
    if (disk_count == max_disks)
        return "too many disks";
    major = virtblk_major;
    first_minor = disk_count * minor_count;
    format_to(std::span(name).first(sizeof name - 1), "vd{}", static_cast<char>('a' + disk_count));
    disk_count++;
    if (!irq_attach(
            node, [](void* disk) { static_cast<VirtioDisk*>(disk)->interrupt(); }, this))
        return "no interrupt";
    transport_.go();
    block_register(*this);
    return nullptr;
}

void VirtioDisk::fill(unsigned slot, BlockRequest& request) {
    Slot& s = *slots_[slot];
    s.header = {request.op == BlockOp::read    ? type_read
                : request.op == BlockOp::write ? type_write
                                               : type_flush,
                0, request.op == BlockOp::flush ? 0 : request.sector};
    s.status = 0xff;
    VirtioDescriptor* const chain = indirect_ ? s.table : &queue_.descriptor(slot * descriptors_per_slot_);
    const unsigned base = indirect_ ? 0 : slot * descriptors_per_slot_;
    unsigned n = 0;
    const auto add = [&](paddr_t address, uint32_t length, uint16_t flags) {
        chain[n] = {address, length, static_cast<uint16_t>(flags | virtio_next), static_cast<uint16_t>(base + n + 1)};
        n++;
    };
    add(machine::direct_map_pa(&s.header), sizeof s.header, 0);
    for (const BlockSegment& piece : request.segments)
        add(piece.start, piece.bytes, request.op == BlockOp::read ? virtio_device_writes : 0);
    add(machine::direct_map_pa(&s.status), 1, virtio_device_writes);
    chain[n - 1].flags &= static_cast<uint16_t>(~virtio_next);
    if (indirect_)
        queue_.descriptor(slot) = {machine::direct_map_pa(s.table), static_cast<uint32_t>(n * sizeof s.table[0]),
                                   virtio_indirect, 0};
    requests_[slot] = &request;
    queue_.push(static_cast<uint16_t>(slot * descriptors_per_slot_));
}

bool VirtioDisk::start_waiting() {
    bool any = false;
    for (unsigned slot = 0; slot < slot_count_ && !waiting_.empty(); slot++)
        if (!requests_[slot]) {
            fill(slot, *waiting_.pop_front());
            any = true;
        }
    return any;
}

void VirtioDisk::submit(BlockRequest& request) {
    SpinGuard guard(lock_);
    waiting_.push_back(request);
    if (start_waiting())
        transport_.notify(0);
}

void VirtioDisk::interrupt() {
    if (!transport_.take_interrupt())
        return;
    BlockRequestQueue ended;
    {
        SpinGuard guard(lock_);
        while (const auto head = queue_.pop()) {
            const unsigned slot = *head / descriptors_per_slot_;
            if (slot >= slot_count_ || !requests_[slot])
                continue; // not one of ours: the device is out of its mind
            BlockRequest& request = *requests_[slot];
            requests_[slot] = nullptr;
            request.failed = slots_[slot]->status != 0;
            ended.push_back(request);
        }
        if (start_waiting())
            transport_.notify(0);
    }
    while (BlockRequest* request = ended.pop_front())
        request->done(*request);
}

} // namespace

const char* virtio_block_start(Node node, const Mmio& registers) {
    const auto disk = zone_new<VirtioDisk>(registers);
    if (!disk)
        return "no memory";
    return (*disk)->init(node); // with a complaint it stays: the device may hold its memory
}

} // namespace lentil::platform
