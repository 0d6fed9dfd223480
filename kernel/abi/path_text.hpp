// SPDX-License-Identifier: BSD-2-Clause
// The text of a path argument. Short ones, which most are, take no memory but the caller's stack.
#pragma once

#include <abi/syscall.hpp>

namespace lentil::abi {

class PathText {
public:
    PathText() = default; // leaves the room for the text as it is
    PathText(const PathText&) = delete;
    PathText& operator=(const PathText&) = delete;

    /// fault, nametoolong from 4096 bytes on.
    [[gnu::noinline]] Result<void> copy(UserPath path) {
        // Pieces that cannot lie in two pages: what is behind the text's end can be read if the text can.
        const size_t skip = path.address % piece_bytes;
        if (!read_piece(0, path.address - skip))
            return Errno::fault;
        words_[skip / 8] |= (uint64_t{1} << skip % 8 * 8) - 1; // no end before the beginning
        if (ends_in(skip, skip / 8, piece_words)) [[likely]]
            return {};
        return copy_rest(path, skip);
    }
    std::string_view view() const { return text_; }

private:
    static constexpr size_t piece_words = 4, piece_bytes = piece_words * 8, pieces = 5;

    /// n of 256^n.
    static size_t place_of(uint64_t power) { return power * 0x0001020304050607 >> 56; }

    bool read_piece(size_t piece, vaddr_t from) {
        return machine::user_read_words<piece_words>(words_ + piece * piece_words, from);
    }

    /// Sets the text, which begins `skip` bytes from the first word on, if its end lies in words [word, limit).
    bool ends_in(size_t skip, size_t word, size_t limit) {
        constexpr uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
        for (; word < limit; word++) {
            const uint64_t ends = (words_[word] - ones) & ~words_[word] & tops; // exact in its lowest bit
            if (ends == 0)
                continue;
            const uint64_t end = word * 8 + place_of((ends & -ends) >> 7);
            text_ = {reinterpret_cast<const char*>(words_) + skip, end - skip};
            return true;
        }
        return false;
    }

    /// Of a text that is longer than the first piece.
    [[gnu::noinline]] Result<void> copy_rest(UserPath path, size_t skip) {
        for (size_t piece = 1; piece < pieces; piece++) {
            if (!read_piece(piece, path.address - skip + piece * piece_bytes))
                return Errno::fault;
            if (ends_in(skip, piece * piece_words, (piece + 1) * piece_words))
                return {};
        }
        longer_ = TRY(path.copy());
        text_ = longer_.view();
        return {};
    }

    std::string_view text_;
    UserString longer_;
    uint64_t words_[piece_words * pieces];
};

} // namespace lentil::abi
