// SPDX-License-Identifier: BSD-2-Clause
// What the explored user program can ask of the explorer, which stands outside the machine: number in a7, values in a0 to
// a4, the answer in a0.
#pragma once

enum class Question : unsigned long {
    random = 1, ///< a number below a0
    fail = 2,   ///< the run has failed: text at a0, its length a1, values a2 to a4
    note = 3,   ///< for the record of the run: the same
    settle = 4, ///< when nothing else runs: remembers what objects there are (a0 = 0), or compares with that (a0 = 1).
                ///< The answer is 0 if that is not so yet; a failure if it must be so now (a1 = 1)
    cover = 5,  ///< the case of number a0 came up
    memory_fails = 6, ///< from now on one allocation in a0 fails (0: none), in calls that say so to their callers
    type = 7,         ///< the key a0 is typed on the console
};

/// Cases that a run of the explorer is to meet; it says how often it did.
enum class Case : unsigned {
    forked,
    vforked,
    nested_vfork,
    execed,
    execed_from_loan,
    thread_made,
    thread_made_in_loan,
    killed_borrower,
    killed_lender,
    sibling_ended_lender,
    sibling_execed,
    signal_handled,
    signal_waited_for_lender,
    stopped,
    borrower_stopped,
    lender_stopped,
    killed_by_sibling,
    native_vfork,
    waited,
    nothing_to_wait_for,
    spawned,
    spawned_by_borrower,
    tracked,
    tracked_exec,
    handled_by_sibling,
    allocation_failed,
    terminal_taken,
    terminal_refused,
    terminal_used_by_borrower,
    terminal_end_read,
    stop_put_off,
    job_stopped,
    leader_left,
    borrower_led,
    typed,
    count
};
