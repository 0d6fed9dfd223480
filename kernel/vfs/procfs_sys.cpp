// SPDX-License-Identifier: BSD-2-Clause
// /proc/sys: settings and limits of the kernel.
#include <bsd/exec.hpp>
#include <bsd/host_name.hpp>
#include <bsd/mqueue.hpp>
#include <bsd/pipe.hpp>
#include <bsd/random.hpp>
#include <bsd/sysv_msg.hpp>
#include <bsd/sysv_sem.hpp>
#include <bsd/sysv_shm.hpp>
#include <libkern/parse.hpp>
#include <vfs/inotify.hpp>
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

using ShmMax = Setting<sysv::shm_max, 0, ~uint64_t{0}>;
using ShmAll = Setting<sysv::shm_all, 0, ~uint64_t{0}>;
using ShmMni = Setting<sysv::shm_mni, 0, sysv::Table<int>::places_most>;
using MsgMax = Setting<sysv::msg_max, 0, INT32_MAX>;
using MsgMnb = Setting<sysv::msg_mnb, 0, INT32_MAX>;
using MsgMni = Setting<sysv::msg_mni, 0, sysv::Table<int>::places_most>;
using QueuesMax = Setting<mqueue_queues_max, 0, INT32_MAX>;
using QueueMessagesMax = Setting<mqueue_messages_max, 1, 65536>;
using QueueSizeMax = Setting<mqueue_size_max, 128, uint64_t{16} << 20>;
using QueueMessages = Setting<mqueue_messages_default, 1, 65536>;
using QueueSize = Setting<mqueue_size_default, 128, uint64_t{16} << 20>;
using InotifyInstances = Setting<inotify_max_instances, 0, INT32_MAX>;
using InotifyWatches = Setting<inotify_max_watches, 0, INT32_MAX>;
using InotifyEvents = Setting<inotify_max_events, 0, INT32_MAX>;

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

Result<void> semaphore_limits(TextBuffer& out, const ProcTarget&) {
    out.add("{}\t{}\t{}\t{}\n", sysv::sem_per_set_most, sysv::sem_all_most, sysv::sem_ops_most, sysv::sem_sets_most);
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
    {.name = "shmmax", .type = file, .mode = 0644, .generate = ShmMax::show, .write = ShmMax::set},
    {.name = "shmall", .type = file, .mode = 0644, .generate = ShmAll::show, .write = ShmAll::set},
    {.name = "shmmni", .type = file, .mode = 0644, .generate = ShmMni::show, .write = ShmMni::set},
    {.name = "shm_rmid_forced", .type = file, .mode = 0444, .generate = number<0>},
    {.name = "sem", .type = file, .mode = 0444, .generate = semaphore_limits},
    {.name = "msgmax", .type = file, .mode = 0644, .generate = MsgMax::show, .write = MsgMax::set},
    {.name = "msgmnb", .type = file, .mode = 0644, .generate = MsgMnb::show, .write = MsgMnb::set},
    {.name = "msgmni", .type = file, .mode = 0644, .generate = MsgMni::show, .write = MsgMni::set},
};

constexpr ProcfsItem inotify_items[] = {
    {.name = "max_queued_events",
     .type = file,
     .mode = 0644,
     .generate = InotifyEvents::show,
     .write = InotifyEvents::set},
    {.name = "max_user_instances",
     .type = file,
     .mode = 0644,
     .generate = InotifyInstances::show,
     .write = InotifyInstances::set},
    {.name = "max_user_watches",
     .type = file,
     .mode = 0644,
     .generate = InotifyWatches::show,
     .write = InotifyWatches::set},
};

constexpr ProcfsItem mqueue_items[] = {
    {.name = "queues_max", .type = file, .mode = 0644, .generate = QueuesMax::show, .write = QueuesMax::set},
    {.name = "msg_max", .type = file, .mode = 0644, .generate = QueueMessagesMax::show, .write = QueueMessagesMax::set},
    {.name = "msgsize_max", .type = file, .mode = 0644, .generate = QueueSizeMax::show, .write = QueueSizeMax::set},
    {.name = "msg_default", .type = file, .mode = 0644, .generate = QueueMessages::show, .write = QueueMessages::set},
    {.name = "msgsize_default", .type = file, .mode = 0644, .generate = QueueSize::show, .write = QueueSize::set},
};

constexpr ProcfsItem fs_items[] = {
    {.name = "mqueue", .type = directory, .mode = 0555, .children = mqueue_items},
    {.name = "inotify", .type = directory, .mode = 0555, .children = inotify_items},
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
