// SPDX-License-Identifier: BSD-2-Clause
// The path walk and its reverse.
#include <algorithm>
#include <cstring>

#include <bsd/proc.hpp>
#include <vfs/access.hpp>
#include <vfs/lookup.hpp>
#include <vfs/mount.hpp>
#include <vfs/name_cache.hpp>

namespace lentil {

namespace {
RefPtr<Vnode> vnode_ref(const RefPtr<FsNode>& node) { return RefPtr<Vnode>(static_cast<Vnode*>(node.get())); }

/// ".." of `node`: stops at the context's root, leaves mounts by the directory that they cover.
Result<RefPtr<Vnode>> up(const VfsContext& context, RefPtr<Vnode> node) {
    for (;;) {
        if (node.get() == context.root.get())
            return mount_cross_down(std::move(node));
        RefPtr<Vnode> covered = mount_covered(*node);
        if (!covered)
            break;
        node = std::move(covered);
    }
    return mount_cross_down(TRY(node->parent()));
}

/// The text of a link with what is left of the path behind it.
Result<Buffer<char>> splice(Vnode& link, std::string_view rest, bool trailing_slash, size_t& length) {
    char shorter[128]; // most are
    Buffer<char> longer;
    std::span<char> text = shorter;
    size_t n = TRY(link.read_link(text));
    if (n == text.size()) {
        longer = TRY(Buffer<char>::create_uninitialized(path_max - 1));
        text = longer.span();
        n = TRY(link.read_link(text));
    }
    if (n == 0)
        return Errno::noent;
    const bool more = !rest.empty() || trailing_slash;
    length = n + (more ? 1 + rest.size() : 0);
    Buffer<char> joined = TRY(Buffer<char>::create_uninitialized(length));
    memcpy(joined.data(), text.data(), n);
    if (more) {
        joined[n] = '/';
        memcpy(joined.data() + n + 1, rest.data(), rest.size());
    }
    return joined;
}

/// Takes the first name and the slashes after it off `rest`.
std::string_view next_name(std::string_view& rest, bool& slash) {
    const std::string_view name = rest.substr(0, rest.find('/'));
    rest.remove_prefix(name.size());
    slash = !rest.empty();
    rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
    return name;
}
} // namespace

VfsContext VfsContext::current() {
    const Proc& proc = current_proc();
    // Directories and credentials change through calls of their own thread alone, unless others share them.
    if (proc.is_single() && proc.cwd->ref_count() == 1) [[likely]] {
        CwdInfo& info = *proc.cwd;
        return {Hold<Vnode>::borrowed(&as_vnode(info.own_root())), Hold<Vnode>::borrowed(&as_vnode(info.own_cwd())),
                Hold<const Cred>::borrowed(proc.cred_.get()), info.umask.load(std::memory_order_relaxed)};
    }
    return of(proc);
}

VfsContext VfsContext::of(const Proc& proc) {
    const RefPtr<CwdInfo> info = proc.cwd_info();
    return {vnode_ref(info->root()), vnode_ref(info->cwd()), proc.cred(), info->umask.load(std::memory_order_relaxed)};
}

Result<VfsContext> VfsContext::kernel() {
    RefPtr<Vnode> root = mount_root();
    return VfsContext{RefPtr<Vnode>(root), RefPtr<Vnode>(root), RefPtr<const Cred>(TRY(make_ref<Cred>())), 0};
}

namespace {

/// How far the name cache alone led.
enum class Reached : uint32_t {
    name,   ///< to a name that it does not know about, or that wants a closer look
    link,   ///< to a symbolic link that is to be followed
    node,   ///< to the end
    absent, ///< to a last name that does not exist
    nothing ///< what it led to is going: to be done without it
};

/// A walk under way.
struct Position {
    Vnode* directory;      ///< of the next name; kept by `held`, or by the caller of the walk
    std::string_view rest; ///< from the next name on
    RefPtr<Vnode> held, node;
    std::string_view name; ///< the last one read; set for a link, a node or an absent one
    bool slash = false;    ///< one or more after it
};

/// The rest of may_search(); its answer is the slow walk's error.
[[gnu::noinline]] bool may_search_alone(Vnode& directory, const Cred& cred) {
    return check_access(directory, cred, may::exec).ok();
}

inline bool may_search(Vnode& directory, const Cred& cred) {
    constexpr uint32_t all = 0111;
    const std::atomic<uint32_t>* const mode = directory.mode_at;
    if (mode && (mode->load(std::memory_order_relaxed) & all) == all) [[likely]]
        return true;
    return may_search_alone(directory, cred);
}

/// What is mounted over `node`, which stays as long as a reader may have seen it there.
inline Vnode* top_of(Vnode* node) {
    while (Mount* upper = node->covered_by.load(std::memory_order_relaxed))
        [[unlikely]] {
            std::atomic_thread_fence(std::memory_order_acquire);
            upper->was_entered();
            node = upper->root.get();
        }
    return node;
}

/// Goes from name to name as long as the cache knows where they lead. Whatever needs a closer look, errors but for a missing
/// name included, is left to the walk. `at` is told how far it came; without one, a node in the last place or a missing one is
/// all that counts. A node comes with a reference.
template<class At>
[[gnu::always_inline]] inline Reached walk_quickly(const Cred& cred, Vnode* directory, std::string_view path,
                                                   uint32_t flags, Vnode*& node, At at) {
    constexpr bool tells = !std::is_null_pointer_v<At>;
    if (!name_cache::table.load(std::memory_order_acquire))
        return Reached::name;
    const char* p = path.data();
    const char* const end = p + path.size();
    [[maybe_unused]] Vnode* const from = directory;
    const name_cache::Reader reader;
    Reached reached = Reached::name;
    while (p != end && *p == '/')
        p++;
    for (;;) {
        const char* const begin = p;
        if constexpr (tells)
            at->rest = {p, static_cast<size_t>(end - p)};
        const uint64_t id = directory->names_id.load(std::memory_order_relaxed);
        if (p == end || id == 0) // which only a directory has
            break;
        name_cache::Name::More more;
        name_cache::Name name(more);
        p = name.read(id, p, end);
        if (!p || !may_search(*directory, cred))
            break;
        const NameEntry* const entry = reader.find(id, name);
        if (!entry)
            break;
        const bool slash = p != end;
        while (p != end && *p == '/')
            p++;
        const bool last = p == end;
        Vnode* const next = entry->node ? top_of(entry->node) : nullptr;
        if (!next) {
            reached = Reached::absent; // also before the last name: nothing can lie below
        } else {
            if (!last && next->type != VnodeType::symlink) {
                directory = next;
                continue;
            }
            if (next->type == VnodeType::symlink && (!last || slash || (flags & walk_flags::follow)))
                reached = Reached::link;
            else if (slash && next->type != VnodeType::directory)
                break;
            else
                reached = Reached::node;
            if (!tells && reached == Reached::link)
                return Reached::name;
            if (!next->try_ref())
                return Reached::nothing;
            node = next;
        }
        if constexpr (tells) {
            at->name = {begin, name.length};
            at->slash = slash;
            at->rest = {p, static_cast<size_t>(end - p)};
        }
        break;
    }
    if constexpr (tells)
        if (directory != from) {
            if (!directory->try_ref())
                return Reached::nothing;
            at->directory = directory;
            at->held = RefPtr<Vnode>::adopt(directory); // at->held was empty: nothing goes in here
        }
    return reached;
}

Result<RefPtr<Vnode>> look_up(Vnode& directory, std::string_view name) {
    const uint64_t before = name_cache::changes_of(directory);
    Result<RefPtr<Vnode>> found = directory.lookup(name);
    if (found || found.error() == Errno::noent)
        name_cache::enter(directory, name, found ? found->get() : nullptr, before);
    return found;
}

/// The same for a walk under way; what that needs in memory is kept until the section is over.
Reached go_on_quickly(const Cred& cred, Position& at, uint32_t flags) {
    const RefPtr<Vnode> before = std::move(at.held);
    Vnode* const from = at.directory;
    const std::string_view rest = at.rest;
    Vnode* node = nullptr;
    const Reached reached = walk_quickly(cred, from, rest, flags, node, &at);
    at.node = RefPtr<Vnode>::adopt(node);
    if (reached == Reached::nothing)
        at = {from, rest, before, nullptr, {}};
    else if (at.directory == from)
        at.held = before;
    return reached;
}

/// The way from there.
Result<void> walk_on(const VfsContext& context, Position& position, uint32_t flags, Located& at, bool want_parent) {
    // What bounds a walk is looked at name by name.
    const uint32_t bounds = context.resolve;
    const RefPtr<Vnode> base = bounds & walk_flags::beneath ? ref(position.directory) : RefPtr<Vnode>();
    const bool one_mount = bounds & walk_flags::no_mounts;
    if (base && position.rest.starts_with('/'))
        return Errno::xdev;
    bool quickly = bounds == 0;
    for (unsigned links = 0;;) {
        Reached reached = quickly ? go_on_quickly(*context.cred, position, flags) : Reached::name;
        if (reached == Reached::nothing) {
            quickly = false;
            reached = Reached::name;
        }
        RefPtr<Vnode> next = std::move(position.node);
        if (reached == Reached::node) {
            if (want_parent)
                at.parent = position.held ? std::move(position.held) : ref(position.directory);
            at.node = std::move(next);
            at.name = position.name;
            at.trailing_slash = position.slash;
            return {};
        }
        if (reached == Reached::name) {
            std::string_view& rest = position.rest;
            rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
            if (rest.empty()) { // "/" alone, or a link to it
                at.node = position.held ? std::move(position.held) : ref(position.directory);
                at.parent = at.node;
                at.kind = LastName::root;
                return {};
            }
            position.name = next_name(rest, position.slash);
        }
        const std::string_view name = position.name;
        const bool last = position.rest.empty(), slash = position.slash;
        Vnode& directory = *position.directory;
        if (reached == Reached::name) {
            if (directory.type != VnodeType::directory)
                return Errno::notdir;
            TRY(check_access(directory, *context.cred, may::exec));
            if (name == "." || name == "..") {
                if (name == "..") {
                    if (base.get() == &directory)
                        return Errno::xdev;
                    RefPtr<Vnode> above = TRY(up(context, ref(directory)));
                    if (one_mount && above->mount != directory.mount)
                        return Errno::xdev;
                    position.held = std::move(above);
                    position.directory = position.held.get();
                }
                if (!last)
                    continue;
                at.kind = name == "." ? LastName::dot : LastName::dot_dot;
                at.node = position.held ? std::move(position.held) : ref(position.directory);
                at.parent = at.node;
                at.trailing_slash = slash;
                return {};
            }
            if (name.size() > name_max)
                return Errno::nametoolong;
            Result<RefPtr<Vnode>> found = look_up(directory, name);
            if (found)
                next = mount_cross_down(std::move(*found));
            else if (found.error() != Errno::noent)
                return found.error();
        }
        if (!next) {
            if (!last || !(flags & walk_flags::parent))
                return Errno::noent;
            at.parent = position.held ? std::move(position.held) : ref(directory);
            at.name = name;
            at.trailing_slash = slash;
            return {};
        }
        if (one_mount && next->mount != directory.mount)
            return Errno::xdev;
        if (next->type == VnodeType::symlink && (!last || slash || (flags & walk_flags::follow))) {
            if (++links > max_symlinks || (bounds & walk_flags::no_symlinks) ||
                next->mount->has(mount_flags::no_sym_follow))
                return Errno::loop;
            RefPtr<Vnode> direct = TRY(next->follow());
            if (direct && (bounds & walk_flags::no_magic_links))
                return Errno::loop;
            if (direct && (base || (one_mount && direct->mount != directory.mount)))
                return Errno::xdev;
            if (!direct) {
                size_t length = 0;
                at.storage = TRY(splice(*next, position.rest, slash, length)); // the old `rest` is not used any more
                position.rest = {at.storage.data(), length};
                if (position.rest[0] == '/') {
                    if (base || (one_mount && context.root->mount != directory.mount))
                        return Errno::xdev;
                    position.held.reset();
                    position.directory = context.root.get();
                }
                continue;
            }
            next = std::move(direct);
        }
        if (last) {
            if (slash && next->type != VnodeType::directory)
                return Errno::notdir;
            if (want_parent)
                at.parent = position.held ? std::move(position.held) : ref(directory);
            at.node = std::move(next);
            at.name = name;
            at.trailing_slash = slash;
            return {};
        }
        position.directory = next.get();
        position.held = std::move(next);
    }
}

} // namespace

namespace {
Result<void> check_path(const Vnode* start, std::string_view path) {
    if (path.empty() || !start)
        return Errno::noent;
    if (path.size() >= path_max)
        return Errno::nametoolong;
    return {};
}

[[gnu::noinline]] Result<RefPtr<Vnode>> walk_slowly(const VfsContext& context, Vnode* start, std::string_view path,
                                                    uint32_t flags) {
    Located at;
    Position position{start, path, nullptr, nullptr, {}};
    TRY(walk_on(context, position, flags & ~walk_flags::parent, at, false));
    return std::move(at.node);
}
} // namespace

Result<void> walk(const VfsContext& context, Vnode* start, std::string_view path, uint32_t flags, Located& at) {
    start = path.starts_with('/') ? context.root.get() : start;
    TRY(check_path(start, path));
    Position position{start, path, nullptr, nullptr, {}};
    return walk_on(context, position, flags, at, true);
}

Result<RefPtr<Vnode>> walk_to(const VfsContext& context, Vnode* start, std::string_view path, uint32_t flags) {
    start = path.starts_with('/') ? context.root.get() : start;
    TRY(check_path(start, path));
    if (context.resolve != 0) [[unlikely]]
        return walk_slowly(context, start, path, flags);
    Vnode* node = nullptr;
    const Reached reached = walk_quickly(*context.cred, start, path, flags, node, nullptr);
    if (reached == Reached::node) [[likely]]
        return RefPtr<Vnode>::adopt(node);
    if (reached == Reached::absent)
        return Errno::noent;
    return walk_slowly(context, start, path, flags);
}

Result<size_t> path_of(Vnode& root, Vnode& node, std::span<char> buffer, size_t* deleted_length, bool* reached) {
    // Names go in from the end. A removed node shows as its last name alone.
    size_t begin = buffer.size();
    RefPtr<Vnode> at = ref(node);
    char name[name_max + 1];
    bool removed = false;
    while (at.get() != &root) {
        if (RefPtr<Vnode> covered = mount_covered(*at)) {
            at = std::move(covered);
            continue;
        }
        if (at == at->mount->root) // of a detached mount, or the first root as seen from inside a chroot
            break;
        Result<Vnode::Name> found = at->name(name);
        if (!found) {
            removed = true;
            const std::string_view text = begin == buffer.size() ? at->real().shown_as() : std::string_view();
            if (!text.empty() && begin > text.size()) {
                begin -= text.size();
                memcpy(buffer.data() + begin, text.data(), text.size());
                buffer[--begin] = '/';
            }
            break;
        }
        if (begin < found->length + 1)
            return Errno::range;
        begin -= found->length;
        memcpy(buffer.data() + begin, name, found->length);
        buffer[--begin] = '/';
        at = std::move(found->directory);
    }
    if (reached)
        *reached = at.get() == &root;
    if (begin == buffer.size()) {
        if (begin == 0)
            return Errno::range;
        buffer[--begin] = '/';
    }
    const size_t length = buffer.size() - begin;
    memmove(buffer.data(), buffer.data() + begin, length);
    if (!removed)
        return length;
    if (deleted_length) {
        constexpr std::string_view suffix = " (deleted)";
        const size_t room = std::min(suffix.size(), buffer.size() - length);
        memcpy(buffer.data() + length, suffix.data(), room);
        *deleted_length = length + room;
    }
    return Errno::noent;
}

size_t describe_node(Vnode& node, std::span<char> buffer) {
    RefPtr<Vnode> root = has_uthread() ? RefPtr<Vnode>(VfsContext::current().root) : mount_root();
    size_t deleted = 0;
    if (!root)
        return 0;
    Result<size_t> length = path_of(*root, node, buffer, &deleted);
    return length ? *length : deleted;
}

} // namespace lentil
