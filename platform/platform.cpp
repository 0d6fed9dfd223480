// SPDX-License-Identifier: BSD-2-Clause
#include <platform/platform.hpp>

namespace lentil::platform {

namespace {
constinit DeviceTree the_tree;
}

DeviceTree& device_tree() { return the_tree; }

} // namespace lentil::platform
