// SPDX-License-Identifier: BSD-2-Clause
// execve: a new image for the current proc, static or dynamic ELF, or a script.
#pragma once

#include <bsd/proc.hpp>

namespace lentil {

/// Argument or environment strings, copied in before anything changes: `count` strings with their terminators.
struct StringList {
    Buffer<char> bytes; ///< may be larger than used
    size_t used = 0;
    size_t count = 0;
};

/// Copies a NULL-terminated vector of user strings. toobig past the limit on arguments, fault.
Result<StringList> copyin_strings(vaddr_t vector, size_t limit_bytes);

struct ExecRequest {
    RefPtr<File> file;     ///< opened for execution (permission checked)
    std::string_view path; ///< as the caller named it: argv[0] of scripts, AT_EXECFN
    StringList args, env;
    Buffer<char> path_storage; ///< holds `path` once a script replaced it by its interpreter's
};

/// What exec needs from layers above; boot/ fills it in.
struct ExecHooks {
    /// Opens `path` for execution as `proc` would, from where it is: noent, acces, isdir...
    Result<RefPtr<File>> (*open)(const Proc& proc, std::string_view path) = nullptr;
};
extern ExecHooks exec_hooks;

/// Runs the image. On success the caller's user registers are those of the new image (the function returns and the way
/// back to user mode enters it); if the caller was a borrower, its thread went back to the lender, whose registers the
/// frame now holds. On failure nothing changed.
Result<void> exec_image(ExecRequest request);

} // namespace lentil
