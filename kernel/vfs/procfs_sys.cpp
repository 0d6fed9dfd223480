// SPDX-License-Identifier: BSD-2-Clause
// /proc/sys: settings and limits of the kernel.
#include <bsd/exec.hpp>
#include <bsd/host_name.hpp>
#include <bsd/pipe.hpp>
#include <bsd/random.hpp>
#include <libkern/parse.hpp>
#include <vfs/procfs.hpp>

namespace lentil {

namespace {

/// A file of one number that never changes.
template<uint64_t Value>
Result<void> number(TextBuffer& out, const ProcTarget&) {
    out.add("{}\n", Value);
    return {};
}

Result<void> ostype(TextBuffer& out, const ProcTarget&) {
    out.add("{}\n", system_name);
    return {};
}

Result<void> osrelease(TextBuffer& out, const ProcTarget&) {
    out.add("{}\n", system_release);
    return {};
}

template<HostName Which>
Result<void> host_name(TextBuffer& out, const ProcTarget&) {
    char name[host_name_max];
    out.add("{}\n", std::string_view(name, host_name_get(Which, name)));
    return {};
}

template<HostName Which>
Result<void> set_host_name(const ProcTarget&, std::string_view text) {
    if (text.size() > host_name_max)
        return Errno::inval;
    host_name_set(Which, text);
    return {};
}

/// A number of the kernel that can be set, between two bounds.
template<auto& Value, uint64_t Least, uint64_t Most>
struct Setting {
    static Result<void> show(TextBuffer& out, const ProcTarget&) {
        out.add("{}\n", Value.load(std::memory_order_relaxed));
        return {};
    }
    static Result<void> set(const ProcTarget&, std::string_view text) {
        const uint64_t wanted = TRY(parse_number(text, 10));
        if (wanted < Least || wanted > Most)
            return Errno::inval;
        Value.store(static_cast<decltype(Value.load())>(wanted), std::memory_order_relaxed);
        return {};
    }
};
using PidMax = Setting<pid_max, 301, pid_limit>;
using ThreadsMax = Setting<max_procs, 1, pid_limit>;
using RandomizeVaSpace = Setting<randomize_va_space, 0, 2>;
using RefusedSleep = Setting<fork_refused_sleep_ms, 0, 60'000>;

/// Random (version 4) UUIDs.
void put_uuid(TextBuffer& out, const uint8_t (&b)[16]) {
    for (unsigned i = 0; i < 16; i++)
        out.add("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
    out.text("\n");
}
void make_uuid(uint8_t (&b)[16]) {
    random_bytes(b, sizeof b);
    b[6] = static_cast<uint8_t>((b[6] & 0x0f) | 0x40);
    b[8] = static_cast<uint8_t>((b[8] & 0x3f) | 0x80);
}

Result<void> uuid(TextBuffer& out, const ProcTarget&) {
    uint8_t bytes[16];
    make_uuid(bytes);
    put_uuid(out, bytes);
    return {};
}

constinit Mutex<Rank::fs> boot_id_lock;
constinit uint8_t boot_id_bytes[16] = {};
constinit bool boot_id_made = false;

Result<void> boot_id(TextBuffer& out, const ProcTarget&) {
    MutexGuard guard(boot_id_lock);
    if (!boot_id_made) {
        make_uuid(boot_id_bytes);
        boot_id_made = true;
    }
    put_uuid(out, boot_id_bytes);
    return {};
}

constexpr VnodeType file = VnodeType::regular, directory = VnodeType::directory;

constexpr ProcfsItem random_items[] = {
    {.name = "boot_id", .type = file, .mode = 0444, .generate = boot_id},
    {.name = "uuid", .type = file, .mode = 0444, .generate = uuid},
    {.name = "poolsize", .type = file, .mode = 0444, .generate = number<256>},
    {.name = "entropy_avail", .type = file, .mode = 0444, .generate = number<256>},
};

constexpr ProcfsItem kernel_items[] = {
    {.name = "ostype", .type = file, .mode = 0444, .generate = ostype},
    {.name = "osrelease", .type = file, .mode = 0444, .generate = osrelease},
    {.name = "hostname",
     .type = file,
     .mode = 0644,
     .generate = host_name<HostName::node>,
     .write = set_host_name<HostName::node>},
    {.name = "domainname",
     .type = file,
     .mode = 0644,
     .generate = host_name<HostName::domain>,
     .write = set_host_name<HostName::domain>},
    {.name = "pid_max", .type = file, .mode = 0644, .generate = PidMax::show, .write = PidMax::set},
    {.name = "threads-max", .type = file, .mode = 0644, .generate = ThreadsMax::show, .write = ThreadsMax::set},
    {.name = "forkfsleep", .type = file, .mode = 0644, .generate = RefusedSleep::show, .write = RefusedSleep::set},
    {.name = "randomize_va_space",
     .type = file,
     .mode = 0644,
     .generate = RandomizeVaSpace::show,
     .write = RandomizeVaSpace::set},
    {.name = "ngroups_max", .type = file, .mode = 0444, .generate = number<Cred::max_groups>},
    {.name = "cap_last_cap", .type = file, .mode = 0444, .generate = number<40>},
    {.name = "random", .type = directory, .mode = 0555, .children = random_items},
};

constexpr ProcfsItem fs_items[] = {
    {.name = "pipe-max-size", .type = file, .mode = 0444, .generate = number<Pipe::max_capacity>},
    {.name = "nr_open", .type = file, .mode = 0444, .generate = number<FdTable::max_descriptors>},
};

constexpr ProcfsItem items[] = {
    {.name = "kernel", .type = directory, .mode = 0555, .children = kernel_items},
    {.name = "fs", .type = directory, .mode = 0555, .children = fs_items},
};

} // namespace

std::span<const ProcfsItem> procfs_sys_items() { return items; }

} // namespace lentil
