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
    // Where each begins, as far as that was noted: for the others their predecessors' lengths are counted again.
    static constexpr size_t most_starts = 10;
    uint32_t starts_known = 0;
    uint16_t starts[most_starts] = {};
};

/// Copies a NULL-terminated vector of user strings to `list`, which is empty. toobig past the limit on arguments, fault.
Result<void> copyin_strings(StringList& list, vaddr_t vector, size_t limit_bytes);

struct ExecRequest {
    RefPtr<File> file;     ///< opened for execution (permission checked)
    std::string_view path; ///< as the caller named it: argv[0] of scripts, AT_EXECFN
    StringList args, env;
    Buffer<char> path_storage; ///< holds `path` once a script replaced it by its interpreter's

    /// Gives all back.
    void release() {
        file.reset();
        path = {};
        args.bytes = {};
        env.bytes = {};
        path_storage = {};
    }
};

/// Bits of a personality (personality(2)).
namespace persona {
inline constexpr uint32_t addr_no_randomize = 0x0040000, mmap_page_zero = 0x0100000, addr_compat_layout = 0x0200000,
                          read_implies_exec = 0x0400000;
/// What a program that raises privileges does not take from who executes it.
inline constexpr uint32_t not_for_set_id = addr_no_randomize | mmap_page_zero | addr_compat_layout | read_implies_exec;
} // namespace persona

/// Linux's kernel.randomize_va_space: 0 puts every image at the same addresses. 1 and 2 are the same here, since the heap follows
/// the program.
extern std::atomic<uint32_t> randomize_va_space;

/// What exec needs from layers above; boot/ fills it in.
struct ExecHooks {
    /// Opens `path` for execution as `proc` would, from where it is: noent, acces, isdir...
    Result<RefPtr<File>> (*open)(const Proc& proc, std::string_view path) = nullptr;
};
extern ExecHooks exec_hooks;

/// Runs the image. On success the caller's user registers are those of the new image (the function returns and the way
/// back to user mode enters it); if the caller was a borrower, its thread went back to the lender, whose registers the
/// frame now holds. On failure nothing changed. Once nothing can fail any more what `request` held is freed.
Result<void> exec_image(ExecRequest& request);

} // namespace lentil
