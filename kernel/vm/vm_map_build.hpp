// SPDX-License-Identifier: BSD-2-Clause
// Filling a map that nobody runs in yet: exec's.
#pragma once

#include <vm/vm_map.hpp>

namespace lentil {

/// VmMap::map() of a fixed place, for a map that nobody else changes; best from below: behind all that there is, nothing is
/// looked up. Fails as that does.
Result<void> map_in_new(VmMap& map, const MapRequest& request);

/// A private mapping of a file goes on to the end of the page that holds `at`, which is not its first byte, with zeros of its
/// own. nomem, also for what cannot be read.
Result<void> cut_off_in_new(VmMap& map, vaddr_t at);

} // namespace lentil
