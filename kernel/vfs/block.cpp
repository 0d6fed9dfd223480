// SPDX-License-Identifier: BSD-2-Clause
// The lists of disks and volumes, and waiting for requests. Partition tables: partitions.cpp.
#include <algorithm>
#include <cstring>

#include <bsd/uthread.hpp>
#include <libkern/format.hpp>
#include <vfs/block.hpp>
#include <vfs/partitions.hpp>
#include <vfs/vnode.hpp>
#include <vm/page.hpp>
#include <vm/zalloc.hpp>

namespace lentil {

namespace {

constinit BlockDevice* first_device = nullptr; // grows during probing, on one hart
constinit BlockVolume* volumes = nullptr;      // grows at boot, before anyone looks

/// Shared by all batches: the last thing that an ending request touches must not lie on the stack of who waits for it.
constinit Waitq batch_queues[16];
Waitq& queue_of(const BlockBatch& batch) { return batch_queues[reinterpret_cast<uintptr_t>(&batch) >> 5 & 15]; }

} // namespace

void BlockBatch::add(BatchRequest& request) {
    request.batch = this;
    request.done = ended;
    left_.fetch_add(1, std::memory_order_relaxed);
}

void BlockBatch::ended(BlockRequest& request) {
    BlockBatch& batch = *static_cast<BatchRequest&>(request).batch;
    Waitq& queue = queue_of(batch);
    if (request.failed)
        batch.failed_.store(1, std::memory_order_relaxed);
    if (batch.left_.fetch_sub(1, std::memory_order_acq_rel) == 1)
        queue.wake_all();
}

Result<void> BlockBatch::wait() {
    wait_until(
        queue_of(*this), "disk", [this] { return left_.load(std::memory_order_acquire) == 0; }, Interruptible::no);
    if (failed_.load(std::memory_order_relaxed) != 0)
        return Errno::io;
    return {};
}

void block_register(BlockDevice& device) {
    BlockDevice** end = &first_device;
    while (*end)
        end = &(*end)->next_device;
    *end = &device;
}

BlockVolume* block_first() { return volumes; }

BlockVolume* block_find(uint64_t number) {
    BlockVolume* v = volumes;
    while (v && v->number != number)
        v = v->next;
    return v;
}

BlockVolume* block_find(std::string_view text) {
    constexpr std::string_view by_id = "PARTUUID=", folder = "/dev/";
    if (text.starts_with(by_id)) {
        text.remove_prefix(by_id.size());
        for (BlockVolume* v = volumes; v; v = v->next)
            if (v->has_unique_id && partition_id_is(v->unique_id, text))
                return v;
        return nullptr;
    }
    if (text.starts_with(folder))
        text.remove_prefix(folder.size());
    for (BlockVolume* v = volumes; v; v = v->next)
        if (text == v->name)
            return v;
    return nullptr;
}

void BlockVolume::submit(BlockRequest& request) {
    const uint64_t count = request.bytes() >> sector_shift;
    request.failed = false;
    if (request.op == BlockOp::flush ? !device->has_cache : count == 0)
        return request.done(request);
    if (request.op != BlockOp::flush &&
        (count > sectors || request.sector > sectors - count || (request.op == BlockOp::write && device->read_only))) {
        request.failed = true;
        return request.done(request);
    }
    if (request.op == BlockOp::read && has_uthread()) // writes count where pages get dirty
        current_uthread().usage.blocks_in += count;
    request.sector += first_sector;
    device->submit(request);
}

Result<void> BlockVolume::transfer(BlockOp op, uint64_t sector, std::span<const BlockSegment> segments) {
    while (!segments.empty() || op == BlockOp::flush) {
        size_t n = 0;
        uint32_t total = 0;
        while (n < segments.size() && n < device->max_segments && total + segments[n].bytes <= device->max_bytes)
            total += segments[n++].bytes;
        BlockBatch batch;
        BatchRequest request;
        request.op = op;
        request.sector = sector;
        request.segments = segments.first(n);
        batch.add(request);
        submit(request);
        TRY(batch.wait());
        if (op == BlockOp::flush)
            break;
        sector += total >> sector_shift;
        segments = segments.subspan(n);
    }
    return {};
}

Result<void> BlockVolume::read(uint64_t sector, void* to, uint32_t bytes) {
    const BlockSegment segment{machine::direct_map_pa(to), bytes};
    return transfer(BlockOp::read, sector, {&segment, 1});
}

Result<void> BlockVolume::write(uint64_t sector, const void* from, uint32_t bytes) {
    const BlockSegment segment{machine::direct_map_pa(from), bytes};
    return transfer(BlockOp::write, sector, {&segment, 1});
}

Result<void> BlockVolume::flush() { return transfer(BlockOp::flush, 0, {}); }

namespace {

Result<void> add_volume(BlockDevice& device, unsigned partition, uint64_t first, uint64_t sectors,
                        const uint8_t* unique_id) {
    BlockVolume* v = TRY(zone_new<BlockVolume>());
    v->device = &device;
    v->partition = partition;
    v->first_sector = first;
    v->sectors = sectors;
    v->number = make_device(device.major, device.first_minor + partition);
    const std::string_view base = device.name;
    const bool digit = !base.empty() && base.back() >= '0' && base.back() <= '9';
    const std::span<char> name(v->name, sizeof v->name - 1);
    if (partition == 0)
        format_to(name, "{}", base);
    else
        format_to(name, "{}{}{}", base, std::string_view(digit ? "p" : ""), partition);
    if (unique_id) {
        memcpy(v->unique_id, unique_id, sizeof v->unique_id);
        v->has_unique_id = true;
    }
    BlockVolume** end = &volumes;
    while (*end)
        end = &(*end)->next;
    *end = v;
    return {};
}

/// Its partitions as volumes; a table that makes no sense is none.
Result<void> find_partitions(BlockDevice& device, BlockVolume& whole) {
    VmPage* page = TRY(page_alloc());
    unsigned found = 0;
    const auto add = [&](const Partition& p) {
        if (p.number < device.minor_count &&
            add_volume(device, p.number, p.first, p.sectors, p.has_unique_id ? p.unique_id : nullptr).ok())
            found++;
    };
    const Result<void> read = read_partitions(
        static_cast<uint8_t*>(page_data(page)), device.sectors,
        [&](uint64_t sector, void* to) { return whole.read(sector, to, sector_size); }, add);
    page_unref(page);
    TRY(read);
    kprint("{}: {} MiB{}", std::string_view(device.name), device.sectors >> 11,
           std::string_view(device.read_only ? ", read-only" : ""));
    kprint(", {} partition{}\n", found, found == 1 ? "" : "s");
    return {};
}

} // namespace

void block_start_all() {
    for (BlockDevice* d = first_device; d; d = d->next_device) {
        const auto start = [&]() -> Result<void> {
            TRY(d->start());
            TRY(add_volume(*d, 0, 0, d->sectors, nullptr));
            return find_partitions(*d, *block_find(std::string_view(d->name)));
        };
        if (const Result<void> started = start();
            !started && started.error() != Errno::noent && started.error() != Errno::nxio)
            kprint("{}: {}\n", std::string_view(d->name), errno_text(started.error()));
    }
}

} // namespace lentil
