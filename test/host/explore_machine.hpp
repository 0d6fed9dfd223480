// SPDX-License-Identifier: BSD-2-Clause
// One run of the explored kernel: a machine for a seed, in a process of its own.
#pragma once

#include "explore_program/questions.hpp"

#include <cstdint>
#include <string>

struct ExploreRun {
    uint64_t seed = 0;
    std::string command_line = {};            ///< for the kernel; words after `--` are the program's
    void (*instead_of_init)(void*) = nullptr; ///< a kernel thread that runs instead of the whole boot
    bool calm = false;                        ///< two harts that never stall, and little time passes at a point
};

struct ExploreResult {
    bool ok = false;
    std::string output; ///< what the run said; on a failure why, and how to repeat it
    uint64_t points = 0, switches = 0, harts = 0;
    uint64_t loans = 0, gifts = 0, forks = 0, execs = 0, exits = 0, depth = 0;
    uint64_t cases[static_cast<unsigned>(Case::count)] = {};
};

/// Runs it in a child process, which a failure or a sanitizer ends.
ExploreResult explore_run(const ExploreRun& run);

/// For instead_of_init: the run has done what it was to do.
[[noreturn]] void explore_done();
