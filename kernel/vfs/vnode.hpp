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
    uint64_t magic = 0, block_size = 4096, blocks = 0, blocks_free = 0, files = 0, files_free = 0, name_max = 255, flags = 0;
};

/// One node. Operations check kinds (notdir, isdir...), callers check permissions (vfs/access.hpp) and names. Directory
/// operations are serialised by the file system itself.
class Vnode : public FsNode {
public:
    Vnode(VnodeType node_type, Mount& node_mount) : type(node_type), mount(&node_mount) {}

    virtual Result<FileStat> stat() = 0;
    virtual Result<void> change(const AttributeChange&) { return Errno::perm; }
    virtual Result<RefPtr<File>> open(uint32_t flags) = 0;  ///< permission is checked already

    // directories
    virtual Result<RefPtr<Vnode>> lookup(std::string_view) { return Errno::notdir; }  ///< noent
    virtual Result<RefPtr<Vnode>> parent() { return Errno::notdir; }                   ///< ".."
    struct NewNode {
        VnodeType type;
        uint32_t mode;
        uid_t uid;
        gid_t gid;
        uint64_t rdevice = 0;
        std::string_view target{}; ///< symlinks
    };
    virtual Result<RefPtr<Vnode>> create(std::string_view, const NewNode&) { return Errno::notdir; } ///< exist
    virtual Result<void> link(std::string_view, Vnode&) { return Errno::perm; }
    virtual Result<void> unlink(std::string_view) { return Errno::perm; }   ///< isdir
    virtual Result<void> rmdir(std::string_view) { return Errno::perm; }    ///< notempty
    /// Moves `name` here to `new_directory`/`new_name`, replacing what is there as rename(2) says.
    virtual Result<void> rename(std::string_view, Vnode&, std::string_view, uint32_t) { return Errno::perm; }

    // symbolic links
    virtual Result<size_t> read_link(std::span<char>) { return Errno::inval; }
    /// Magic links of procfs (/proc/PID/fd/N, exe, cwd): where they lead without a path; nullptr: follow the text.
    virtual RefPtr<Vnode> follow() { return nullptr; }

    virtual Result<FsStat> fs_stat();

    const VnodeType type;
    Mount* const mount;
    Mount* covered_by = nullptr; ///< a mount on this directory; guarded by the mount table's lock
};

inline Vnode& as_vnode(FsNode& node) { return static_cast<Vnode&>(node); }

} // namespace lentil
