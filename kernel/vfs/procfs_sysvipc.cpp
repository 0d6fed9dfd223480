// SPDX-License-Identifier: BSD-2-Clause
// /proc/sysvipc: the System V objects, as Linux lists them.
#include <bsd/sysv_msg.hpp>
#include <bsd/sysv_sem.hpp>
#include <bsd/sysv_shm.hpp>
#include <vfs/procfs.hpp>

namespace lentil {

namespace {

/// The four ids in the order that all three lists have.
void put_owner(TextBuffer& out, const sysv::Owner& o) { out.add(" {:5} {:5} {:5} {:5}", o.uid, o.gid, o.cuid, o.cgid); }

Result<void> list_shm(TextBuffer& out, const ProcTarget&) {
    out.text("       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid"
             "      atime      dtime      ctime                   rss                  swap\n");
    const int32_t last = sysv::shm_totals().last_place;
    for (int32_t i = 0; i <= last; i++) {
        const Result<sysv::ShmStatus> s = sysv::shm_status_at(i, false);
        if (!s)
            continue;
        out.add("{:10} {:10}  {:4o} {:21} {:5} {:5}  {:5}", s->owner.key, s->owner.id, s->owner.mode, s->size,
                s->creator, s->last, s->attached);
        put_owner(out, s->owner);
        out.add(" {:10} {:10} {:10} {:21} {:21}\n", s->attach_s, s->detach_s, s->change_s,
                s->resident_pages * page_size, 0);
    }
    return {};
}

Result<void> list_sem(TextBuffer& out, const ProcTarget&) {
    out.text("       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
    const int32_t last = sysv::sem_totals().last_place;
    for (int32_t i = 0; i <= last; i++) {
        const Result<sysv::SemStatus> s = sysv::sem_status_at(i, false);
        if (!s)
            continue;
        out.add("{:10} {:10}  {:4o} {:10}", s->owner.key, s->owner.id, s->owner.mode, s->count);
        put_owner(out, s->owner);
        out.add(" {:10} {:10}\n", s->operation_s, s->change_s);
    }
    return {};
}

Result<void> list_msg(TextBuffer& out, const ProcTarget&) {
    out.text("       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid"
             "      stime      rtime      ctime\n");
    const int32_t last = sysv::msg_totals().last_place;
    for (int32_t i = 0; i <= last; i++) {
        const Result<sysv::MsgStatus> s = sysv::msg_status_at(i, false);
        if (!s)
            continue;
        out.add("{:10} {:10}  {:4o}  {:10} {:10} {:5} {:5}", s->owner.key, s->owner.id, s->owner.mode, s->bytes,
                s->messages, s->last_sender, s->last_receiver);
        put_owner(out, s->owner);
        out.add(" {:10} {:10} {:10}\n", s->send_s, s->receive_s, s->change_s);
    }
    return {};
}

constexpr ProcfsItem items[] = {
    {.name = "msg", .type = VnodeType::regular, .mode = 0444, .generate = list_msg},
    {.name = "sem", .type = VnodeType::regular, .mode = 0444, .generate = list_sem},
    {.name = "shm", .type = VnodeType::regular, .mode = 0444, .generate = list_shm},
};

} // namespace

std::span<const ProcfsItem> procfs_sysvipc_items() { return items; }

} // namespace lentil
