// SPDX-License-Identifier: BSD-2-Clause
// Permission checks: see access.hpp.
#include <vfs/access.hpp>
#include <vfs/mount.hpp>

namespace lentil {

namespace {
Result<void> check(Vnode& node, const Cred& cred, uint32_t mask, uid_t uid, gid_t gid) {
    const bool override = cred.capable(Capability::dac_override);
    const bool directory = node.type == VnodeType::directory;
    if (override && (directory || !(mask & may::exec)))
        return {};
    const NodeOwner owner = node.owner();
    uint32_t bits = owner.mode;
    if (owner.uid == uid)
        bits >>= 6;
    else if (owner.gid == gid || cred.in_group(owner.gid))
        bits >>= 3;
    if ((bits & mask) == mask)
        return {};
    if (override && (owner.mode & 0111)) // executing needs an x bit, whoever asks
        return {};
    if (cred.capable(Capability::dac_read_search) && !(mask & may::write) && (directory || mask == may::read))
        return {};
    return Errno::acces;
}
} // namespace

Result<void> check_access_of(Vnode& node, const Cred& cred, uint32_t mask) {
    return check(node, cred, mask, cred.fsuid, cred.fsgid);
}

Result<void> check_access_real(Vnode& node, const Cred& cred, uint32_t mask) {
    if (cred.uid == cred.fsuid && cred.gid == cred.fsgid)
        return check(node, cred, mask, cred.uid, cred.gid);
    // access(2) asks on behalf of the real user: capabilities count only if that is root
    RefPtr<Cred> real = TRY(cred.copy());
    real->cap_effective = cred.uid == 0 ? cred.cap_permitted : 0;
    return check(node, *real, mask, cred.uid, cred.gid);
}

Result<void> check_owner(Vnode& node, const Cred& cred) {
    if (cred.capable(Capability::fowner) || node.owner().uid == cred.fsuid)
        return {};
    return Errno::perm;
}

Result<void> check_delete(Vnode& directory, Vnode& victim, const Cred& cred) {
    TRY(check_access(directory, cred, may::write | may::exec));
    const NodeOwner owner = directory.owner();
    if ((owner.mode & file_mode::sticky) && owner.uid != cred.fsuid)
        TRY(check_owner(victim, cred));
    return {};
}

Result<void> check_writable(Vnode& node) {
    if (node.mount->read_only())
        return Errno::rofs;
    return {};
}

} // namespace lentil
