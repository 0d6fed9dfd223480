// SPDX-License-Identifier: BSD-2-Clause
// Calls about extended attributes: of what a path names, of a link itself (l*), of an open file (f*).
#include <algorithm>

#include <abi/files.hpp>
#include <abi/sys_file.hpp>
#include <vfs/vfs.hpp>
#include <vfs/xattr.hpp>

namespace lentil::abi {

namespace {

Result<RefPtr<Vnode>> node_at(const VfsContext& context, UserPath path, bool follow) {
    const UserString name = TRY(path.copy());
    return vfs::resolve(context, vfs::at_cwd, name.view(), follow ? 0 : vfs::at_flags::symlink_nofollow);
}

Result<RefPtr<Vnode>> node_of_fd(int fd) {
    const FileHold file = TRY(open_file(fd));
    Result<RefPtr<Vnode>> node = vfs::node_of(*file);
    if (!node)
        return Errno::opnotsupp;
    return node;
}

Result<UserString> name_of(UserPath address) {
    Result<UserString> name = address.copy();
    if (!name && name.error() == Errno::nametoolong)
        return Errno::range;
    if (name && (name->view().empty() || name->view().size() > xattr_name_max))
        return Errno::range;
    return name;
}

template<class Find>
Result<void> set(UserPath name_address, uint64_t value, uint64_t size, uint32_t flags, Find find) {
    if (flags & ~(xattr_flags::create | xattr_flags::replace))
        return Errno::inval;
    const UserString name = TRY(name_of(name_address));
    if (size > xattr_value_max)
        return Errno::toobig;
    Buffer<char> copy = TRY(Buffer<char>::create_uninitialized(size));
    TRY(copyin(copy.data(), value, size));
    const VfsContext context = VfsContext::current();
    const RefPtr<Vnode> node = TRY(find(context));
    return vfs::set_xattr(context, *node, name.view(), {copy.data(), size}, flags);
}

template<class Find>
Result<size_t> get(UserPath name_address, uint64_t value, uint64_t size, Find find) {
    const UserString name = TRY(name_of(name_address));
    Buffer<char> copy = TRY(Buffer<char>::create_uninitialized(std::min(size, uint64_t{xattr_value_max})));
    const VfsContext context = VfsContext::current();
    const RefPtr<Vnode> node = TRY(find(context));
    const size_t n = TRY(vfs::get_xattr(context, *node, name.view(), copy.span()));
    if (size > 0)
        TRY(copyout(value, copy.data(), n));
    return n;
}

template<class Find>
Result<size_t> list(uint64_t names, uint64_t size, Find find) {
    Buffer<char> copy = TRY(Buffer<char>::create_uninitialized(std::min(size, uint64_t{xattr_list_max})));
    const VfsContext context = VfsContext::current();
    const RefPtr<Vnode> node = TRY(find(context));
    const size_t n = TRY(vfs::list_xattrs(context, *node, copy.span()));
    if (size > 0)
        TRY(copyout(names, copy.data(), n));
    return n;
}

template<class Find>
Result<void> remove(UserPath name_address, Find find) {
    const UserString name = TRY(name_of(name_address));
    const VfsContext context = VfsContext::current();
    const RefPtr<Vnode> node = TRY(find(context));
    return vfs::remove_xattr(context, *node, name.view());
}

struct ByPath {
    UserPath path;
    bool follow;
    Result<RefPtr<Vnode>> operator()(const VfsContext& context) const { return node_at(context, path, follow); }
};
struct ByDescriptor {
    int fd;
    Result<RefPtr<Vnode>> operator()(const VfsContext&) const { return node_of_fd(fd); }
};

} // namespace

Result<void> sys_setxattr(UserPath path, UserPath name, uint64_t value, uint64_t size, uint32_t flags) {
    return set(name, value, size, flags, ByPath{path, true});
}
Result<void> sys_lsetxattr(UserPath path, UserPath name, uint64_t value, uint64_t size, uint32_t flags) {
    return set(name, value, size, flags, ByPath{path, false});
}
Result<void> sys_fsetxattr(int fd, UserPath name, uint64_t value, uint64_t size, uint32_t flags) {
    return set(name, value, size, flags, ByDescriptor{fd});
}
Result<size_t> sys_getxattr(UserPath path, UserPath name, uint64_t value, uint64_t size) {
    return get(name, value, size, ByPath{path, true});
}
Result<size_t> sys_lgetxattr(UserPath path, UserPath name, uint64_t value, uint64_t size) {
    return get(name, value, size, ByPath{path, false});
}
Result<size_t> sys_fgetxattr(int fd, UserPath name, uint64_t value, uint64_t size) {
    return get(name, value, size, ByDescriptor{fd});
}
Result<size_t> sys_listxattr(UserPath path, uint64_t names, uint64_t size) {
    return list(names, size, ByPath{path, true});
}
Result<size_t> sys_llistxattr(UserPath path, uint64_t names, uint64_t size) {
    return list(names, size, ByPath{path, false});
}
Result<size_t> sys_flistxattr(int fd, uint64_t names, uint64_t size) { return list(names, size, ByDescriptor{fd}); }
Result<void> sys_removexattr(UserPath path, UserPath name) { return remove(name, ByPath{path, true}); }
Result<void> sys_lremovexattr(UserPath path, UserPath name) { return remove(name, ByPath{path, false}); }
Result<void> sys_fremovexattr(int fd, UserPath name) { return remove(name, ByDescriptor{fd}); }

} // namespace lentil::abi
