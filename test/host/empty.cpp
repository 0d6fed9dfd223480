// SPDX-License-Identifier: BSD-2-Clause
// Keeps the library of host kernel sources from ever being empty.
