// SPDX-License-Identifier: BSD-2-Clause
// A sample that scripts/check_layers.py must reject; expected.txt says where.
#include <machine_impl.hpp>
