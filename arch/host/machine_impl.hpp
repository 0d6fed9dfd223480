// SPDX-License-Identifier: BSD-2-Clause
// Binds the simulated machine to the contract in machine/machine.hpp. Include that, not this.
#pragma once

#include <host/cpu.hpp>
#include <host/layout.hpp>
#include <host/pte.hpp>
