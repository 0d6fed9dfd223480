// SPDX-License-Identifier: BSD-2-Clause
// uio: see uio.hpp.
#include <algorithm>
#include <cstring>

#include <bsd/uio.hpp>

namespace lentil {

void Uio::next_segment() {
    while (index_ < segments_.size() && offset_ == segments_[index_].length)
        index_++, offset_ = 0;
}

void Uio::skip(size_t n) {
    while (n > 0) {
        const size_t here = std::min(n, segments_[index_].length - offset_);
        offset_ += here;
        n -= here;
        if (offset_ == segments_[index_].length && n > 0)
            index_++, offset_ = 0;
    }
}

namespace {
/// Moves up to n bytes piece by piece with `copy(piece address, done so far, length)`, which returns bytes moved.
template<class Copy>
Result<size_t> each_piece(Uio& uio, size_t n, Copy copy) {
    n = std::min(n, uio.left());
    size_t done = 0;
    while (done < n) {
        const UioSegment piece = uio.piece();
        const size_t wanted = std::min(piece.length, n - done);
        const size_t got = copy(piece.base, done, wanted);
        uio.advance(got);
        done += got;
        if (got < wanted) {
            if (done == 0)
                return Errno::fault;
            break;
        }
    }
    return done;
}
} // namespace

Result<size_t> Uio::put(const void* from, size_t n) {
    // Mostly all of it lies in one piece of user memory.
    const vaddr_t at = in_one_piece(n);
    if (at == 0) [[unlikely]]
        return put_pieces(from, n);
    const size_t moved = machine::user_write(at, from, n);
    advance_in_piece(moved);
    return moved == 0 && n > 0 ? Result<size_t>(Errno::fault) : moved;
}

[[gnu::noinline]] Result<size_t> Uio::put_pieces(const void* from, size_t n) {
    auto* bytes = static_cast<const char*>(from);
    return each_piece(*this, n, [&](vaddr_t to, size_t done, size_t length) {
        if (!is_user()) {
            memcpy(reinterpret_cast<void*>(to), bytes + done, length);
            return length;
        }
        return machine::user_write(to, bytes + done, length);
    });
}

Result<size_t> Uio::take(void* to, size_t n) {
    const vaddr_t at = in_one_piece(n);
    if (at == 0) [[unlikely]]
        return take_pieces(to, n);
    const size_t moved = machine::user_read(to, at, n);
    advance_in_piece(moved);
    return moved == 0 && n > 0 ? Result<size_t>(Errno::fault) : moved;
}

[[gnu::noinline]] Result<size_t> Uio::take_pieces(void* to, size_t n) {
    auto* bytes = static_cast<char*>(to);
    return each_piece(*this, n, [&](vaddr_t from, size_t done, size_t length) {
        if (!is_user()) {
            memcpy(bytes + done, reinterpret_cast<const void*>(from), length);
            return length;
        }
        return machine::user_read(bytes + done, from, length);
    });
}

Result<size_t> Uio::put_zeros(size_t n) {
    if (const vaddr_t at = in_one_piece(n); at != 0) [[likely]] {
        const size_t moved = machine::user_zero(at, n);
        advance_in_piece(moved);
        return moved == 0 && n > 0 ? Result<size_t>(Errno::fault) : moved;
    }
    return each_piece(*this, n, [&](vaddr_t to, size_t, size_t length) {
        if (!is_user()) {
            memset(reinterpret_cast<void*>(to), 0, length);
            return length;
        }
        return machine::user_zero(to, length);
    });
}

} // namespace lentil
