// SPDX-License-Identifier: BSD-2-Clause
// The hidden tmpfs behind memfd_create.
#include <cstring>

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

Result<RefPtr<File>> memfd_create(std::string_view name, bool executable, uint32_t seals) {
    constexpr std::string_view prefix = "memfd:";
    Buffer<char> shown_as = TRY(Buffer<char>::create_uninitialized(prefix.size() + name.size()));
    memcpy(shown_as.data(), prefix.data(), prefix.size());
    memcpy(shown_as.data() + prefix.size(), name.data(), name.size());
    Mount* mount = TRY(hidden_mount());
    const RefPtr<const Cred> cred = current_proc().cred();
    const RefPtr<Vnode> node =
        TRY(mount->root->create_unnamed({VnodeType::regular, executable ? 0777U : 0666U, cred->fsuid, cred->fsgid}));
    node->counts_writers = false;
    tmpfs_become_memfd(*node, seals, std::move(shown_as));
    RefPtr<File> file = TRY(node->open(open_flags::read_write | open_flags::largefile));
    node->counts_writers = true;
    return file;
}

} // namespace lentil
