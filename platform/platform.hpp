// SPDX-License-Identifier: BSD-2-Clause
// The board: what the kernel asks of its devices.
#pragma once

#include <string_view>

#include <libkern/types.hpp>
#include <platform/fdt.hpp>

namespace lentil::platform {

/// The firmware's description of the board; opened by the arch before kernel_main.
DeviceTree& device_tree();

} // namespace lentil::platform
