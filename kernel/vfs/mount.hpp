// SPDX-License-Identifier: BSD-2-Clause
// Mounts: file systems attached to directories, and the table of them.
#pragma once

#include <vfs/vnode.hpp>

namespace lentil {

/// Mount flags with Linux's values (mount(2)).
namespace mount_flags {
inline constexpr uint64_t read_only = 1, no_suid = 2, no_dev = 4, no_exec = 8, synchronous = 16, remount = 32,
                          no_sym_follow = 256, no_atime = 1024, no_dir_atime = 2048, bind = 4096, move = 8192,
                          recursive = 16384, unbindable = 1 << 17, private_ = 1 << 18, slave = 1 << 19,
                          shared = 1 << 20, relatime = 1 << 21, strict_atime = 1 << 24;
/// Of a mount: what is done through it. The others are of the file system, whose mounts share them.
inline constexpr uint64_t kept =
    read_only | no_suid | no_dev | no_exec | no_sym_follow | no_atime | no_dir_atime | relatime;
inline constexpr uint64_t kept_by_super = read_only | synchronous;
} // namespace mount_flags

/// A mounted file system, or a bind mount of one (vfs/bind.hpp). Its nodes keep it alive; it keeps its root node until it is
/// unmounted; a file system that is shown by bind mounts too stays until the last of all is.
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
    /// mount(2) with MS_REMOUNT, after `remount`: may refuse, or make itself ready, before its `super_flags` change.
    virtual Result<void> change_flags(uint64_t, uint64_t) { return {}; }
    /// Everything changed before the call is on the disk when it returns (sync, syncfs).
    virtual Result<void> sync() { return {}; }
    /// Once a second, from a kernel thread; with `write` what is dirty goes to the disk.
    virtual void background(bool) {}

    /// The file system that is mounted here.
    Mount& super() { return bound ? *bound : *this; }
    const Mount& super() const { return bound ? *bound : *this; }
    /// Nothing may be changed through it, because of itself or of the file system.
    bool read_only() const {
        return (flags.load(std::memory_order_relaxed) | super().super_flags.load(std::memory_order_relaxed)) &
               mount_flags::read_only;
    }
    /// A walk came in.
    void was_entered() {
        if (const uint32_t left = expiry.load(std::memory_order_relaxed)) [[unlikely]]
            expiry.store(left - 1, std::memory_order_relaxed);
    }
    bool has(uint64_t flag) const { return flags.load(std::memory_order_relaxed) & flag; }

    /// The answer to in_use() of one that makes nodes at each look-up and counts them, the root included.
    bool nodes_in_use(uint64_t nodes) const;

    const char* type_name = "";           ///< file system type, static
    char source[64] = {};                 ///< as given to mount(2)
    std::atomic<uint64_t> flags{0};       ///< mount_flags::kept
    std::atomic<uint64_t> super_flags{0}; ///< mount_flags::kept_by_super; not of a bind mount
    std::atomic<uint32_t> writers{0};     ///< open files that may write
    std::atomic<uint32_t> binds{0};       ///< bind mounts of it that are not over yet
    std::atomic<uint32_t> viewed{0};      ///< views of nodes below the root, by all of them
    std::atomic<uint32_t> attached{0};    ///< it is in the table
    std::atomic<uint32_t> expiry{0};      ///< MNT_EXPIRE: 2 since that was asked for, less for each walk into it since
    std::atomic<uint32_t> unbindable{0};  ///< MS_UNBINDABLE: no bind mount shows it
    RefPtr<Mount> bound;                  ///< of a bind mount: what it shows
    uint64_t device = 0;                  ///< st_dev of its nodes
    uint32_t id = 0;
    bool keeps_names = false; ///< names change through calls alone, so they can be kept; set before it is attached
    RefPtr<Vnode> root;       ///< set before it is attached, gone with teardown
    RefPtr<Vnode> covered;    ///< m = mount table's lock; directory below; nullptr: the root mount
    Mount* next = nullptr;    ///< m; the table, in order of mounting
    Mount* copy = nullptr;    ///< change lock; while a tree of mounts is copied
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
/// How mount_detach goes about what is in use: not at all, as MNT_DETACH and as MNT_EXPIRE have it.
enum class Detach : uint32_t { unused, lazily, expired };
/// Detaches the mount whose root is `root`: inval if it is none, busy if it is in use or has mounts on it. Lazily those on it
/// go with it, and it ends with its last user. `expired`: again (EAGAIN) unless it was asked for before, and nobody has been
/// in there since.
Result<void> mount_detach(Vnode& root, Detach how);
/// Once, at boot: starts the kernel thread that frees lazily detached mounts soon after their last user.
void mount_start_sweeper();
/// Changes flags and options of the mount whose root is `root`: inval if it is none, busy if it shall be read-only and files
/// are open for writing, or removed files still in use.
Result<void> mount_change(Vnode& root, uint64_t flags, std::string_view options);
/// The same for what concerns this mount alone (MS_REMOUNT|MS_BIND): busy if files are open for writing through it.
Result<void> mount_change_here(Vnode& root, uint64_t flags);

// What changes the tree of mounts (mount_tree.cpp). `directory` is what is topmost there.
/// `directory` shows `source` from now on; with `recursive` also what is mounted below that. inval: it cannot be shown (it is
/// unbindable, or in a detached mount); notdir: one is a directory and the other is not.
Result<void> mount_bind(Vnode& source, RefPtr<Vnode> directory, bool recursive);
/// The mount whose root is `root` lies on `directory` from now on. inval, loop.
Result<void> mount_move(Vnode& root, RefPtr<Vnode> directory);
/// MS_PRIVATE, MS_SLAVE, MS_UNBINDABLE, for all mounts below too if `recursive`: inval for other kinds.
Result<void> mount_set_propagation(Vnode& root, uint64_t kind, bool recursive);
/// pivot_root(2): `new_root`, the root of a mount, becomes that of all processes whose root is `root`, which then lies on
/// `put_old`. busy, inval, noent.
Result<void> mount_pivot(Vnode& root, Vnode& new_root, RefPtr<Vnode> put_old);
/// Whether something is mounted on another view of `node`.
bool mount_covers_view_of(Vnode& node);
/// The path of a mount's root in its file system, as mountinfo has it; its length.
size_t mount_root_path(Mount& mount, std::span<char> buffer);

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
