// SPDX-License-Identifier: BSD-2-Clause
// inotify(7): who wants to hear what happens to a node, or to the names in a directory. What happens is told by the
// functions below, which vfs's operations call; while nobody watches anything each is a load and a branch.
#pragma once

#include <vfs/vnode.hpp>

namespace lentil {

/// Events and flags of a watch, Linux values (IN_*).
namespace inotify_events {
inline constexpr uint32_t access = 1, modify = 2, attrib = 4, close_write = 8, close_nowrite = 0x10, open = 0x20,
                          moved_from = 0x40, moved_to = 0x80, create = 0x100, remove = 0x200, remove_self = 0x400,
                          move_self = 0x800, unmount = 0x2000, overflow = 0x4000, ignored = 0x8000, only_dir = 1 << 24,
                          dont_follow = 1 << 25, excl_unlink = 1 << 26, mask_create = 1 << 28, mask_add = 1 << 29,
                          is_dir = 1 << 30, one_shot = 1u << 31, all = 0xfff;
}

// -- what user mode asks for (abi/) ------------------------------------------------------------------------------------

/// `flags`: nonblock. mfile above inotify_max_instances, nomem.
Result<RefPtr<File>> inotify_create(uint32_t flags);
/// A new watch, or another mask for one that is there. inval if `file` is no inotify; exist, nospc, nomem.
Result<int> inotify_add(File& file, Vnode& node, uint32_t mask);
/// inval if `file` is no inotify or has no such watch.
Result<void> inotify_remove(File& file, int watch);

extern std::atomic<uint32_t> inotify_max_instances, inotify_max_watches, inotify_max_events;

// -- what happens ------------------------------------------------------------------------------------------------------

inline bool inotify_in_use() { return fs_watches.load(std::memory_order_relaxed) != 0; }

namespace inotify_detail {
void entry(Vnode& directory, std::string_view name, uint32_t event, uint32_t cookie);
void node_alone(Vnode& node, uint32_t event);
void node_and_place(Vnode& node, const OpenedName* opened, uint32_t event);
void opened(File& file, Vnode* directory, std::string_view name);
void lost_name(Vnode& node);
} // namespace inotify_detail

/// Something happened to the name `name` in `directory`.
inline void inotify_entry(Vnode& directory, std::string_view name, uint32_t event, bool of_directory,
                          uint32_t cookie = 0) {
    if (inotify_in_use()) [[unlikely]]
        inotify_detail::entry(directory, name, event | (of_directory ? inotify_events::is_dir : 0), cookie);
}
/// To the node alone, whatever its name.
inline void inotify_node(Vnode& node, uint32_t event) {
    if (node.watches.load(std::memory_order_relaxed)) [[unlikely]]
        inotify_detail::node_alone(node, event);
}
/// To the node, and so to an entry of its directory.
inline void inotify_changed(Vnode& node, uint32_t event) {
    if (inotify_in_use()) [[unlikely]]
        inotify_detail::node_and_place(node, nullptr, event);
}
/// Through an open file.
inline void inotify_file(File& file, Vnode& node, uint32_t event) {
    if (inotify_in_use()) [[unlikely]]
        inotify_detail::node_and_place(node, file.opened_as, event);
}
/// A file was opened by this name (no directory: by a link without a path). Remembers the name while someone watches, since
/// what is done with the file later is told of that name, removed or not.
inline void inotify_opened(File& file, Vnode* directory, std::string_view name) {
    if (inotify_in_use()) [[unlikely]]
        inotify_detail::opened(file, directory, name);
}
/// The node has one name less (a directory: none): once it has none its watches do not keep it any more.
inline void inotify_lost_name(Vnode& node) {
    if (node.watches.load(std::memory_order_relaxed)) [[unlikely]]
        inotify_detail::lost_name(node);
}
/// A number that ties the two events of a rename together.
uint32_t inotify_next_cookie();

/// For its scope the watches of one mount do not count as users of its nodes.
class InotifyPause {
public:
    explicit InotifyPause(const Mount& mount);
    ~InotifyPause();
    InotifyPause(const InotifyPause&) = delete;
    InotifyPause& operator=(const InotifyPause&) = delete;

private:
    const Mount& mount_;
};
/// The mount goes: its watches end.
void inotify_unmounted(const Mount& mount);

} // namespace lentil
