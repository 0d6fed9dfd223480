// SPDX-License-Identifier: BSD-2-Clause
// User and group ids, and capabilities: the rules of credentials(7) and capabilities(7).
#include <algorithm>

#include <abi/creator.hpp>
#include <abi/sys_misc.hpp>

namespace lentil::abi {
namespace {

constexpr uid_t unchanged = ~uid_t{0};

/// Capabilities that follow the file-system uid: chown, dac_override, dac_read_search, fowner, fsetid, linux_immutable,
/// mknod, mac_override.
constexpr uint64_t fs_capabilities = 0x1f | uint64_t{1} << 9 | uint64_t{1} << 27 | uint64_t{1} << 32;

namespace securebit {
constexpr uint32_t no_setuid_fixup = 1 << 2;
}

/// One change of the current proc's credentials: a private copy, edited, then published.
class CredChange {
public:
    CredChange() : proc_(current_proc()), guard_(proc_.exec_lock), old_(proc_.cred()) {}
    Result<void> begin() {
        fresh_ = TRY(old_->copy());
        return {};
    }
    const Cred& old() const { return *old_; }
    Cred& fresh() { return *fresh_; }
    bool capable(Capability c) const { return old_->capable(c); }

    /// Publishes ids that may have changed, with what follows from the change. again if the new user has too many
    /// processes to be counted (no memory).
    Result<void> commit() {
        if (fresh_->uid != old_->uid) {
            unsigned count = 0;
            {
                ProcTreeGuard guard(proc_tree_lock);
                count = proc_.living_uthreads();
            }
            TRY(proc_slot_move(old_->uid, fresh_->uid, count));
            // It is too late to refuse here, where few programs look for an error: the next execve does (LX-27).
            proc_.nproc_exceeded = fresh_->uid != 0 && proc_slots_of(fresh_->uid) > proc_.limit(Limit::nproc).soft;
        }
        follow_ids(*old_, *fresh_, proc_.keep_caps);
        if (fresh_->euid != old_->euid || fresh_->egid != old_->egid || fresh_->fsuid != old_->fsuid ||
            fresh_->fsgid != old_->fsgid || (fresh_->cap_permitted & ~old_->cap_permitted) != 0) {
            proc_.dumpable = false;
            current_uthread().parent_death_signal = 0;
        }
        proc_.set_cred(std::move(fresh_));
        return {};
    }

private:
    Proc& proc_;
    MutexGuard<Rank::exec> guard_;
    RefPtr<const Cred> old_;
    RefPtr<Cred> fresh_;
};

bool is_any(uint32_t id, uint32_t a, uint32_t b, uint32_t c) { return id == a || id == b || id == c; }

struct CapabilitySets {
    CapabilityData words[2] = {};
    unsigned count = 0; ///< how many of them the caller's version has
};

Result<unsigned> word_count(UserPtr<CapabilityHeader> header, const CapabilityHeader& h, bool probing) {
    switch (h.version) {
    case capability_v1: return 1u;
    case capability_v2:
    case capability_v3: return 2u;
    default: {
        CapabilityHeader preferred = h;
        preferred.version = capability_v3;
        TRY(header.write(preferred));
        return probing ? Result<unsigned>(0u) : Errno::inval;
    }
    }
}

} // namespace

void follow_ids(const Cred& old, Cred& fresh, bool keep_caps) {
    if (fresh.securebits & securebit::no_setuid_fixup)
        return;
    const bool had_root = old.uid == 0 || old.euid == 0 || old.suid == 0;
    const bool has_root = fresh.uid == 0 || fresh.euid == 0 || fresh.suid == 0;
    if (had_root && !has_root) {
        if (!keep_caps)
            fresh.cap_permitted = fresh.cap_effective = 0;
        fresh.cap_ambient = 0;
    }
    if (old.euid == 0 && fresh.euid != 0)
        fresh.cap_effective = 0;
    if (old.euid != 0 && fresh.euid == 0)
        fresh.cap_effective = fresh.cap_permitted;
    if (old.fsuid == 0 && fresh.fsuid != 0)
        fresh.cap_effective &= ~fs_capabilities;
    if (old.fsuid != 0 && fresh.fsuid == 0)
        fresh.cap_effective |= fresh.cap_permitted & fs_capabilities;
}

Result<void> sys_setuid(uid_t uid) {
    if (uid == unchanged)
        return Errno::inval;
    CredChange change;
    TRY(change.begin());
    Cred& c = change.fresh();
    if (change.capable(Capability::setuid))
        c.uid = c.suid = uid;
    else if (uid != c.uid && uid != c.suid)
        return Errno::perm;
    c.euid = c.fsuid = uid;
    return change.commit();
}

Result<void> sys_setgid(gid_t gid) {
    if (gid == unchanged)
        return Errno::inval;
    CredChange change;
    TRY(change.begin());
    Cred& c = change.fresh();
    if (change.capable(Capability::setgid))
        c.gid = c.sgid = gid;
    else if (gid != c.gid && gid != c.sgid)
        return Errno::perm;
    c.egid = c.fsgid = gid;
    return change.commit();
}

Result<void> sys_setreuid(uid_t real, uid_t effective) {
    CredChange change;
    TRY(change.begin());
    const Cred& old = change.old();
    Cred& c = change.fresh();
    const bool free = change.capable(Capability::setuid);
    if (real != unchanged) {
        if (!free && real != old.uid && real != old.euid)
            return Errno::perm;
        c.uid = real;
    }
    if (effective != unchanged) {
        if (!free && !is_any(effective, old.uid, old.euid, old.suid))
            return Errno::perm;
        c.euid = effective;
    }
    if (real != unchanged || (effective != unchanged && effective != old.uid))
        c.suid = c.euid;
    c.fsuid = c.euid;
    return change.commit();
}

Result<void> sys_setregid(gid_t real, gid_t effective) {
    CredChange change;
    TRY(change.begin());
    const Cred& old = change.old();
    Cred& c = change.fresh();
    const bool free = change.capable(Capability::setgid);
    if (real != unchanged) {
        if (!free && real != old.gid && real != old.egid)
            return Errno::perm;
        c.gid = real;
    }
    if (effective != unchanged) {
        if (!free && !is_any(effective, old.gid, old.egid, old.sgid))
            return Errno::perm;
        c.egid = effective;
    }
    if (real != unchanged || (effective != unchanged && effective != old.gid))
        c.sgid = c.egid;
    c.fsgid = c.egid;
    return change.commit();
}

Result<void> sys_setresuid(uid_t real, uid_t effective, uid_t saved) {
    CredChange change;
    TRY(change.begin());
    const Cred& old = change.old();
    if (!change.capable(Capability::setuid))
        for (uid_t id : {real, effective, saved})
            if (id != unchanged && !is_any(id, old.uid, old.euid, old.suid))
                return Errno::perm;
    Cred& c = change.fresh();
    c.uid = real != unchanged ? real : c.uid;
    c.euid = effective != unchanged ? effective : c.euid;
    c.suid = saved != unchanged ? saved : c.suid;
    c.fsuid = c.euid;
    return change.commit();
}

Result<void> sys_setresgid(gid_t real, gid_t effective, gid_t saved) {
    CredChange change;
    TRY(change.begin());
    const Cred& old = change.old();
    if (!change.capable(Capability::setgid))
        for (gid_t id : {real, effective, saved})
            if (id != unchanged && !is_any(id, old.gid, old.egid, old.sgid))
                return Errno::perm;
    Cred& c = change.fresh();
    c.gid = real != unchanged ? real : c.gid;
    c.egid = effective != unchanged ? effective : c.egid;
    c.sgid = saved != unchanged ? saved : c.sgid;
    c.fsgid = c.egid;
    return change.commit();
}

Result<uid_t> sys_setfsuid(uid_t uid) {
    CredChange change;
    const Cred& old = change.old();
    const uid_t before = old.fsuid;
    // There is no error result: a change that is not allowed just does not happen.
    if (uid == unchanged ||
        (!change.capable(Capability::setuid) && !is_any(uid, old.uid, old.euid, old.suid) && uid != old.fsuid))
        return before;
    if (change.begin().ok()) {
        change.fresh().fsuid = uid;
        (void)change.commit();
    }
    return before;
}

Result<gid_t> sys_setfsgid(gid_t gid) {
    CredChange change;
    const Cred& old = change.old();
    const gid_t before = old.fsgid;
    if (gid == unchanged ||
        (!change.capable(Capability::setgid) && !is_any(gid, old.gid, old.egid, old.sgid) && gid != old.fsgid))
        return before;
    if (change.begin().ok()) {
        change.fresh().fsgid = gid;
        (void)change.commit();
    }
    return before;
}

Result<void> sys_getresuid(UserPtr<uid_t> real, UserPtr<uid_t> effective, UserPtr<uid_t> saved) {
    const RefPtr<const Cred> cred = current_proc().cred();
    TRY(real.write(cred->uid));
    TRY(effective.write(cred->euid));
    return saved.write(cred->suid);
}

Result<void> sys_getresgid(UserPtr<gid_t> real, UserPtr<gid_t> effective, UserPtr<gid_t> saved) {
    const RefPtr<const Cred> cred = current_proc().cred();
    TRY(real.write(cred->gid));
    TRY(effective.write(cred->egid));
    return saved.write(cred->sgid);
}

Result<uid_t> sys_getuid() { return current_proc().cred()->uid; }
Result<uid_t> sys_geteuid() { return current_proc().cred()->euid; }
Result<gid_t> sys_getgid() { return current_proc().cred()->gid; }
Result<gid_t> sys_getegid() { return current_proc().cred()->egid; }

Result<int> sys_getgroups(int size, UserPtr<gid_t> list) {
    const RefPtr<const Cred> cred = current_proc().cred();
    const int count = static_cast<int>(cred->group_count);
    if (size < 0 || (size != 0 && size < count))
        return Errno::inval;
    if (size != 0)
        TRY(copyout(list.address(), cred->groups.data(), cred->group_count * sizeof(gid_t)));
    return count;
}

Result<void> sys_setgroups(int size, UserPtr<gid_t> list) {
    CredChange change;
    if (!change.capable(Capability::setgid))
        return Errno::perm;
    if (size < 0 || size > static_cast<int>(Cred::max_groups))
        return Errno::inval;
    TRY(change.begin());
    Cred& c = change.fresh();
    c.group_count = static_cast<uint32_t>(size);
    TRY(copyin(c.groups.data(), list.address(), c.group_count * sizeof(gid_t)));
    std::sort(c.groups.begin(), c.groups.begin() + size);
    return change.commit();
}

Result<void> sys_capget(UserPtr<CapabilityHeader> header, UserPtr<CapabilityData> data) {
    const CapabilityHeader h = TRY(header.read());
    const unsigned count = TRY(word_count(header, h, !data));
    if (count == 0 || !data)
        return {};
    if (h.pid < 0)
        return Errno::inval;
    RefPtr<const Cred> cred = current_proc().cred();
    if (h.pid != 0) {
        const RefPtr<Uthread> uthread = uthread_find(h.pid);
        if (!uthread)
            return Errno::srch;
        cred = uthread->proc->cred();
    }
    for (unsigned i = 0; i < count; i++) {
        const auto word = [&](uint64_t set) { return static_cast<uint32_t>(set >> (32 * i)); };
        TRY((data + i).write({word(cred->cap_effective), word(cred->cap_permitted), word(cred->cap_inheritable)}));
    }
    return {};
}

Result<void> sys_capset(UserPtr<CapabilityHeader> header, UserPtr<CapabilityData> data) {
    const CapabilityHeader h = TRY(header.read());
    const unsigned count = TRY(word_count(header, h, false));
    if (h.pid != 0 && h.pid != current_uthread().tid)
        return Errno::perm;
    uint64_t effective = 0, permitted = 0, inheritable = 0;
    for (unsigned i = 0; i < count; i++) {
        const CapabilityData word = TRY((data + i).read());
        effective |= uint64_t{word.effective} << (32 * i);
        permitted |= uint64_t{word.permitted} << (32 * i);
        inheritable |= uint64_t{word.inheritable} << (32 * i);
    }
    effective &= all_capabilities, permitted &= all_capabilities, inheritable &= all_capabilities;
    CredChange change;
    const Cred& old = change.old();
    if (!change.capable(Capability::setpcap) && (inheritable & ~(old.cap_inheritable | old.cap_permitted)))
        return Errno::perm;
    if (inheritable & ~(old.cap_inheritable | old.cap_bounding))
        return Errno::perm;
    if ((permitted & ~old.cap_permitted) || (effective & ~permitted))
        return Errno::perm;
    TRY(change.begin());
    Cred& c = change.fresh();
    c.cap_effective = effective;
    c.cap_permitted = permitted;
    c.cap_inheritable = inheritable;
    c.cap_ambient &= permitted & inheritable;
    return change.commit();
}

} // namespace lentil::abi
