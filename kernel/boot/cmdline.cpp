// SPDX-License-Identifier: BSD-2-Clause
#include <boot/cmdline.hpp>

#include <machine/machine.hpp>

namespace lentil {

void cmdline_for_each(void (*visit)(std::string_view, bool, void*), void* context) {
    std::string_view line = machine::boot_info.command_line;
    bool after_dashes = false;
    while (true) {
        const size_t start = line.find_first_not_of(" \t\n");
        if (start == std::string_view::npos)
            return;
        line.remove_prefix(start);
        const size_t end = line.find_first_of(" \t\n");
        const std::string_view word = line.substr(0, end);
        if (word == "--" && !after_dashes)
            after_dashes = true;
        else
            visit(word, after_dashes, context);
        if (end == std::string_view::npos)
            return;
        line.remove_prefix(end);
    }
}

std::string_view cmdline_value(std::string_view name) {
    struct Search {
        std::string_view name, value;
    } search{name, {}};
    cmdline_for_each(
        [](std::string_view word, bool after_dashes, void* context) {
            Search& s = *static_cast<Search*>(context);
            if (!after_dashes && word.size() > s.name.size() && word.starts_with(s.name) && word[s.name.size()] == '=')
                s.value = word.substr(s.name.size() + 1);
        },
        &search);
    return search.value;
}

bool cmdline_has(std::string_view name) {
    struct Search {
        std::string_view name;
        bool found;
    } search{name, false};
    cmdline_for_each(
        [](std::string_view word, bool after_dashes, void* context) {
            Search& s = *static_cast<Search*>(context);
            s.found |= !after_dashes && word == s.name;
        },
        &search);
    return search.found;
}

bool cmdline_is_kernels(std::string_view word) {
    constexpr std::string_view names[] = {"init",  "rdinit",    "root",  "rootfstype", "rootwait", "console", "quiet",
                                          "panic", "loglevel",  "trace", "selftest",   "ro",       "rw",      "earlycon",
                                          "nosmp", "maxcpus",   "debug", "no4lvl",     "norandmaps"};
    const std::string_view name = word.substr(0, word.find('='));
    for (const std::string_view n : names)
        if (name == n)
            return true;
    return false;
}

} // namespace lentil
