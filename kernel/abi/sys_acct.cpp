// SPDX-License-Identifier: BSD-2-Clause
// acct(2).
#include <abi/sys_misc.hpp>
#include <bsd/acct.hpp>
#include <vfs/vfs.hpp>

namespace lentil::abi {

Result<void> sys_acct(vaddr_t path) {
    if (!current_proc().cred()->capable(Capability::sys_pacct))
        return Errno::perm;
    if (path == 0) {
        acct_set_file(nullptr);
        return {};
    }
    const UserString name = TRY(UserString::copy(path));
    RefPtr<File> file = TRY(vfs::open(VfsContext::current(), vfs::at_cwd, name.view(),
                                      open_flags::write_only | open_flags::append | open_flags::largefile, 0));
    const FileStat stat = TRY(file->stat());
    if ((stat.mode & 0170000) != 0100000)
        return Errno::acces;
    acct_set_file(std::move(file));
    return {};
}

} // namespace lentil::abi
