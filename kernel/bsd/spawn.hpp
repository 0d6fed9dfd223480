// SPDX-License-Identifier: BSD-2-Clause
// PROC_CREATE_SPAWN: a child that starts with a program. Its memory is the new image from the beginning: nothing of the
// creator's map is copied, no thread is lent. All of it is made by the creator's thread before anybody can see the child.
#pragma once

#include <bsd/exec.hpp>
#include <libkern/dlist.hpp>

namespace lentil {

class Spawn {
public:
    Spawn() = default;
    Spawn(const Spawn&) = delete;
    Spawn& operator=(const Spawn&) = delete;

    bool new_session = false; ///< setsid
    bool set_group = false;   ///< setpgid(0, group)
    pid_t group = 0;
    /// The terminal that the leader of a new session opened first, without O_NOCTTY: it becomes the controlling one, unless
    /// it is another session's.
    class Tty* terminal = nullptr;

    // -- fork1's side ----------------------------------------------------------------------------------------------------
    /// Sets the child up and builds its image. Whatever fails leaves nothing but what the steps did to files.
    /// restart_nointr if a signal waits for the caller.
    Result<void> prepare(Proc& child, Uthread& uthread);
    const RefPtr<VmMap>& map() const { return map_; }
    /// The registers that the child's thread starts with.
    void enter(Thread& thread) const;
    /// The group that the child is born into. perm if there is none of that number in the session; restart_nointr if the
    /// caller is being killed. proc_tree_lock held, as in the others.
    Result<RefPtr<ProcessGroup>> admit_locked(const Proc& creator, Proc& child);
    /// The child is linked: it gets what was sent to its group while it was made.
    void born_locked(Proc& child);

    /// A signal goes to all of `group` (nobody escapes a kill of the group by being about to be born, LX-08).
    static void collect_locked(const ProcessGroup& group, int signo);

protected:
    ~Spawn();

    /// Gives `child`, an unlinked copy of the current proc without memory, what the caller asked for: attributes,
    /// descriptors, directory. Says what it runs; the file is opened as the child would.
    virtual Result<ExecRequest> set_up(Proc& child, Uthread& uthread) = 0;

private:
    Result<void> begin();
    void end_locked();

    RefPtr<VmMap> map_;
    vaddr_t entry_ = 0, stack_pointer_ = 0;
    RefPtr<ProcessGroup> fresh_group_;
    RefPtr<Session> fresh_session_;

    bool collecting_ = false; ///< t
    const Proc* creator_ = nullptr;
    SigSet collected_;                          ///< t
    DlistLinks<Spawn> link_;                    ///< t
    static Dlist<Spawn, &Spawn::link_> births_; ///< t; those that prepare
};

} // namespace lentil
