// SPDX-License-Identifier: BSD-2-Clause
// Typed access to user memory.
#include <algorithm>

#include <vm/vm_user.hpp>

namespace lentil {

Result<void> copyin(void* to, vaddr_t from, size_t n) {
    if (!user_range_ok(from, n) || machine::user_read(to, from, n) != n)
        return Errno::fault;
    return {};
}

Result<void> copyout(vaddr_t to, const void* from, size_t n) {
    if (!user_range_ok(to, n) || machine::user_write(to, from, n) != n)
        return Errno::fault;
    return {};
}

Result<void> zeroout(vaddr_t to, size_t n) {
    if (!user_range_ok(to, n) || machine::user_zero(to, n) != n)
        return Errno::fault;
    return {};
}

Result<UserString> UserString::copy(vaddr_t from, size_t max) {
    // Most strings are short: the first piece is small, and grows to `max` where that does not do.
    constexpr size_t first_piece = 128;
    for (size_t size = std::min(first_piece, max);; size = max) {
        UserString string;
        string.buffer_ = TRY(Buffer<char>::create_uninitialized(size));
        const long length = machine::user_read_string(string.buffer_.data(), from, size);
        if (length < 0)
            return Errno::fault;
        if (static_cast<size_t>(length) < size) {
            string.length_ = static_cast<size_t>(length);
            return string;
        }
        if (size == max)
            return Errno::nametoolong;
    }
}

} // namespace lentil
