// SPDX-License-Identifier: BSD-2-Clause
// uio: where the bytes of a read or write go or come from: several pieces of user memory, or one of the kernel's.
#pragma once

#include <span>

#include <vm/vm_user.hpp>

namespace lentil {

struct UioSegment {
    vaddr_t base = 0;
    size_t length = 0;
};

/// Moves bytes between a kernel buffer and the caller's, remembering how far it came. Copies may fault and sleep.
class Uio {
public:
    /// User memory; `segments` must outlive the Uio and be range-checked by the caller.
    explicit Uio(std::span<const UioSegment> segments) : segments_(segments) {
        for (const UioSegment& s : segments)
            left_ += s.length;
    }
    /// Kernel memory: for exec, the initramfs and the kernel's own reads.
    static Uio kernel(void* buffer, size_t n) {
        Uio u{std::span<const UioSegment>()};
        u.kernel_ = static_cast<char*>(buffer);
        u.left_ = n;
        return u;
    }

    size_t left() const { return left_; }
    size_t moved() const { return moved_; }
    /// Stops after `n` more bytes.
    void limit(size_t n) { left_ = n < left_ ? n : left_; }
    bool is_user() const { return kernel_ == nullptr; }

    /// Kernel to caller (read) and caller to kernel (write): moves min(n, left) bytes; fault if none could be moved and
    /// some were asked for. Returns bytes moved, short after a fault.
    Result<size_t> put(const void* from, size_t n);
    Result<size_t> take(void* to, size_t n);
    Result<size_t> put_zeros(size_t n);
    /// Where the next `n` bytes lie, if in one piece of user memory, else 0; advance_in_piece() after those that were moved.
    vaddr_t in_one_piece(size_t n) const {
        if (index_ < segments_.size() && n <= left_ && n <= segments_[index_].length - offset_) [[likely]]
            return segments_[index_].base + offset_;
        return 0;
    }
    void advance_in_piece(size_t n) {
        offset_ += n;
        left_ -= n;
        moved_ += n;
    }
    /// The current contiguous user piece, for direct copies (VmObject::read); then advance().
    UioSegment piece() {
        if (kernel_)
            return {reinterpret_cast<vaddr_t>(kernel_), left_};
        if (index_ < segments_.size() && offset_ == segments_[index_].length) [[unlikely]]
            next_segment();
        if (index_ == segments_.size())
            return {};
        return {segments_[index_].base + offset_, segments_[index_].length - offset_};
    }
    void advance(size_t n) {
        left_ -= n;
        moved_ += n;
        if (kernel_)
            kernel_ += n;
        else if (index_ < segments_.size() && n <= segments_[index_].length - offset_)
            offset_ += n;
        else
            skip(n);
    }

private:
    Result<size_t> put_pieces(const void* from, size_t n);
    Result<size_t> take_pieces(void* to, size_t n);
    void next_segment();
    void skip(size_t n); ///< more than the current segment has

    std::span<const UioSegment> segments_;
    size_t index_ = 0, offset_ = 0;
    char* kernel_ = nullptr;
    size_t left_ = 0, moved_ = 0;
};

} // namespace lentil
