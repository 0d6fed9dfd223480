// SPDX-License-Identifier: BSD-2-Clause
// Process accounting: records as Linux's struct acct_v3 has them (acct(5)).
#include <bit>

#include <bsd/acct.hpp>
#include <bsd/proc.hpp>
#include <bsd/tty.hpp>
#include <sched/clock.hpp>

namespace lentil {

constinit std::atomic<uint32_t> acct_state::on{0};

namespace {

constinit SpinLock<Rank::cwd> file_lock;
constinit File* records = nullptr; ///< with a reference

/// A count with 13 bits of fraction and 3 bits of exponent, base 8.
using Comp = uint16_t;

struct Record {
    uint8_t flag, version;
    uint16_t tty;
    uint32_t exit_code, uid, gid, pid, ppid, begin_time;
    uint32_t elapsed; ///< an IEEE float
    Comp user, system, memory_kib, characters, blocks, minor_faults, major_faults, swaps;
    char name[16];
};
static_assert(sizeof(Record) == 64);

constexpr uint8_t forked = 1, super_user = 2, dumped_core = 8, killed_by_signal = 0x10;
constexpr nanos_t tick_ns = 10'000'000; ///< AHZ, 100

constexpr Comp to_comp(uint64_t value) {
    constexpr unsigned fraction_bits = 13, most_exponent = 7;
    unsigned exponent = 0;
    bool round = false;
    while (value >= uint64_t{1} << fraction_bits) {
        round = value & 4;
        value >>= 3;
        exponent++;
        if (round && value + 1 < uint64_t{1} << fraction_bits)
            value++, round = false;
    }
    if (exponent > most_exponent)
        return 0xffff;
    return static_cast<Comp>(exponent << fraction_bits | value);
}
static_assert(to_comp(0) == 0 && to_comp(8191) == 8191 && to_comp(8192) == (1 << 13 | 1024));

/// The bits of the float next below `value`; the kernel itself computes with no floating point.
constexpr uint32_t to_float(uint64_t value) {
    if (value == 0)
        return 0;
    const unsigned top = 63 - static_cast<unsigned>(std::countl_zero(value));
    const uint64_t fraction = top > 23 ? value >> (top - 23) : value << (23 - top);
    return (127 + top) << 23 | (static_cast<uint32_t>(fraction) & 0x7fffff);
}
static_assert(to_float(1) == 0x3f800000 && to_float(10) == 0x41200000);

Record make_record(Proc& proc) {
    Record r{};
    const nanos_t lived = monotonic_ns() - proc.start_ns;
    const RefPtr<const Cred> cred = proc.cred();
    ProcTreeGuard guard(proc_tree_lock);
    const int32_t status = proc.sig.group_exit ? proc.sig.group_exit_status : proc.exit_status;
    const Usage usage = proc.usage_locked();
    r.flag = static_cast<uint8_t>((proc.has_execed ? 0 : forked) | (proc.used_privilege ? super_user : 0) |
                                  (status & 0x80 ? dumped_core : 0) | (status & 0x7f ? killed_by_signal : 0));
    r.version = 3;
    if (const Tty* tty = proc.group->session->tty) {
        const uint64_t device = tty->device_number();
        r.tty = static_cast<uint16_t>((device >> 8 & 0xfff) << 8 | (device & 0xff));
    }
    r.exit_code = static_cast<uint32_t>(status);
    r.uid = cred->uid;
    r.gid = cred->gid;
    r.pid = static_cast<uint32_t>(proc.pid);
    r.ppid = static_cast<uint32_t>(proc.parent ? proc.parent->pid : 0);
    r.begin_time = static_cast<uint32_t>((realtime_ns() - lived) / 1'000'000'000);
    r.elapsed = to_float(static_cast<uint64_t>(lived / tick_ns));
    r.user = to_comp(static_cast<uint64_t>(usage.user / tick_ns));
    r.system = to_comp(static_cast<uint64_t>(usage.system / tick_ns));
    r.memory_kib = to_comp(proc.memory_at_end / 1024);
    r.characters = to_comp(usage.bytes_read + usage.bytes_written);
    r.blocks = to_comp(usage.blocks_in + usage.blocks_out);
    r.minor_faults = to_comp(usage.minor_faults);
    r.major_faults = to_comp(usage.major_faults);
    __builtin_memcpy(r.name, proc.comm, sizeof r.name);
    return r;
}

} // namespace

void acct_set_file(RefPtr<File> file) {
    SpinGuard guard(file_lock);
    RefPtr<File> old = RefPtr<File>::adopt(std::exchange(records, file.release()));
    acct_state::on.store(records ? 1 : 0, std::memory_order_relaxed);
    guard.unlock(); // the old file goes outside the lock
}

void acct_record(Proc& proc) {
    RefPtr<File> file;
    {
        SpinGuard guard(file_lock);
        file = ref(records);
    }
    if (!file)
        return;
    Record record = make_record(proc);
    Uio uio = Uio::kernel(&record, sizeof record);
    (void)file->write(uio); // its end does not wait for room in a file
}

/// For Cred::capable.
bool note_privilege(const Cred& cred) {
    if (has_uthread() && current_proc().cred_.get() == &cred)
        current_proc().used_privilege = true;
    return true;
}

} // namespace lentil
