// SPDX-License-Identifier: BSD-2-Clause
// Resource limits: one set per proc, shared copy-on-write after fork (NB-23), and what processes consumed.
#pragma once

#include <array>

#include <libkern/types.hpp>
#include <vm/zalloc.hpp>

namespace lentil {

/// Linux numbers.
enum class Limit : uint32_t {
    cpu = 0,
    fsize = 1,
    data = 2,
    stack = 3,
    core = 4,
    rss = 5,
    nproc = 6,
    nofile = 7,
    memlock = 8,
    as = 9,
    locks = 10,
    sigpending = 11,
    msgqueue = 12,
    nice = 13,
    rtprio = 14,
    rttime = 15,
    count = 16,
};
inline constexpr uint64_t limit_infinity = ~uint64_t{0};

struct LimitValue {
    uint64_t soft = limit_infinity, hard = limit_infinity;
};

struct Limits : ZonedRefCounted<Limits> {
    static constexpr const char* zone_name = "limits";
    std::array<LimitValue, static_cast<size_t>(Limit::count)> values{};
    const LimitValue& operator[](Limit l) const { return values[static_cast<size_t>(l)]; }
    LimitValue& operator[](Limit l) { return values[static_cast<size_t>(l)]; }
};

/// What getrusage reports. Times in nanoseconds, blocks of 512 bytes: those in when a disk is asked for them, those out when
/// pages of a disk get dirty.
struct Usage {
    nanos_t user = 0, system = 0;
    uint64_t max_resident_bytes = 0, minor_faults = 0, major_faults = 0, blocks_in = 0, blocks_out = 0,
             voluntary_switches = 0, involuntary_switches = 0;
    // Of read and write and their family: bytes moved and calls made (/proc/PID/io).
    uint64_t bytes_read = 0, bytes_written = 0, reads = 0, writes = 0;
    uint64_t blocks_cancelled = 0; ///< of blocks_out, of whomever: dropped before they were written
    template<class U>              // a Usage, or an OwnUsage
    void add(const U& o) {
        user += o.user, system += o.system;
        max_resident_bytes =
            max_resident_bytes > o.max_resident_bytes ? max_resident_bytes : uint64_t{o.max_resident_bytes};
        minor_faults += o.minor_faults, major_faults += o.major_faults;
        blocks_in += o.blocks_in, blocks_out += o.blocks_out;
        voluntary_switches += o.voluntary_switches, involuntary_switches += o.involuntary_switches;
        bytes_read += o.bytes_read, bytes_written += o.bytes_written, reads += o.reads, writes += o.writes;
        blocks_cancelled += o.blocks_cancelled;
    }
};

/// A count that one thread alone changes, while others may read it.
template<class T>
class OwnCount {
public:
    operator T() const { return __atomic_load_n(&value_, __ATOMIC_RELAXED); }
    void operator=(T value) {
#if defined(__SANITIZE_THREAD__)
        __atomic_store_n(&value_, value, __ATOMIC_RELAXED);
#else
        *const_cast<volatile T*>(&value_) = value; // see Word
#endif
    }
    void operator+=(T by) { *this = *this + by; }
    void operator++(int) { *this += 1; }

private:
    T value_ = 0;
};

/// A Usage that grows: the same fields, each whole for whoever looks.
struct OwnUsage {
    OwnCount<nanos_t> user, system;
    OwnCount<uint64_t> max_resident_bytes, minor_faults, major_faults, blocks_in, blocks_out, voluntary_switches,
        involuntary_switches, bytes_read, bytes_written, reads, writes, blocks_cancelled;
    operator Usage() const {
        return {user,
                system,
                max_resident_bytes,
                minor_faults,
                major_faults,
                blocks_in,
                blocks_out,
                voluntary_switches,
                involuntary_switches,
                bytes_read,
                bytes_written,
                reads,
                writes,
                blocks_cancelled};
    }
};

} // namespace lentil
