// SPDX-License-Identifier: BSD-2-Clause
// Between exec.cpp (the rules of execve), exec_load.cpp (building an image) and spawn.cpp (a child that starts with one).
#pragma once

#include <bsd/elf.hpp>
#include <bsd/exec.hpp>

namespace lentil::exec {

/// An image that is complete but not yet anyone's: dropping it undoes everything.
struct NewImage {
    RefPtr<VmMap> map;
    RefPtr<MappedFile> executable;
    vaddr_t entry = 0, stack_pointer = 0;
};

/// What the new program will be told about itself.
struct Identity {
    const Cred* cred;
    bool secure; ///< AT_SECURE: the image raises privileges
};

/// Reads exactly n bytes at `offset`; noexec if the file is shorter.
Result<void> read_exactly(File& file, uint64_t offset, void* to, size_t n);

/// Builds map, segments, interpreter, stack, auxiliary vector. Touches nothing of `proc`.
Result<NewImage> load(const Proc& proc, ExecRequest& request, const elf::Image& image, const Identity& identity);

/// Credentials of the new program.
struct NewCred {
    RefPtr<const Cred> cred;
    bool secure = false; ///< privileges were raised
};

/// Everything the commit will need, made while failing is still possible.
struct Prepared {
    NewImage image;
    NewCred cred;
    RefPtr<FdTable> fds;     ///< set if the table was shared and must not be any more
    RefPtr<SigActs> sigacts; ///< likewise
    RefPtr<Task> task;       ///< a borrower's own task and thread
    RefPtr<Thread> thread;
    char name[16] = {};
};

/// The first half, for `proc`: the current one, or one that the caller makes and nobody else sees yet. Scripts are followed
/// to their interpreter. Nothing of `proc` changes that can be seen.
Result<Prepared> prepare(Proc& proc, ExecRequest& request);

/// The second half but for memory: close-on-exec, handlers, name, credentials; in effect before a lender or the creator of
/// a spawned child can run (EC-74, XN-09). Cannot fail.
void commit_identity(Proc& proc, Uthread& self, Prepared& prepared);

/// The probe of that: `subject` executes as `proc`, which will run its image on `thread`.
void trace_success(const Thread& subject, const Proc& proc, const Thread& thread);

/// The user registers that the image starts with.
void enter_image(Thread& thread, const NewImage& image);

} // namespace lentil::exec
