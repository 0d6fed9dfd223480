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

struct SyscallEntry {
    int32_t number;
    const char* name;
    SyscallThunk thunk;
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

template<auto Handler, class Signature = decltype(Handler)>
struct Thunk;

template<auto Handler, class R, class... A>
struct Thunk<Handler, R (*)(A...)> {
    static constexpr uint32_t arity = sizeof...(A);
    static_assert(arity <= 6);

    static consteval SyscallEntry entry(int32_t number, const char* name) {
        SyscallEntry e{number, name, &call, arity, {}};
        const ArgKind kinds[] = {kind_of<A>()..., ArgKind::word};
        for (uint32_t i = 0; i < arity; i++)
            e.kinds[i] = kinds[i];
        return e;
    }

    static Result<uint64_t> call(const machine::Trapframe& frame) {
        return [&]<size_t... I>(std::index_sequence<I...>)->Result<uint64_t> {
            if constexpr (std::is_same_v<R, Result<void>>) {
                TRY(Handler(decode<A>(frame.arg(I))...));
                return uint64_t{0};
            } else if constexpr (std::is_void_v<R>) {
                Handler(decode<A>(frame.arg(I))...);
                return uint64_t{0};
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
