// SPDX-License-Identifier: BSD-2-Clause
// Mounts: file systems attached to directories, and the table of them.
#pragma once

#include <vfs/vnode.hpp>

namespace lentil {

/// Mount flags with Linux's values (mount(2)).
namespace mount_flags {
inline constexpr uint64_t read_only = 1, no_suid = 2, no_dev = 4, no_exec = 8, synchronous = 16, remount = 32,
                          no_atime = 1024, no_dir_atime = 2048, bind = 4096, move = 8192, relatime = 1 << 21;
inline constexpr uint64_t kept =
    read_only | no_suid | no_dev | no_exec | synchronous | no_atime | no_dir_atime | relatime;
} // namespace mount_flags

/// A mounted file system. Its nodes keep it alive; it keeps its root node until it is unmounted.
class Mount : public PolymorphicRefCounted<Mount> {
public:
    virtual ~Mount() = default;

    virtual FsStat fs_stat() = 0;
    /// Whether anything uses a node but the tree itself and the caller, who has one reference to the root: umount is busy.
    virtual bool in_use() = 0;
    /// Unmounted: lets go of all nodes.
    virtual void teardown() = 0;
    /// The options of its own that /proc/mounts shows, each with a leading comma; bytes written.
    virtual size_t describe_options(std::span<char>) { return 0; }
    virtual Result<void> remount(std::string_view) { return {}; }
    /// mount(2) with MS_REMOUNT, after `remount`: may refuse, or make itself ready, before the flags change.
    virtual Result<void> change_flags(uint64_t, uint64_t) { return {}; }
    /// Everything changed before the call is on the disk when it returns (sync, syncfs).
    virtual Result<void> sync() { return {}; }
    /// Once a second, from a kernel thread; with `write` what is dirty goes to the disk.
    virtual void background(bool) {}

    bool read_only() const { return has(mount_flags::read_only); }
    bool has(uint64_t flag) const { return flags.load(std::memory_order_relaxed) & flag; }

    const char* type_name = "";       ///< file system type, static
    char source[64] = {};             ///< as given to mount(2)
    std::atomic<uint64_t> flags{0};   ///< mount_flags::kept
    std::atomic<uint32_t> writers{0}; ///< open files that may write
    uint64_t device = 0;              ///< st_dev of its nodes
    uint32_t id = 0;
    bool keeps_names = false; ///< names change through calls alone, so they can be kept; set before it is attached
    RefPtr<Vnode> root;       ///< set before it is attached, gone with teardown
    RefPtr<Vnode> covered;    ///< m = mount table's lock; directory below; nullptr: the root mount
    Mount* next = nullptr;    ///< m; the table, in order of mounting
};

struct MountRequest {
    std::string_view source, options;
    uint64_t flags = 0;
};

/// A type of file system. All are known at build time.
struct FileSystemType {
    const char* name;
    bool needs_device;                                           ///< false: "nodev" in /proc/filesystems
    Result<RefPtr<Mount>> (*mount)(const MountRequest& request); ///< makes one, with its root
};
const FileSystemType* find_file_system(std::string_view name);
void for_each_file_system(void (*visit)(const FileSystemType&, void*), void* context);

/// Attaches a new file system of `type` to `directory` (nullptr: as the very first root). nodev for an unknown type,
/// notdir, busy if the directory got covered meanwhile.
Result<RefPtr<Mount>> mount_attach(std::string_view type, RefPtr<Vnode> directory, const MountRequest& request);
/// Detaches the mount whose root is `root`: inval if it is none, busy if it is in use or has mounts on it and is not `lazy`;
/// those on it go with it.
Result<void> mount_detach(Vnode& root, bool lazy);
/// Once, at boot: starts the kernel thread that frees lazily detached mounts soon after their last user.
void mount_start_sweeper();
/// Changes flags and options of the mount whose root is `root`: inval if it is none, busy if it shall be read-only and files
/// are open for writing, or removed files still in use.
Result<void> mount_change(Vnode& root, uint64_t flags, std::string_view options);

/// What is on top of `node`: the root of the topmost mount that covers it, or the node itself.
RefPtr<Vnode> mount_cross_down(RefPtr<Vnode> node);
/// The directory that `node` covers if it is the root of an attached mount; nullptr else.
RefPtr<Vnode> mount_covered(Vnode& node);
/// The first mounted root, nullptr before there is one.
RefPtr<Vnode> mount_root();
/// The `index`th mount in the table, nullptr past the end.
RefPtr<Mount> mount_by_index(unsigned index);

/// A device number for a file system without a device (major 0).
uint64_t mount_new_device();

} // namespace lentil
