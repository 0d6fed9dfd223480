// SPDX-License-Identifier: BSD-2-Clause
// The path walk and its reverse.
#pragma once

#include <vfs/vnode.hpp>

namespace lentil {

struct Proc;

inline constexpr size_t path_max = 4096, name_max = 255;
inline constexpr unsigned max_symlinks = 40;

/// On whose behalf and from where names are looked up.
struct VfsContext {
    Hold<Vnode> root, cwd;
    Hold<const Cred> cred;
    mode_t umask = 0;
    uint32_t resolve = 0; ///< walk_flags that bound every walk (openat2)

    /// The calling proc's, for the time of one system call. What only the caller's own thread could replace meanwhile is
    /// borrowed.
    static VfsContext current();
    /// That of a proc which the caller builds, or is.
    static VfsContext of(const Proc& proc);
    /// The kernel's own: the first root, all rights. nomem.
    static Result<VfsContext> kernel();
};

namespace walk_flags {
inline constexpr uint32_t follow = 1, ///< a symbolic link in the last place is followed
    parent = 2,                       ///< the last name need not exist
    no_symlinks = 4,                  ///< any symbolic link is loop
    no_magic_links = 8,               ///< a link of procfs without a path is loop
    beneath = 16,                     ///< what leads out of where the walk starts is xdev
    no_mounts = 32;                   ///< what leads to another mount is xdev
}

enum class LastName : uint32_t { normal, dot, dot_dot, root };

/// Where a path led.
struct Located {
    RefPtr<Vnode> parent;  ///< directory of the last name; not set by walk_to()
    RefPtr<Vnode> node;    ///< nullptr only with walk_flags::parent
    std::string_view name; ///< the last name; refers to the path or to `storage`
    LastName kind = LastName::normal;
    bool trailing_slash = false;
    Buffer<char> storage;
};

/// Looks up `path` from `start` (ignored if absolute), which the caller keeps. noent, notdir, acces, loop, nametoolong.
Result<void> walk(const VfsContext& context, Vnode* start, std::string_view path, uint32_t flags, Located& at);
/// The common case: the node that `path` names.
Result<RefPtr<Vnode>> walk_to(const VfsContext& context, Vnode* start, std::string_view path,
                              uint32_t flags = walk_flags::follow);

/// The path of `node` as seen from `root`, no terminator: its length. range if the buffer is too small; noent if the
/// node was removed, with "name (deleted)" in the buffer and its length in `*deleted_length`, if that is given.
/// `*reached`: whether the way up ended at `root`; if not, the path is that from where it ended.
Result<size_t> path_of(Vnode& root, Vnode& node, std::span<char> buffer, size_t* deleted_length = nullptr,
                       bool* reached = nullptr);
/// The same from the calling proc's root for texts that never fail: empty, or with " (deleted)", where it applies.
size_t describe_node(Vnode& node, std::span<char> buffer);

} // namespace lentil
