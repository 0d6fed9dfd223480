// SPDX-License-Identifier: BSD-2-Clause
// When memory has run out: who has to go.
#pragma once

#include <bsd/proc.hpp>

namespace lentil {

/// A fault of the calling uthread found no page, and no cache has one to give back. Kills whoever a person would have
/// chosen (see oom_score), if nobody is on the way out yet, and sleeps a little: true means that the fault is to be tried
/// again. False: it is the caller who goes. No spin lock held; called with whatever mutexes a fault may come under, so a
/// victim that cannot end because of one of them is waited for only so long, and the caller goes in its stead.
bool oom_make_room();

/// What the end of `proc` would bring, in pages, set right by its oom_score_adj (a thousandth of memory each): the memory
/// that it does not share with another process. Of all whose score is within an eighth of the highest, the youngest is
/// chosen, so it is always a borrower before its lender, the two having one memory (LX-23, EC-96). 0: never chosen, as are
/// init and what has -1000. May sleep.
uint64_t oom_score(const Proc& proc);

} // namespace lentil
