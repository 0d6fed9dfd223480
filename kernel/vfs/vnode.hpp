// SPDX-License-Identifier: BSD-2-Clause
// Vnodes: files, directories, links and devices of every file system, and mounts.
#pragma once

#include <string_view>

#include <bsd/cred.hpp>
#include <bsd/file.hpp>

namespace lentil {

class Mount;

enum class VnodeType : uint32_t { regular, directory, symlink, character, block, fifo, socket };

/// mode_t file type bits (S_IFMT).
namespace file_mode {
inline constexpr uint32_t type_mask = 0170000, fifo = 0010000, character = 0020000, directory = 0040000,
                          block = 0060000, regular = 0100000, symlink = 0120000, socket = 0140000, set_uid = 04000,
                          set_gid = 02000, sticky = 01000;
}

/// What chmod, chown, utimensat and truncate change; only the fields that are asked for.
struct AttributeChange {
    bool set_mode = false, set_uid = false, set_gid = false, set_size = false, set_atime = false, set_mtime = false;
    uint32_t mode = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    uint64_t size = 0;
    nanos_t atime = 0, mtime = 0;
};

struct FsStat {
    uint64_t magic = 0, block_size = 4096, blocks = 0, blocks_free = 0,
             blocks_reserved = 0, ///< of the free ones, for the superuser only
        files = 0, files_free = 0, name_max = 255, flags = 0;
};

/// Who may do what with a node, without the rest of stat.
struct NodeOwner {
    uint32_t mode = 0; ///< with the type bits
    uid_t uid = 0;
    gid_t gid = 0;
};

/// rename(2) flags, Linux values.
namespace rename_flags {
inline constexpr uint32_t no_replace = 1, exchange = 2;
}

/// What fallocate(2) does, Linux values.
namespace allocate_flags {
inline constexpr uint32_t keep_size = 1, punch_hole = 2, collapse_range = 8, zero_range = 16, insert_range = 32;
}

/// One node. Operations check kinds (notdir, isdir...), callers check permissions (vfs/access.hpp) and names. Directory
/// operations are serialised by the file system itself. Keeps its mount alive.
class Vnode : public FsNode {
public:
    Vnode(VnodeType node_type, Mount& node_mount);
    ~Vnode() override;
    void file_ended(File& file) final;
    void watched_ended() final;

    virtual Result<FileStat> stat() = 0;
    virtual NodeOwner owner() = 0;
    virtual Result<void> change(const AttributeChange&) { return Errno::perm; }
    /// Permission is checked already. `as` is what the file says it was opened as: the node, or a view of it.
    virtual Result<RefPtr<File>> open(uint32_t flags, Vnode& as) = 0;
    Result<RefPtr<File>> open(uint32_t flags) { return open(flags, *this); }

    // directories
    virtual Result<RefPtr<Vnode>> lookup(std::string_view) { return Errno::notdir; } ///< noent
    virtual Result<RefPtr<Vnode>> parent() { return Errno::notdir; } ///< ".."; of a file system's root: itself
    struct NewNode {
        VnodeType type;
        uint32_t mode; ///< permission bits
        uid_t uid;
        gid_t gid;
        uint64_t rdevice = 0;
        std::string_view target{}; ///< symlinks
    };
    virtual Result<RefPtr<Vnode>> create(std::string_view, const NewNode&) { return Errno::notdir; } ///< exist
    virtual Result<RefPtr<Vnode>> create_unnamed(const NewNode&) { return Errno::opnotsupp; }        ///< O_TMPFILE
    virtual Result<void> link(std::string_view, Vnode&) { return Errno::perm; }
    virtual Result<void> unlink(std::string_view) { return Errno::perm; } ///< isdir
    virtual Result<void> rmdir(std::string_view) { return Errno::perm; }  ///< notempty
    /// Moves `name` here to `new_directory`/`new_name`, replacing what is there as rename(2) says.
    virtual Result<void> rename(std::string_view, Vnode&, std::string_view, uint32_t) { return Errno::perm; }
    /// Hands entries after `position` to `sink` until it is full or there are none; leaves `position` after the last that
    /// was taken. Positions stay good while others add and remove entries.
    virtual Result<void> read_directory(off_t&, DirectorySink&) { return Errno::notdir; }

    /// Puts `upper` over this directory: busy if one is there, noent if the directory was removed.
    virtual Result<void> cover(Mount& upper) {
        if (covered_by.load(std::memory_order_relaxed))
            return Errno::busy;
        covered_by.store(&upper, std::memory_order_release);
        return {};
    }
    /// What `cover` put here goes; with the mount table's lock.
    virtual void uncover() { covered_by.store(nullptr, std::memory_order_release); }

    // extended attributes (vfs/xattr.hpp says what each promises)
    virtual Result<size_t> get_xattr(std::string_view, std::span<char>) { return Errno::opnotsupp; }
    virtual Result<void> set_xattr(std::string_view, std::string_view, uint32_t) { return Errno::opnotsupp; }
    virtual Result<void> remove_xattr(std::string_view) { return Errno::opnotsupp; }
    virtual Result<size_t> list_xattrs(std::span<char>, bool) { return size_t{0}; }

    // symbolic links
    virtual Result<size_t> read_link(std::span<char>) { return Errno::inval; }
    /// Magic links of procfs (/proc/PID/fd/N, exe, cwd): where they lead without a path; nullptr: follow the text.
    virtual Result<RefPtr<Vnode>> follow() { return RefPtr<Vnode>(); }

