// SPDX-License-Identifier: BSD-2-Clause
// Files that no file system has: what stat and /proc say of pipes, eventfds and their like.
#pragma once

#include <bsd/file.hpp>

namespace lentil {

inline constexpr uint64_t anonymous_device = 0xffe; ///< st_dev of all of them
inline constexpr uint32_t anonymous_mount = 0;      ///< mnt_id in /proc/PID/fdinfo; no mount in the table has it
/// A number never given before.
uint64_t anonymous_inode();
/// One link, born at 0, owned by root.
FileStat anonymous_stat(uint64_t inode, uint32_t mode);

/// Those that Linux has behind one inode without a type: "anon_inode:[kind]".
class AnonymousFile : public File {
public:
    /// `kind` is kept as it is: a literal.
    AnonymousFile(uint32_t open_flags_value, const char* kind) : File(open_flags_value), kind_(kind) {}
    Result<FileStat> stat() final;
    size_t describe(std::span<char> buffer) final;

private:
    const char* const kind_;
};

} // namespace lentil
