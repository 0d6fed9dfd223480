// SPDX-License-Identifier: BSD-2-Clause
// SIGIO: open files that tell their owner when they become ready (O_ASYNC, F_SETOWN, F_SETSIG), as Linux does.
#pragma once

#include <bsd/file.hpp>

namespace lentil {

/// Who is told; Linux values (F_OWNER_TID and its like).
enum class OwnerKind : uint32_t { thread = 0, process = 1, group = 2 };
struct OwnerName {
    OwnerKind kind = OwnerKind::thread;
    pid_t id = 0; ///< 0: nobody
};

/// The caller's user ids count from now on for whether the owner may be told. srch: there is no such id; nomem.
Result<void> sigio_set_owner(File& file, OwnerName name);
OwnerName sigio_owner(File& file);
/// The signal to send instead of SIGIO, with information; 0: SIGIO without. nomem.
Result<void> sigio_set_signal(File& file, int signo);
int sigio_signal(File& file);
/// Begins or ends telling; `fd` goes out as si_fd. notty: files of the kind tell nobody. nomem.
Result<void> sigio_set(File& file, int fd, bool on);
/// The open file goes.
void sigio_forget(File& file);

} // namespace lentil
