// SPDX-License-Identifier: BSD-2-Clause
// Handlers of the proc calls; the signatures are the ABI.
#pragma once

#include <abi/syscall.hpp>

namespace lentil::abi {

} // namespace lentil::abi
