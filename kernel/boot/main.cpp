// SPDX-License-Identifier: BSD-2-Clause
// kernel_main: where the machine-independent kernel starts.
#include <libkern/format.hpp>
#include <machine/machine.hpp>

extern "C" [[noreturn]] void kernel_main() {
    lentil::kprint("lentil: hello from the kernel\n");
    lentil::machine::power(lentil::machine::PowerAction::off);
}
