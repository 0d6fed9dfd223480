// SPDX-License-Identifier: BSD-2-Clause
// The hidden tmpfs behind memfd_create.
#include <bsd/proc.hpp>
#include <vfs/filesystems.hpp>
#include <vfs/memfd.hpp>
#include <vfs/tmpfs_file.hpp>

namespace lentil {
namespace {

constinit Mutex<Rank::exec> hidden_lock;
constinit Mount* hidden = nullptr; ///< made at the first use, kept for good

Result<Mount*> hidden_mount() {
    MutexGuard guard(hidden_lock);
    if (!hidden) {
        RefPtr<Mount> mount = TRY(tmpfs_mount({"memfd", "", 0}));
        hidden = mount.release();
    }
    return hidden;
}

} // namespace

Result<RefPtr<File>> memfd_create(bool executable, uint32_t seals) {
    Mount* mount = TRY(hidden_mount());
    const RefPtr<const Cred> cred = current_proc().cred();
    const RefPtr<Vnode> node =
        TRY(mount->root->create_unnamed({VnodeType::regular, executable ? 0777U : 0666U, cred->fsuid, cred->fsgid}));
    node->counts_writers = false;
    tmpfs_set_first_seals(*node, seals);
    return node->open(open_flags::read_write | open_flags::largefile);
}

} // namespace lentil
