// SPDX-License-Identifier: BSD-2-Clause
// The host's names.
#include <algorithm>

#include <bsd/host_name.hpp>
#include <sync/spinlock.hpp>

namespace lentil {
namespace {

struct Name {
    char text[host_name_max] = {};
    size_t length = 0;
};

constinit SpinLock<Rank::cwd> names_lock;
constinit Name names[2] = {{{'l', 'e', 'n', 't', 'i', 'l'}, 6}, {{'(', 'n', 'o', 'n', 'e', ')'}, 6}};

} // namespace

size_t host_name_get(HostName which, std::span<char> out) {
    SpinGuard guard(names_lock);
    const Name& name = names[static_cast<size_t>(which)];
    const size_t n = std::min(out.size(), name.length);
    std::copy_n(name.text, n, out.data());
    return n;
}

void host_name_set(HostName which, std::string_view text) {
    SpinGuard guard(names_lock);
    Name& name = names[static_cast<size_t>(which)];
    name.length = std::min(text.size(), host_name_max);
    std::copy_n(text.data(), name.length, name.text);
}

} // namespace lentil
