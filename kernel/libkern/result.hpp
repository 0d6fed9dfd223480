// SPDX-License-Identifier: BSD-2-Clause
// The one error type: Result<T> carries a value or an Errno. TRY hands an error up to the caller.
#pragma once

#include <cstdint>
#include <expected>
#include <string_view>
#include <type_traits>
#include <utility>

namespace lentil {

/// Linux's numbers, so that what user mode sees needs no translation. The `restart_*` values exist only inside the
/// kernel: signal delivery turns each into a restart or into `intr` before user mode can see it.
enum class Errno : int32_t {
#define X(name, value, text) name = value,
#include <libkern/errno.def>
#undef X
    restart_sys = 512,    ///< restart if the handler has SA_RESTART, else EINTR
    restart_nointr = 513, ///< always restart; the caller never sees EINTR
    restart_nohand = 514, ///< restart only if no handler runs, else EINTR
    restart_block = 516,  ///< restart through the uthread's restart block (relative time limits), else EINTR
};

/// The text of `e`, for messages of the kernel's own.
constexpr std::string_view errno_text(Errno e) {
    switch (e) {
#define X(name, value, text)                                                                                           \
    case Errno::name:                                                                                                  \
        return text;
#include <libkern/errno.def>
#undef X
    default: return "unknown error";
    }
}

/// A value or an Errno. Converts implicitly from both, cannot be ignored, never throws. Use `TRY`, or test it and
/// then `*r` / `r.error()`; `.value()` is banned (it would need exceptions).
template<class T = void>
class [[nodiscard]] Result : public std::expected<T, Errno> {
    using Base = std::expected<T, Errno>;

public:
    using Base::Base;
    constexpr Result(Errno e) : Base(std::unexpect, e) {}
    constexpr bool ok() const { return this->has_value(); }
};

/// What is small and has an empty value of its own: both lie side by side. Compilers keep that in two registers, and a union,
/// which std::expected is, they write to the stack and read back wherever a Result is handed on.
template<class T>
requires(sizeof(T) <= 16 && !std::is_void_v<T> &&
         std::is_nothrow_default_constructible_v<T>) class [[nodiscard]] Result<T> {
public:
    using value_type = T;
    constexpr Result() = default;
    constexpr Result(Errno e) : error_(static_cast<int32_t>(e)) {}
    template<class U = T>
    requires(!std::is_same_v<std::remove_cvref_t<U>, Result> && !std::is_same_v<std::remove_cvref_t<U>, Errno> &&
             std::is_constructible_v<T, U>) constexpr explicit(!std::is_convertible_v<U, T>) Result(U&& value)
        : value_(std::forward<U>(value)) {}
    template<class U>
    requires(!std::is_same_v<U, T> && std::is_constructible_v<T, U>) constexpr explicit(!std::is_convertible_v<U, T>)
        Result(Result<U>&& other) {
        if (other.has_value())
            value_ = T(std::move(*other));
        else
            error_ = static_cast<int32_t>(other.error());
    }
    constexpr bool ok() const { return error_ == 0; }
    constexpr bool has_value() const { return ok(); }
    constexpr explicit operator bool() const { return ok(); }
    constexpr Errno error() const { return static_cast<Errno>(error_); }
    constexpr T& operator*() & { return value_; }
    constexpr const T& operator*() const& { return value_; }
    constexpr T&& operator*() && { return std::move(value_); }
    constexpr T* operator->() { return &value_; }
    constexpr const T* operator->() const { return &value_; }
    template<class U>
    constexpr T value_or(U&& other) const& {
        return ok() ? value_ : static_cast<T>(std::forward<U>(other));
    }
    template<class U>
    constexpr T value_or(U&& other) && {
        return ok() ? std::move(value_) : static_cast<T>(std::forward<U>(other));
    }

private:
    T value_{};
    int32_t error_ = 0; ///< no Errno is 0
};

/// Success or an Errno, in one register: std::expected<void, E> travels through memory.
template<>
class [[nodiscard]] Result<void> {
public:
    using value_type = void;
    constexpr Result() = default;
    constexpr Result(Errno e) : error_(static_cast<int32_t>(e)) {}
    constexpr bool ok() const { return error_ == 0; }
    constexpr bool has_value() const { return ok(); }
    constexpr explicit operator bool() const { return ok(); }
    constexpr Errno error() const { return static_cast<Errno>(error_); }

private:
    int32_t error_ = 0; ///< no Errno is 0
};

namespace detail {
template<class T>
constexpr T&& take(Result<T>&& r) {
    return std::move(*r);
}
constexpr void take(Result<void>&&) {}
} // namespace detail

/// Yields the value of a Result, or returns its error from the enclosing function.
#define TRY(...)                                                                                                       \
    ({                                                                                                                 \
        auto try_result_ = (__VA_ARGS__);                                                                              \
        if (!try_result_.has_value()) [[unlikely]]                                                                     \
            return try_result_.error();                                                                                \
        static_assert(!std::is_reference_v<typename decltype(try_result_)::value_type>);                               \
        ::lentil::detail::take(std::move(try_result_));                                                                \
    })

} // namespace lentil
