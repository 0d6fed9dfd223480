/* SPDX-License-Identifier: BSD-2-Clause
 * The model of the loan. `run` says with which bounds it is checked.
 */
#include "loan.pml"
#include "threads.pml"
