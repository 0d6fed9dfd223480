// SPDX-License-Identifier: BSD-2-Clause
#include <boot/cmdline.hpp>
#include <machine/machine.hpp>

namespace lentil {

namespace {

/// The words of the command line, each with a terminator, quotes taken off.
constinit char words[sizeof machine::boot_info.command_line] = {};
constinit size_t words_size = 0;

} // namespace

void cmdline_init() {
    bool quoted = false, in_word = false;
    for (const char c : std::string_view(machine::boot_info.command_line)) {
        const bool blank = c == ' ' || c == '\t' || c == '\n';
        if (c == '"') {
            quoted = !quoted;
            in_word = true;
        } else if (!blank || quoted) {
            words[words_size++] = c;
            in_word = true;
        } else if (in_word) {
            words[words_size++] = '\0';
            in_word = false;
        }
    }
    // The line was shorter than its buffer, so there is room for the last terminator.
    if (in_word)
        words[words_size++] = '\0';
}

void cmdline_for_each(void (*visit)(std::string_view, bool, void*), void* context) {
    bool after_dashes = false;
    for (size_t at = 0; at < words_size;) {
        const std::string_view word(words + at);
        at += word.size() + 1;
        if (word == "--" && !after_dashes)
            after_dashes = true;
        else
            visit(word, after_dashes, context);
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
    constexpr std::string_view names[] = {
        "init",     "rdinit", "root", "rootfstype", "rootwait", "console", "quiet", "panic",  "loglevel",  "trace",
        "selftest", "ro",     "rw",   "earlycon",   "nosmp",    "maxcpus", "debug", "no4lvl", "norandmaps"};
    const std::string_view name = word.substr(0, word.find('='));
    for (const std::string_view n : names)
        if (name == n)
            return true;
    return false;
}

} // namespace lentil
