// SPDX-License-Identifier: BSD-2-Clause
// inotify's calls.
#include <abi/files.hpp>
#include <abi/sys_file.hpp>
#include <vfs/access.hpp>
#include <vfs/inotify.hpp>
#include <vfs/lookup.hpp>
#include <vfs/vfs.hpp>

namespace lentil::abi {

Result<int> sys_inotify_init1(uint32_t flags) {
    if (flags & ~(open_flags::cloexec | open_flags::nonblock))
        return Errno::inval;
    return install_file(TRY(inotify_create(flags & open_flags::nonblock)), flags & open_flags::cloexec);
}

Result<int> sys_inotify_add_watch(int fd, UserPath path, uint32_t mask) {
    using namespace inotify_events;
    constexpr uint32_t known = all | unmount | overflow | ignored | only_dir | dont_follow | excl_unlink | mask_create |
                               mask_add | is_dir | one_shot;
    if (!(mask & known))
        return Errno::inval;
    const FileHold file = TRY(any_file(fd));
    if ((mask & mask_add) && (mask & mask_create))
        return Errno::inval;
    if (!file->inotify())
        return Errno::inval;
    const UserString name = TRY(path.copy());
    const VfsContext context = VfsContext::current();
    const RefPtr<Vnode> node =
        TRY(vfs::resolve(context, vfs::at_cwd, name.view(), mask & dont_follow ? vfs::at_flags::symlink_nofollow : 0));
    if ((mask & only_dir) && node->type != VnodeType::directory)
        return Errno::notdir;
    TRY(check_access(*node, *context.cred, may::read));
    return inotify_add(*file, *node, mask);
}

Result<void> sys_inotify_rm_watch(int fd, int watch) {
    const FileHold file = TRY(any_file(fd));
    return inotify_remove(*file, watch);
}

} // namespace lentil::abi
