// SPDX-License-Identifier: BSD-2-Clause
// The pure rules of signals: default actions, what is discarded, which one comes next.
#include <doctest/doctest.h>
#include <initializer_list>

#include <bsd/signal_types.hpp>

using namespace lentil;

TEST_CASE("default actions are Linux's") {
    for (Signal s : {sig_chld, sig_urg, sig_winch})
        CHECK(default_action(s) == DefaultAction::ignore);
    for (Signal s : {sig_stop, sig_tstp, sig_ttin, sig_ttou})
        CHECK(default_action(s) == DefaultAction::stop);
    CHECK(default_action(sig_cont) == DefaultAction::resume);
    for (Signal s : {sig_hup, sig_kill, sig_segv, sig_pipe, sig_io, sig_pwr, sig_stkflt, sig_rtmin, signal_count})
        CHECK(default_action(s) == DefaultAction::terminate);
}

TEST_CASE("an ignored signal is discarded, a default one if its action is to do nothing, a handled one never") {
    const SigAction by_default{}, ignored{SigAction::ignore, 0, {}}, handled{0x1000, 0, {}};
    CHECK(discards(ignored, sig_term));
    CHECK(discards(ignored, sig_tstp));
    CHECK_FALSE(discards(by_default, sig_term));
    CHECK_FALSE(discards(by_default, sig_stop));
    CHECK(discards(by_default, sig_chld));
    CHECK(discards(by_default, sig_cont));
    CHECK_FALSE(discards(handled, sig_chld));
    CHECK_FALSE(discards(handled, sig_cont));
}

TEST_CASE("the lowest pending signal that is not blocked comes next, but faults come first") {
    SigSet pending;
    CHECK(next_signal(pending, {}) == 0);
    pending.add(sig_term);
    pending.add(sig_usr1);
    pending.add(signal_count);
    CHECK(next_signal(pending, {}) == sig_usr1);
    CHECK(next_signal(pending, SigSet::of(sig_usr1)) == sig_term);
    CHECK(next_signal(pending, ~SigSet::of(signal_count)) == signal_count);
    CHECK(next_signal(pending, pending) == 0);
    pending.add(sig_hup);
    pending.add(sig_segv);
    CHECK(next_signal(pending, {}) == sig_segv);
    CHECK(next_signal(pending, SigSet::of(sig_segv)) == sig_hup);
}

TEST_CASE("sets have 64 members, the first at bit 0") {
    CHECK(SigSet::of(1).bits == 1);
    CHECK(SigSet::of(64).bits == uint64_t{1} << 63);
    CHECK(unblockable.has(sig_kill));
    CHECK(unblockable.has(sig_stop));
    CHECK_FALSE(unblockable.has(sig_cont));
    CHECK_FALSE(is_signal(0));
    CHECK(is_signal(64));
    CHECK_FALSE(is_signal(65));
}
