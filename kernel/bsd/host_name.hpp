// SPDX-License-Identifier: BSD-2-Clause
// What the system calls itself: uname(2), sethostname(2), /proc/version, /proc/sys/kernel.
#pragma once

#include <span>
#include <string_view>

namespace lentil {

inline constexpr std::string_view system_name = "Linux"; ///< what programs that look expect of this system call ABI
/// At least what glibc asks for; the word after the numbers says who we are.
inline constexpr std::string_view system_release = "6.12.0-lentil";
inline constexpr std::string_view system_machine = "riscv64";
inline constexpr size_t host_name_max = 64;

enum class HostName { node, domain };

/// Copies the name, no terminator; returns its length (at most host_name_max).
size_t host_name_get(HostName which, std::span<char> out);
/// `name` is at most host_name_max bytes.
void host_name_set(HostName which, std::string_view name);

} // namespace lentil
