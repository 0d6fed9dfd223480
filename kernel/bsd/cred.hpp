// SPDX-License-Identifier: BSD-2-Clause
// Credentials: immutable once published, shared by reference, replaced as a whole.
#pragma once

#include <array>

#include <libkern/types.hpp>
#include <vm/zalloc.hpp>

namespace lentil {

/// Linux capability numbers that the kernel asks about.
enum class Capability : uint32_t {
    chown = 0,
    dac_override = 1,
    dac_read_search = 2,
    fowner = 3,
    fsetid = 4,
    kill = 5,
    setgid = 6,
    setuid = 7,
    setpcap = 8,
    sys_chroot = 18,
    sys_ptrace = 19,
    sys_pacct = 20,
    sys_admin = 21,
    sys_boot = 22,
    sys_nice = 23,
    sys_resource = 24,
    sys_time = 25,
    sys_tty_config = 26,
    mknod = 27,
    ipc_lock = 14,
    ipc_owner = 15,
};
inline constexpr uint64_t all_capabilities = (uint64_t{1} << 41) - 1;

struct Cred;
/// The current proc's own credentials gave it a capability (bsd/acct.cpp). True.
bool note_privilege(const Cred& cred);

struct Cred : ZonedRefCounted<Cred> {
    static constexpr const char* zone_name = "creds";
    static constexpr unsigned max_groups = 64;

    uid_t uid = 0, euid = 0, suid = 0, fsuid = 0;
    gid_t gid = 0, egid = 0, sgid = 0, fsgid = 0;
    uint32_t group_count = 0;
    std::array<gid_t, max_groups> groups{};
    uint64_t cap_effective = all_capabilities, cap_permitted = all_capabilities, cap_inheritable = 0,
             cap_bounding = all_capabilities, cap_ambient = 0;
    uint32_t securebits = 0;

    /// To be asked where the answer decides: whoever needed it used privilege (process accounting).
    bool capable(Capability c) const { return has(c) && note_privilege(*this); }
    bool has(Capability c) const { return cap_effective >> static_cast<uint32_t>(c) & 1; }
    bool in_group(gid_t g) const;
    /// A private copy to change before it is published.
    Result<RefPtr<Cred>> copy() const;
};

} // namespace lentil
