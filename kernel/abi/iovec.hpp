// SPDX-License-Identifier: BSD-2-Clause
// The buffers of a read or write call, checked.
#pragma once

#include <abi/linux_file.hpp>
#include <bsd/uio.hpp>

namespace lentil::abi {

/// One buffer: inval if longer than a signed size can say, fault outside the user half; cut to Linux's limit on one call.
inline Result<UioSegment> one_segment(uint64_t buffer, uint64_t n) {
    if (static_cast<int64_t>(n) < 0)
        return Errno::inval;
    if (!user_range_ok(buffer, n))
        return Errno::fault;
    return UioSegment{buffer, n < rw_max ? n : rw_max};
}

/// The segments of a readv or writev; a few on the stack.
class Segments {
public:
    /// Copies `count` of them in: inval for more than 1024 or a negative length, fault.
    Result<std::span<const UioSegment>> load(UserPtr<Iovec> vector, uint64_t count);

private:
    static constexpr size_t own_count = 8;
    UioSegment own_[own_count];
    Buffer<UioSegment> more_;
};

} // namespace lentil::abi
