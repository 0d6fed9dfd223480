// SPDX-License-Identifier: BSD-2-Clause
// Block devices: what a driver of disks implements, and what file systems and device nodes use (whole disks and their
// partitions).
//
// A driver makes a static BlockDevice, fills in what it knows and calls block_register() from its probe. What may sleep
// (finding out about a card) belongs in start(), which a kernel thread calls once before file systems are mounted.
#pragma once

#include <span>
#include <string_view>

#include <libkern/dlist.hpp>
#include <libkern/result.hpp>
#include <libkern/types.hpp>
#include <machine/machine.hpp>
#include <sched/waitq.hpp>

namespace lentil {

inline constexpr uint32_t sector_size = 512; ///< the unit of every position and length here, whatever the disk uses
inline constexpr uint32_t sector_shift = 9;

/// A contiguous piece of physical memory inside one page: start and length are multiples of 512 bytes.
struct BlockSegment {
    paddr_t start = 0;
    uint32_t bytes = 0;
};

enum class BlockOp : uint32_t {
    read,
    write,
    flush ///< everything written before (and done) is on the medium when this is done; no segments
};

/// One transfer of consecutive sectors. Whoever submits it owns it and the memory, and keeps both until `done`.
struct BlockRequest {
    BlockOp op = BlockOp::read;
    uint64_t sector = 0; ///< of the disk, in units of sector_size
    std::span<const BlockSegment> segments;
    /// Called once by the driver, in an interrupt or a thread of it, with none of its locks held; must not sleep. The
    /// request belongs to the submitter again from then on.
    void (*done)(BlockRequest& request) = nullptr;
    bool failed = false; ///< set by the driver before `done`

    // the driver's, between submit and done
    DlistLinks<BlockRequest> link;
    uint64_t driver_word = 0;

    uint32_t bytes() const {
        uint32_t sum = 0;
        for (const BlockSegment& s : segments)
            sum += s.bytes;
        return sum;
    }
};
/// Requests under way that one thread waits for together.
class BlockBatch {
public:
    /// Counts `request` and sets its `done`. Before it is submitted.
    void add(struct BatchRequest& request);
    /// Until all have ended: io if one failed.
    Result<void> wait();

private:
    static void ended(BlockRequest& request);
    std::atomic<uint32_t> left_{0}, failed_{0};
};
struct BatchRequest : BlockRequest {
    BlockBatch* batch = nullptr;
};

using BlockRequestQueue = Dlist<BlockRequest, &BlockRequest::link>;

/// A disk. Static storage: it is never unregistered.
class BlockDevice {
public:
    /// Finds out about the medium and fills in the fields below. Called once, in a thread, may sleep. noent or nxio: there
    /// is none, say nothing; any other error is reported, and the disk left out.
    virtual Result<void> start() { return {}; }
    /// Takes a request and returns at once; several may be under way, and end in any order. Threads call it, perhaps with
    /// locks below Rank::device. The range is inside the disk, the segments within the limits below.
    virtual void submit(BlockRequest& request) = 0;

    // Filled in before block_register, or by start().
    char name[12] = {};       ///< of /dev/NAME: "vda", "mmcblk0"; partitions are NAMEn, NAMEpn after a digit
    uint32_t major = 0;       ///< device number of the whole disk; partition n has first_minor + n
    uint32_t first_minor = 0; ///< followed by minor_count - 1 numbers of partitions
    uint32_t minor_count = 16;
    uint64_t sectors = 0;            ///< in units of 512 bytes
    uint32_t logical_block = 512;    ///< what the medium can write at once; positions and lengths are multiples of it
    uint32_t max_segments = 64;      ///< of one request, at least 1
    uint32_t max_bytes = 256 * 1024; ///< of one request, at least 4096
    bool read_only = false;          ///< then no write is submitted
    bool has_cache = true;           ///< a volatile one: else flush requests are not sent
    BlockDevice* next_device = nullptr; ///< the list's

protected:
    ~BlockDevice() = default;
};

/// From a driver's probe: makes the disk known. It is started later.
void block_register(BlockDevice& device);
/// In a thread, once, before anything is mounted: starts all disks, reads their partition tables (GPT, MBR), says one line
/// for each disk.
void block_start_all();

/// A whole disk or a partition of one. Never goes away.
class BlockVolume {
public:
    static constexpr const char* zone_name = "block_volumes";

    /// Fails at once, through `done`, what reaches past the end or writes to what is read-only. `request.sector` is counted
    /// from the start of the volume; the call changes it.
    void submit(BlockRequest& request);
    /// Submits and waits: io. `segments` may be more than the disk takes at once.
    Result<void> transfer(BlockOp op, uint64_t sector, std::span<const BlockSegment> segments);
    /// One piece of kernel memory inside the direct map, not across pages.
    Result<void> read(uint64_t sector, void* to, uint32_t bytes);
    Result<void> write(uint64_t sector, const void* from, uint32_t bytes);
    Result<void> flush();

    char name[20] = {};
    BlockDevice* device = nullptr;
    uint64_t first_sector = 0, sectors = 0;
    uint64_t number = 0;     ///< dev_t
    unsigned partition = 0;  ///< 0: the whole disk
    uint8_t unique_id[16]{}; ///< of a GPT partition (PARTUUID), in the order of its bytes on the disk
    bool has_unique_id = false;
    std::atomic<uint32_t> mounted{0}; ///< 1: by a file system, alone
    BlockVolume* next = nullptr;
};

/// nullptr if there is none. `text`: "vda1", "/dev/vda1" or "PARTUUID=...".
BlockVolume* block_find(std::string_view text);
BlockVolume* block_find(uint64_t number);
BlockVolume* block_first();

} // namespace lentil
