/* SPDX-License-Identifier: BSD-2-Clause */
/* Empty on purpose: lets the cross compiler's C headers be used with -mabi=lp64. */
