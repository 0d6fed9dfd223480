// SPDX-License-Identifier: BSD-2-Clause
// Files without a file system.
#include <bsd/anonymous_file.hpp>
#include <libkern/format.hpp>

namespace lentil {

namespace {
constexpr uint64_t common_inode = 1;
constinit std::atomic<uint64_t> next_inode{common_inode + 1};
} // namespace

uint64_t anonymous_inode() { return next_inode.fetch_add(1, std::memory_order_relaxed); }

FileStat anonymous_stat(uint64_t inode, uint32_t mode) {
    FileStat st;
    st.device = anonymous_device;
    st.inode = inode;
    st.mode = mode;
    st.links = 1;
    return st;
}

Result<FileStat> AnonymousFile::stat() { return anonymous_stat(common_inode, 0600); }

size_t AnonymousFile::describe(std::span<char> buffer) { return format_to(buffer, "anon_inode:[{}]", kind_).size(); }

} // namespace lentil
