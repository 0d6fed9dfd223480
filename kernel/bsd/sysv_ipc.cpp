// SPDX-License-Identifier: BSD-2-Clause
// Who may do what with System V objects.
#include <bsd/sysv_ipc.hpp>

namespace lentil::sysv {

Owner Owner::of_caller(int32_t key, uint32_t flags) {
    const RefPtr<const Cred> cred = current_proc().cred();
    Owner owner;
    owner.key = key;
    owner.uid = owner.cuid = cred->euid;
    owner.gid = owner.cgid = cred->egid;
    owner.mode = flags & 0777;
    return owner;
}

Result<void> Owner::check(uint32_t wanted) const {
    const RefPtr<const Cred> cred = current_proc().cred();
    const auto in_group = [&](gid_t g) { return cred->egid == g || cred->in_group(g); };
    const uint32_t asked = (wanted >> 6 | wanted >> 3 | wanted) & 7;
    uint32_t granted = mode;
    if (cred->euid == cuid || cred->euid == uid)
        granted >>= 6;
    else if (in_group(cgid) || in_group(gid))
        granted >>= 3;
    if ((asked & ~granted) != 0 && !cred->capable(Capability::ipc_owner))
        return Errno::acces;
    return {};
}

Result<void> Owner::check_change() const {
    const RefPtr<const Cred> cred = current_proc().cred();
    if (cred->euid == cuid || cred->euid == uid || cred->capable(Capability::sys_admin))
        return {};
    return Errno::perm;
}

} // namespace lentil::sysv
