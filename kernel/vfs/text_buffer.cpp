// SPDX-License-Identifier: BSD-2-Clause
// Text that grows.
#include <algorithm>
#include <cstring>

#include <vfs/text_buffer.hpp>

namespace lentil {

bool TextBuffer::reserve(size_t size) {
    if (size <= data_.size())
        return true;
    Result<Buffer<char>> fresh = Buffer<char>::create(std::max({size, 2 * data_.size(), size_t{512}}));
    if (!fresh) {
        failed_ = true;
        return false;
    }
    if (size_ > 0)
        memcpy(fresh->data(), data_.data(), size_);
    data_ = std::move(*fresh);
    return true;
}

void TextBuffer::text(std::string_view piece) {
    if (piece.empty() || !reserve(size_ + piece.size()))
        return;
    memcpy(data_.data() + size_, piece.data(), piece.size());
    size_ += piece.size();
}

void TextBuffer::pad(size_t line_start, size_t width) {
    while (size_ - line_start < width && !failed_)
        text(" ");
}

std::span<char> TextBuffer::extend(size_t n) {
    if (!reserve(size_ + n))
        return {};
    size_ += n;
    return data_.span().subspan(size_ - n, n);
}

} // namespace lentil
