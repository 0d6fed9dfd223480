// SPDX-License-Identifier: BSD-2-Clause
// Filling a map that nobody runs in yet: exec's.
#pragma once

#include <vm/vm_map.hpp>

namespace lentil {

/// VmMap::map() of a fixed place, for a map that nobody else changes; best from below: behind all that there is, nothing is
/// looked up. Fails as that does.
Result<void> map_in_new(VmMap& map, const MapRequest& request);

} // namespace lentil
