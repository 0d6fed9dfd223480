// SPDX-License-Identifier: BSD-2-Clause
// Process accounting (acct(2)): a record in a file for each process that ends, a borrower that never exec'd included (XNU
// wrote none: EC-80).
#pragma once

#include <atomic>

#include <bsd/file.hpp>

namespace lentil {

struct Proc;

namespace acct_state {
extern std::atomic<uint32_t> on; ///< 0 or 1
}
inline bool acct_is_on() { return acct_state::on.load(std::memory_order_relaxed) != 0; }

/// Where records go from now on; nullptr: nowhere. `file` is open for appending.
void acct_set_file(RefPtr<File> file);
/// Writes the record of the current proc, which its last uthread ends, its tables already gone. A record that the file does
/// not take is lost. May sleep; no lock held.
void acct_record(Proc& proc);

} // namespace lentil
