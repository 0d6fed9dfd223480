// SPDX-License-Identifier: BSD-2-Clause
// Binds the RISC-V parts to the contract in machine/machine.hpp. Include that, not this.
#pragma once

#include <riscv/context.hpp>
#include <riscv/cpu.hpp>
#include <riscv/layout.hpp>
#include <riscv/sv39.hpp>
#include <riscv/trapframe.hpp>
#include <riscv/user_access.hpp>
