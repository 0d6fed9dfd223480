// SPDX-License-Identifier: BSD-2-Clause
// System calls declared once: number, name, handler. The handler's C++ signature is the ABI: the thunk made from it
// decodes the argument registers by type. Dispatch, tracing and the reference page come from the same table.
#pragma once

#include <span>
#include <string_view>

#include <bsd/proc.hpp>

namespace lentil::abi {

using SyscallThunk = Result<uint64_t> (*)(const machine::Trapframe& frame);

/// How the trace shows an argument; follows from its C++ type.
enum class ArgKind : uint8_t { signed_number, signed_word, unsigned_number, word, pointer, path };

/// A path argument: the address of a string in user memory.
struct UserPath {
    constexpr explicit UserPath(vaddr_t a) : address(a) {}
    /// Copies it in: fault, nametoolong from 4096 bytes on.
    Result<UserString> copy() const { return UserString::copy(address); }
    vaddr_t address;
};

namespace detail {
int64_t direct_failed(Errno);
}

/// What a handler may return instead of Result<uint64_t>: the same in one register, as user mode sees it, which is made
/// where the value is known. For calls that are made often and do little.
class [[nodiscard]] CallValue {
public:
    CallValue(uint64_t value) : raw_(static_cast<int64_t>(value)) {} ///< no error: never one of the last 4095
    CallValue(Errno error) : raw_(detail::direct_failed(error)) {}
    int64_t raw() const { return raw_; }
    bool ok() const { return static_cast<uint64_t>(raw_) < static_cast<uint64_t>(-4095); }
    Errno error() const { return static_cast<Errno>(-raw_); }

private:
    int64_t raw_;
};

struct SyscallEntry {
    int32_t number;
    const char* name;
    SyscallThunk thunk;
    machine::DirectCall direct; ///< null: it reads or writes user registers besides its arguments
    machine::DirectCall leaf;   ///< null: it has none (abi/leaf_calls.hpp)
    uint32_t arity;
    ArgKind kinds[6];
};

namespace detail {
template<class T>
constexpr T decode(uint64_t raw) {
    if constexpr (std::is_constructible_v<T, vaddr_t> && std::is_class_v<T>)
        return T(raw); // UserPtr<...>
    else
        return static_cast<T>(raw); // narrowing is the ABI: int arguments use the low 32 bits
}

template<class T>
consteval ArgKind kind_of() {
    if constexpr (std::is_same_v<T, UserPath>)
        return ArgKind::path;
    else if constexpr (std::is_class_v<T>)
        return ArgKind::pointer;
    else if constexpr (std::is_signed_v<T>)
        return sizeof(T) == 8 ? ArgKind::signed_word : ArgKind::signed_number;
    else
        return sizeof(T) == 8 ? ArgKind::word : ArgKind::unsigned_number;
}

/// What a thread must be after a call, in a build with checks.
inline void check_after_call() {
#if defined(LENTIL_CHECKS)
    ASSERT(current_thread().locks.count == 0);
#endif
    DEBUG_ASSERT(current_thread().preempt_disabled == 0);
}

/// How a direct call ends: the value for user mode's first register.
inline int64_t direct_ends(int64_t value) {
    check_after_call();
    return value;
}

template<auto Handler, class Signature = decltype(Handler)>
struct Thunk;

template<auto Handler, class R, class... A>
struct Thunk<Handler, R (*)(A...)> {
    static constexpr uint32_t arity = sizeof...(A);
    static_assert(arity <= 6);

    static consteval SyscallEntry entry(int32_t number, const char* name, bool whole_frame,
                                        machine::DirectCall leaf = nullptr) {
        SyscallEntry e{number, name, &call, whole_frame ? nullptr : &direct, leaf, arity, {}};
        const ArgKind kinds[] = {kind_of<A>()..., ArgKind::word};
        for (uint32_t i = 0; i < arity; i++)
            e.kinds[i] = kinds[i];
        return e;
    }

    static int64_t direct(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5) {
        const uint64_t raw[] = {a0, a1, a2, a3, a4, a5};
        return [&]<size_t... I>(std::index_sequence<I...>)->int64_t {
            if constexpr (std::is_void_v<R>) {
                Handler(decode<A>(raw[I])...);
                return direct_ends(0);
            } else if constexpr (std::is_same_v<R, CallValue>) {
                return direct_ends(Handler(decode<A>(raw[I])...).raw());
            } else {
                const auto result = Handler(decode<A>(raw[I])...);
                if (!result.ok()) [[unlikely]]
                    return direct_ends(direct_failed(result.error()));
                if constexpr (std::is_same_v<R, Result<void>>)
                    return direct_ends(0);
                else
                    return direct_ends(static_cast<int64_t>(*result));
            }
        }
        (std::index_sequence_for<A...>{});
    }

    static Result<uint64_t> call(const machine::Trapframe& frame) {
        return [&]<size_t... I>(std::index_sequence<I...>)->Result<uint64_t> {
            if constexpr (std::is_same_v<R, Result<void>>) {
                TRY(Handler(decode<A>(frame.arg(I))...));
                return uint64_t{0};
            } else if constexpr (std::is_void_v<R>) {
                Handler(decode<A>(frame.arg(I))...);
                return uint64_t{0};
            } else if constexpr (std::is_same_v<R, CallValue>) {
                const CallValue value = Handler(decode<A>(frame.arg(I))...);
                return value.ok() ? Result<uint64_t>(static_cast<uint64_t>(value.raw())) : value.error();
            } else {
                auto value = TRY(Handler(decode<A>(frame.arg(I))...));
                if constexpr (std::is_signed_v<decltype(value)>)
                    return static_cast<uint64_t>(static_cast<int64_t>(value));
                else
                    return static_cast<uint64_t>(value);
            }
        }
        (std::index_sequence_for<A...>{});
    }
};
} // namespace detail

/// Before the first user instruction: from now on tracing can be switched on and off.
void syscalls_init();
/// The system call that `frame` asks for; sets the result, except where the handler replaced the frame itself (exec,
/// sigreturn, a loan's hand-over: they say so through `syscall_frame_replaced`). hooks.syscall.
void dispatch(machine::Trapframe& frame);
/// The current system call left the user frame as it must be: dispatch must not store a result into it. Belongs to the
/// thread, so it holds whoever the thread executes as when the call returns.
inline void syscall_frame_replaced() { current_thread().user_frame_replaced = true; }
/// The user frame of the current thread.
inline machine::Trapframe& user_frame() { return machine::user_frame(current_thread().arch); }

/// All entries, by number: for the reference page and /proc.
std::span<const SyscallEntry> linux_table();
std::span<const SyscallEntry> native_table();

} // namespace lentil::abi
