// SPDX-License-Identifier: BSD-2-Clause
// Typed access to user memory: addresses are checked to lie in the user half, a fault that cannot be resolved is
// Errno::fault, and only types without padding go out (nothing leaks).
#pragma once

#include <cstring>
#include <span>
#include <type_traits>

#include <machine/machine.hpp>
#include <vm/zalloc.hpp>

namespace lentil {

/// Whether [address, address+n) lies in the user half. Does not say that it is mapped.
inline bool user_range_ok(vaddr_t address, size_t n) {
    return n <= machine::Pte::user_end && address <= machine::Pte::user_end - n;
}

Result<void> copyin(void* to, vaddr_t from, size_t n);
Result<void> copyout(vaddr_t to, const void* from, size_t n);
Result<void> zeroout(vaddr_t to, size_t n);

/// Whether T is a few words, which have a shorter way.
template<class T>
inline constexpr bool is_few_words = sizeof(T) % 8 == 0 && sizeof(T) / 8 <= machine::user_words_most &&
                                     alignof(T) % 8 == 0;

/// Whether T is so many words that writing them has a shorter way.
template<class T>
inline constexpr bool is_block_of_words = sizeof(T) % 8 == 0 && machine::is_block_of_words(sizeof(T) / 8) &&
                                          alignof(T) % 8 == 0;

/// The same as copyin() and copyout() for one value.
template<class T>
Result<void> copyin_value(T& to, vaddr_t from) {
    static_assert(std::is_trivially_copyable_v<T>);
    if constexpr (is_few_words<T>) {
        if (machine::user_read_words<sizeof(T) / 8>(reinterpret_cast<uint64_t*>(&to), from)) [[likely]]
            return {};
        return Errno::fault;
    } else {
        return copyin(&to, from, sizeof to);
    }
}
template<class T>
Result<void> copyout_value(vaddr_t to, const T& from) {
    static_assert(std::is_trivially_copyable_v<T>);
    if constexpr (is_few_words<T> || is_block_of_words<T>) {
        if (machine::user_write_words<sizeof(T) / 8>(to, reinterpret_cast<const uint64_t*>(&from))) [[likely]]
            return {};
        return Errno::fault;
    } else {
        return copyout(to, &from, sizeof from);
    }
}

/// A user pointer to T that has not been looked at yet.
template<class T>
class UserPtr {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    constexpr UserPtr() = default;
    constexpr explicit UserPtr(vaddr_t address) : address_(address) {}
    vaddr_t address() const { return address_; }
    explicit operator bool() const { return address_ != 0; }
    UserPtr operator+(size_t n) const { return UserPtr(address_ + n * sizeof(T)); }

    Result<T> read() const {
        T value{};
        TRY(copyin_value(value, address_));
        return value;
    }
    Result<void> write(const T& value) const {
        static_assert(std::has_unique_object_representations_v<T> || std::is_floating_point_v<T>,
                      "padding would leak kernel memory");
        return copyout_value(address_, value);
    }

private:
    vaddr_t address_ = 0;
};

/// A string from user memory, at most `max` bytes with its terminator: nametoolong if longer. For paths use max 4096.
class UserString {
public:
    static Result<UserString> copy(vaddr_t from, size_t max = 4096);
    std::string_view view() const { return {buffer_.data(), length_}; }
    const char* c_str() const { return buffer_.data(); }

private:
    Buffer<char> buffer_;
    size_t length_ = 0;
};

} // namespace lentil
