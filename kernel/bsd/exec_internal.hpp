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

/// So many bytes of a file hold what exec wants of nearly every one: a "#!" line, or all headers of an image.
inline constexpr size_t head_bytes = 512;
/// Copies the first bytes of the file, however short it is; returns how many. `object`: its contents, if they are there.
/// What was copied is what is checked and used, whoever writes to the file meanwhile.
Result<size_t> read_head(File& file, VmObject* object, std::span<uint8_t> head);
/// elf::parse for a file that begins with `head`.
Result<void> parse_image(elf::Image& image, File& file, std::span<const uint8_t> head, uint64_t file_size);

/// Builds map, segments, interpreter, stack, auxiliary vector. `source`: the request's file. Touches nothing of `proc`.
Result<NewImage> load(const Proc& proc, ExecRequest& request, File::Mappable source, const elf::Image& image,
                      const Identity& identity);

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
    alignas(8) char name[16] = {};
};

/// The first half, for `proc`: the current one, or one that the caller makes and nobody else sees yet. Scripts are followed
/// to their interpreter. Nothing of `proc` changes that can be seen. `out` is fresh.
Result<void> prepare(Proc& proc, ExecRequest& request, Prepared& out);

/// The second half but for memory: close-on-exec, handlers, name, credentials; in effect before a lender or the creator of
/// a spawned child can run (EC-74, XN-09). Cannot fail.
void commit_identity(Proc& proc, Uthread& self, Prepared& prepared);

/// The probe of that: `subject` executes as `proc`, which will run its image on `thread`.
void trace_success(const Thread& subject, const Proc& proc, const Thread& thread);

/// The user registers that the image starts with.
void enter_image(Thread& thread, const NewImage& image);

} // namespace lentil::exec
