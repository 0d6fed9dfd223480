// SPDX-License-Identifier: BSD-2-Clause
// The path walk and its reverse.
#include <algorithm>
#include <cstring>

#include <bsd/proc.hpp>
#include <vfs/access.hpp>
#include <vfs/lookup.hpp>
#include <vfs/mount.hpp>

namespace lentil {

namespace {
RefPtr<Vnode> vnode_ref(const RefPtr<FsNode>& node) { return RefPtr<Vnode>(static_cast<Vnode*>(node.get())); }

/// ".." of `node`: stops at the context's root, leaves mounts by the directory that they cover.
Result<RefPtr<Vnode>> up(const VfsContext& context, RefPtr<Vnode> node) {
    for (;;) {
        if (node == context.root)
            return node;
        RefPtr<Vnode> covered = mount_covered(*node);
        if (!covered)
            break;
        node = std::move(covered);
    }
    return mount_cross_down(TRY(node->parent()));
}

/// The text of a link with what is left of the path behind it.
Result<Buffer<char>> splice(Vnode& link, std::string_view rest, bool trailing_slash, size_t& length) {
    Buffer<char> text = TRY(Buffer<char>::create(path_max));
    const size_t n = TRY(link.read_link(text.span().first(path_max - 1)));
    if (n == 0)
        return Errno::noent;
    length = n;
    if (rest.empty() && !trailing_slash)
        return text;
    Buffer<char> joined = TRY(Buffer<char>::create(n + 1 + rest.size()));
    memcpy(joined.data(), text.data(), n);
    joined[n] = '/';
    memcpy(joined.data() + n + 1, rest.data(), rest.size());
    length = joined.size();
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

VfsContext VfsContext::current() { return of(current_proc()); }

VfsContext VfsContext::of(const Proc& proc) {
    const RefPtr<CwdInfo> info = proc.cwd_info();
    return {vnode_ref(info->root()), vnode_ref(info->cwd()), proc.cred(), info->umask.load(std::memory_order_relaxed)};
}

Result<VfsContext> VfsContext::kernel() {
    RefPtr<Vnode> root = mount_root();
    return VfsContext{root, root, RefPtr<const Cred>(TRY(make_ref<Cred>())), 0};
}

Result<Located> walk(const VfsContext& context, RefPtr<Vnode> start, std::string_view path, uint32_t flags) {
    if (path.empty())
        return Errno::noent;
    if (path.size() >= path_max)
        return Errno::nametoolong;
    Located at;
    std::string_view rest = path;
    RefPtr<Vnode> node = rest[0] == '/' ? context.root : std::move(start);
    if (!node)
        return Errno::noent;
    for (unsigned links = 0;;) {
        rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
        if (rest.empty()) { // "/" alone, or a link to it
            at.node = at.parent = std::move(node);
            at.kind = LastName::root;
            return at;
        }
        bool slash = false;
        const std::string_view name = next_name(rest, slash);
        const bool last = rest.empty();
        if (node->type != VnodeType::directory)
            return Errno::notdir;
        TRY(check_access(*node, *context.cred, may::exec));
        if (name == "." || name == "..") {
            if (name == "..")
                node = TRY(up(context, std::move(node)));
            if (!last)
                continue;
            at.kind = name == "." ? LastName::dot : LastName::dot_dot;
            at.node = at.parent = std::move(node);
            at.trailing_slash = slash;
            return at;
        }
        if (name.size() > name_max)
            return Errno::nametoolong;
        Result<RefPtr<Vnode>> found = node->lookup(name);
        if (!found) {
            if (found.error() != Errno::noent || !last || !(flags & walk_flags::parent))
                return found.error();
            at.parent = std::move(node);
            at.name = name;
            at.trailing_slash = slash;
            return at;
        }
        RefPtr<Vnode> next = mount_cross_down(std::move(*found));
        if (next->type == VnodeType::symlink && (!last || slash || (flags & walk_flags::follow))) {
            if (++links > max_symlinks)
                return Errno::loop;
            RefPtr<Vnode> direct = TRY(next->follow());
            if (!direct) {
                size_t length = 0;
                at.storage = TRY(splice(*next, rest, slash, length)); // `name` and the old `rest` are not used any more
                rest = {at.storage.data(), length};
                if (rest[0] == '/')
                    node = context.root;
                continue;
            }
            next = std::move(direct);
        }
        if (last) {
            if (slash && next->type != VnodeType::directory)
                return Errno::notdir;
            at.parent = std::move(node);
            at.node = std::move(next);
            at.name = name;
            at.trailing_slash = slash;
            return at;
        }
        node = std::move(next);
    }
}

Result<RefPtr<Vnode>> walk_to(const VfsContext& context, RefPtr<Vnode> start, std::string_view path, uint32_t flags) {
    Located at = TRY(walk(context, std::move(start), path, flags & ~walk_flags::parent));
    return std::move(at.node);
}

Result<size_t> path_of(Vnode& root, Vnode& node, std::span<char> buffer, size_t* deleted_length) {
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
            break;
        }
        if (begin < found->length + 1)
            return Errno::range;
        begin -= found->length;
        memcpy(buffer.data() + begin, name, found->length);
        buffer[--begin] = '/';
        at = std::move(found->directory);
    }
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
    RefPtr<Vnode> root = has_uthread() ? VfsContext::current().root : mount_root();
    size_t deleted = 0;
    if (!root)
        return 0;
    Result<size_t> length = path_of(*root, node, buffer, &deleted);
    return length ? *length : deleted;
}

} // namespace lentil
