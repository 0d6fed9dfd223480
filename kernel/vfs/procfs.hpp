// SPDX-License-Identifier: BSD-2-Clause
// procfs inside: what its tables are made of. A node is an item of a table and, in a directory of a process, the process.
#pragma once

#include <bsd/proc.hpp>
#include <vfs/filesystems.hpp>
#include <vfs/text_buffer.hpp>

namespace lentil {

/// Whom a node is about. All empty for files about the system.
struct ProcTarget {
    RefPtr<Proc> proc;
    RefPtr<Uthread> uthread; ///< in /proc/PID/task/TID
    int fd = -1;             ///< in /proc/PID/fd and fdinfo; in map_files the first page's number
    vaddr_t end = 0;         ///< in map_files

    bool is_alive() const; ///< not reaped
    /// What it runs in, a borrower's included; nullptr for zombies and kernel procs.
    RefPtr<VmMap> map() const;
    /// The thread that stands for it: the one asked for, or the oldest that lives. nullptr for a zombie.
    RefPtr<Uthread> one_uthread() const;
    pid_t id() const { return uthread ? uthread->tid : proc ? proc->pid : 0; }
    /// Whether the caller may look at what is private: same user, or Capability::sys_ptrace.
    bool may_inspect() const;
};

/// One name in a directory of procfs. What is nullptr does not apply.
struct ProcfsItem {
    const char* name;
    VnodeType type;
    uint32_t mode;
    /// Regular files: writes the contents. srch, nomem, acces.
    Result<void> (*generate)(TextBuffer& out, const ProcTarget& target) = nullptr;
    /// Files that can be written.
    Result<void> (*write)(const ProcTarget& target, std::string_view text) = nullptr;
    /// Regular files that are no text made at once: opens one of their own kind.
    Result<RefPtr<File>> (*open)(Vnode& self, const ProcTarget& target, uint32_t flags) = nullptr;
    /// Links: the text, and where they lead without it.
    Result<void> (*link)(TextBuffer& out, const ProcTarget& target) = nullptr;
    Result<RefPtr<Vnode>> (*follow)(Vnode& self, const ProcTarget& target) = nullptr;
    /// Directories: fixed entries...
    std::span<const ProcfsItem> children{};
    /// ...and entries made from numbers: `number_item` with the target that `find` fills in from the directory's.
    const ProcfsItem* number_item = nullptr;
    Result<ProcTarget> (*find)(const ProcTarget& target, uint32_t number) = nullptr;
    /// The lowest number >= `from` that exists, or -1.
    int64_t (*next)(const ProcTarget& target, uint32_t from) = nullptr;
    /// How they are written, if not as decimal numbers, and the number that a name so written begins with.
    std::string_view (*write_name)(const ProcTarget& found, std::span<char> buffer) = nullptr;
    Result<uint64_t> (*read_name)(std::string_view name) = nullptr;
};

/// A mount of the tree below `top`, which statfs knows by `magic`.
Result<RefPtr<Mount>> procfs_mount_tree(const ProcfsItem& top, uint64_t magic);

// The tables, by subject.
std::span<const ProcfsItem> procfs_system_items(); ///< /proc/meminfo..., with the next two below it
std::span<const ProcfsItem> procfs_sys_items();    ///< /proc/sys
std::span<const ProcfsItem> procfs_sysvipc_items();
std::span<const ProcfsItem> procfs_lentil_items(); ///< /proc/lentil
extern const ProcfsItem procfs_pid_item;           ///< /proc/PID

// Generators that several tables use.
Result<void> procfs_stat(TextBuffer& out, const ProcTarget& target);
Result<void> procfs_statm(TextBuffer& out, const ProcTarget& target);
Result<void> procfs_status(TextBuffer& out, const ProcTarget& target);
Result<void> procfs_auxv(TextBuffer& out, const ProcTarget& target);
Result<void> procfs_maps(TextBuffer& out, const ProcTarget& target);
Result<void> procfs_smaps(TextBuffer& out, const ProcTarget& target);
Result<void> procfs_smaps_rollup(TextBuffer& out, const ProcTarget& target);
Result<void> procfs_mounts(TextBuffer& out, const ProcTarget& target);
Result<void> procfs_mountinfo(TextBuffer& out, const ProcTarget& target);

// /proc/lentil/trace and trace_control.
Result<RefPtr<File>> procfs_trace_open(Vnode& node, const ProcTarget& target, uint32_t flags);
/// /proc/PID/mem.
Result<RefPtr<File>> procfs_open_memory(Vnode& node, const ProcTarget& target, uint32_t flags);
Result<void> procfs_trace_control(TextBuffer& out, const ProcTarget& target);
Result<void> procfs_set_trace_control(const ProcTarget& target, std::string_view text);
Result<void> procfs_io(TextBuffer& out, const ProcTarget& target);

// /proc/PID/fd and fdinfo, and those of its threads.
Result<ProcTarget> procfs_find_fd(const ProcTarget& target, uint32_t number);
int64_t procfs_next_fd(const ProcTarget& target, uint32_t from);
/// /proc/PID/map_files: the files that are mapped, by address.
Result<ProcTarget> procfs_find_mapped(const ProcTarget& target, uint32_t number);
int64_t procfs_next_mapped(const ProcTarget& target, uint32_t from);
std::string_view procfs_mapped_name(const ProcTarget& found, std::span<char> buffer);
Result<uint64_t> procfs_mapped_number(std::string_view name);
Result<void> procfs_locks(TextBuffer& out, const ProcTarget& target); ///< /proc/locks
extern const ProcfsItem procfs_mapped_item;
extern const ProcfsItem procfs_fd_number_item, procfs_fdinfo_number_item;
inline constexpr ProcfsItem procfs_fd_item{.name = "fd",
                                           .type = VnodeType::directory,
                                           .mode = 0500,
                                           .number_item = &procfs_fd_number_item,
                                           .find = procfs_find_fd,
                                           .next = procfs_next_fd};
inline constexpr ProcfsItem procfs_map_files_item{.name = "map_files",
                                                  .type = VnodeType::directory,
                                                  .mode = 0500,
                                                  .number_item = &procfs_mapped_item,
                                                  .find = procfs_find_mapped,
                                                  .next = procfs_next_mapped,
                                                  .write_name = procfs_mapped_name,
                                                  .read_name = procfs_mapped_number};
inline constexpr ProcfsItem procfs_fdinfo_item{.name = "fdinfo",
                                               .type = VnodeType::directory,
                                               .mode = 0555,
                                               .number_item = &procfs_fdinfo_number_item,
                                               .find = procfs_find_fd,
                                               .next = procfs_next_fd};

/// The state letter of stat and status, and its word.
struct ProcLetter {
    char letter;
    const char* word;
};
ProcLetter procfs_state(const ProcTarget& target);
/// Clock ticks of 1/100 s.
constexpr uint64_t ticks_of(nanos_t ns) { return ns < 0 ? 0 : static_cast<uint64_t>(ns) / 10'000'000; }

} // namespace lentil