    // contents, for VnodeFile
    virtual Result<size_t> read_at(Uio&, off_t) { return Errno::inval; }
    /// With `append` writes at the end and sets `position` to where that was.
    virtual Result<size_t> write_at(Uio&, off_t&, bool) { return Errno::inval; }
    /// SEEK_DATA and SEEK_HOLE; opnotsupp: what is in `object` is what there is.
    virtual Result<off_t> seek_data(off_t, bool) { return Errno::opnotsupp; }
    /// fallocate(2) for [offset, end): 0 or `keep_size`, `zero_range` too, or `punch_hole`. nospc, opnotsupp.
    virtual Result<void> allocate(uint32_t, uint64_t, uint64_t) { return Errno::opnotsupp; }
    /// fsync; with `data_only` fdatasync.
    virtual Result<void> sync(bool) { return {}; }
    /// The memory that holds the contents (mmap, SEEK_DATA); nullptr if there is none.
    virtual RefPtr<VmObject> object() { return nullptr; }
    /// Of files of tmpfs; nullptr: the file system has no seals.
    virtual FileSeals* seals() { return nullptr; }

    /// One name of the node and the directory it is in; noent if it has none any more.
    struct Name {
        RefPtr<Vnode> directory;
        size_t length = 0;
    };
    virtual Result<Name> name(std::span<char>) { return Errno::noent; }
    /// What a file that no directory ever named is shown as; empty: as nothing.
    virtual std::string_view shown_as() const { return {}; }

    virtual Result<FsStat> fs_stat();

    /// What all views of a node through bind mounts are views of (vfs/bind.hpp); of any other node itself. Names change, and
    /// are watched, there.
    Vnode& real() { return is_view ? below() : *this; }
    FsNode& shared() final { return real(); }
    /// `node`, found in what this is a view of, as it is seen here.
    virtual Result<RefPtr<Vnode>> see(RefPtr<Vnode> node) { return node; }

    // A file is either open for writing or run as a program, never both; one more of the other kind: txtbsy.
    Result<void> add_writer() { return real().count_use(1); }
    void drop_writer() { real().uses_.fetch_sub(1, std::memory_order_relaxed); }
    Result<void> add_program() { return real().count_use(-1); }
    void drop_program() { real().uses_.fetch_add(1, std::memory_order_relaxed); }
    bool is_program() { return real().uses_.load(std::memory_order_relaxed) < 0; }
    bool has_writer() { return real().uses_.load(std::memory_order_relaxed) > 0; }
    bool counts_writers = true;     ///< false while memfd_create opens it: who made it may run it and still write to it
    bool is_view = false;           ///< set before it is seen
    std::atomic<uint32_t> views{0}; ///< how many there are; each has a reference, which makes no mount busy but its own

    /// Whether the one name that a look-up found it by will do for as long as it has that; no if the file system has to be
    /// told each time which of several names was used.
    virtual bool is_named_once() { return type == VnodeType::directory; }
    void forget_names() override;
    /// Where the mode is that owner() tells; nullptr: only there.
    const std::atomic<uint32_t>* mode_at = nullptr;
    std::atomic<uint64_t> names_id{0};     ///< of a directory in the name cache, never used twice; 0: no name is there
    std::atomic<uint64_t> name_changes{0}; ///< under way (low 16 bits) and over; see vfs/name_cache.hpp
    /// Made by O_TMPFILE without O_EXCL: it may get its first name. Any other without a name never gets one again.
    std::atomic<uint32_t> may_get_name{0};

    const VnodeType type;
    Mount* const mount;
    std::atomic<Mount*> covered_by{nullptr}; ///< a mount on this directory; changes one at a time, see mount.cpp

private:
    virtual Vnode& below() { return *this; } ///< of a view

    Result<void> count_use(int32_t by) {
        int32_t uses = uses_.load(std::memory_order_relaxed);
        do {
            if (by > 0 ? uses < 0 : uses > 0)
                return Errno::txtbsy;
        } while (!uses_.compare_exchange_weak(uses, uses + by, std::memory_order_relaxed));
        return {};
    }
    std::atomic<int32_t> uses_{0}; ///< writers, or minus the programs that run it
};

inline Vnode& as_vnode(FsNode& node) { return static_cast<Vnode&>(node); }

constexpr uint32_t mode_of(VnodeType t) {
    switch (t) {
    case VnodeType::regular: return file_mode::regular;
    case VnodeType::directory: return file_mode::directory;
    case VnodeType::symlink: return file_mode::symlink;
    case VnodeType::character: return file_mode::character;
    case VnodeType::block: return file_mode::block;
    case VnodeType::fifo: return file_mode::fifo;
    case VnodeType::socket: return file_mode::socket;
    }
    return 0;
}
/// The other way round: uclean if these are no type bits.
inline Result<VnodeType> type_of_mode(uint32_t mode) {
    for (const VnodeType t : {VnodeType::regular, VnodeType::directory, VnodeType::symlink, VnodeType::character,
                              VnodeType::block, VnodeType::fifo, VnodeType::socket})
        if ((mode & file_mode::type_mask) == mode_of(t))
            return t;
    return Errno::uclean;
}
/// DT_* of a directory entry.
constexpr uint32_t entry_type_of(VnodeType t) { return mode_of(t) >> 12; }

/// dev_t as Linux passes it in stat and mknod.
constexpr uint64_t make_device(uint32_t major, uint32_t minor) {
    return (minor & 0xff) | uint64_t{major & 0xfff} << 8 | uint64_t{minor & ~0xffu} << 12;
}
constexpr uint32_t device_major(uint64_t device) { return static_cast<uint32_t>(device >> 8 & 0xfff); }
constexpr uint32_t device_minor(uint64_t device) {
    return static_cast<uint32_t>((device & 0xff) | (device >> 12 & 0xfff00));
}

} // namespace lentil
