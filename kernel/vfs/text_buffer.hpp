// SPDX-License-Identifier: BSD-2-Clause
// Text that grows while it is written: the contents of files in /proc.
#pragma once

#include <string_view>

#include <libkern/format.hpp>
#include <vm/zalloc.hpp>

namespace lentil {

/// Running out of memory is remembered, not reported at every step: ask failed() at the end.
class TextBuffer {
public:
    template<class... A>
    void add(std::string_view format, const A&... args) {
        sink().add(format, args...);
    }
    void text(std::string_view piece);
    /// Spaces up to column `width` of the current line, which began at `line_start`.
    void pad(size_t line_start, size_t width);
    /// Room for `n` more bytes to be filled in by the caller; empty if there is no memory.
    std::span<char> extend(size_t n);
    void cut(size_t size) { size_ = size < size_ ? size : size_; }
    void clear() { size_ = 0, failed_ = false; }

    /// For others to write through.
    FormatSink sink() {
        return {[](void* self, std::string_view piece) { static_cast<TextBuffer*>(self)->text(piece); }, this};
    }

    size_t size() const { return size_; }
    std::string_view view() const { return {data_.data(), size_}; }
    bool failed() const { return failed_; }

private:
    bool reserve(size_t size);

    Buffer<char> data_;
    size_t size_ = 0;
    bool failed_ = false;
};

} // namespace lentil
