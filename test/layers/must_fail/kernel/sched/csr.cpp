// SPDX-License-Identifier: BSD-2-Clause
// A sample that scripts/check_layers.py must reject; expected.txt says where.
// sstatus in a comment is fine
void off() { asm volatile("csrc sstatus, 2"); }
