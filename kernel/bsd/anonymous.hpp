// SPDX-License-Identifier: BSD-2-Clause
// What stat says of files without a node: eventfd, epoll.
#pragma once

#include <bsd/file.hpp>

namespace lentil {

/// Mode 0600 without a type, as Linux's anonymous inode.
inline FileStat anonymous_stat() {
    FileStat st;
    st.device = 0xd;
    st.inode = 1;
    st.mode = 0600;
    st.links = 1;
    return st;
}

} // namespace lentil
