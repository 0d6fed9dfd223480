// SPDX-License-Identifier: BSD-2-Clause
// From a descriptor argument to the open file, for all handlers.
#pragma once

#include <bsd/proc.hpp>

namespace lentil::abi {

/// The file behind `fd`, O_PATH descriptors included: badf.
inline Result<FileHold> any_file(int fd) {
    Proc& proc = current_proc();
    if (proc.is_single()) [[likely]]
        return proc.fds->hold(fd);
    return FileHold::counted(TRY(proc.fd_table()->get(fd)).release());
}

/// The same for calls that use the contents: badf for O_PATH descriptors.
inline Result<FileHold> open_file(int fd) {
    FileHold file = TRY(any_file(fd));
    if (file->flags.load(std::memory_order_relaxed) & open_flags::path)
        return Errno::badf;
    return file;
}

/// A new descriptor for `file`, the lowest free one.
inline Result<int> install_file(RefPtr<File> file, bool close_on_exec) {
    Proc& proc = current_proc();
    return proc.fds->install(std::move(file), close_on_exec, proc.limit(Limit::nofile).soft);
}

} // namespace lentil::abi
