// SPDX-License-Identifier: BSD-2-Clause
// Between exec.cpp (the rules of execve) and exec_load.cpp (building an image).
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

/// Builds map, segments, interpreter, stack, auxiliary vector. Touches nothing of the caller.
Result<NewImage> load(ExecRequest& request, const elf::Image& image, const Identity& identity);

} // namespace lentil::exec
