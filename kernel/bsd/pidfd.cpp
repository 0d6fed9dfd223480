// SPDX-License-Identifier: BSD-2-Clause
// Process file descriptors.
#include <bsd/pidfd.hpp>
#include <libkern/format.hpp>
#include <vm/vm_user.hpp>

namespace lentil {

Result<RefPtr<PidFile>> PidFile::create(uint32_t flags) { return make_ref<PidFile>(flags & open_flags::nonblock); }

PidFile::~PidFile() {
    if (!proc_)
        return;
    ProcTreeGuard guard(proc_tree_lock);
    PidFile** at = &proc_->pidfds;
    while (*at != this)
        at = &(*at)->next_;
    *at = next_;
}

void PidFile::bind_locked(Proc& proc) {
    ASSERT(!proc_);
    proc_ = RefPtr<Proc>(&proc);
    next_ = proc.pidfds;
    proc.pidfds = this;
}

uint32_t PidFile::poll(uint32_t events, PollTable* table) {
    using namespace poll_events;
    if (table)
        table->add(waitq_);
    ProcTreeGuard guard(proc_tree_lock);
    if (!proc_ || proc_->state == ProcState::embryo || proc_->state == ProcState::active)
        return 0;
    return ((in | rdnorm) & events) | (proc_->state == ProcState::dead ? hup : 0);
}

void PidFile::describe_state(const FormatSink& out) {
    ProcTreeGuard guard(proc_tree_lock);
    const pid_t pid = proc_ && proc_->state != ProcState::dead ? proc_->pid : -1;
    guard.unlock();
    out.add("Pid:\t{}\nNSpid:\t{}\n", pid, pid);
}

void pidfd_wake_all_locked(Proc& proc) {
    for (PidFile* file = proc.pidfds; file; file = file->next_)
        file->waitq_.wake_all();
}

void PidfdReservation::withdraw() { (void)table_->close(fd_); }

Result<void> PidfdReservation::make(Proc& parent, vaddr_t out) {
    file_ = TRY(PidFile::create(0));
    table_ = parent.fd_table();
    fd_ = TRY(table_->install(RefPtr<File>(file_.get()), true, parent.limit(Limit::nofile).soft));
    return copyout(out, &fd_, sizeof fd_);
}

void PidfdReservation::bind_locked(Proc& child) {
    file_->bind_locked(child);
    fd_ = -1;
}

} // namespace lentil
