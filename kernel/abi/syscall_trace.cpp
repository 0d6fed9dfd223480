// SPDX-License-Identifier: BSD-2-Clause
// The probes of system calls; on the console `pid/tid name(arguments)` on the way in, `= result` on the way out.
#include <abi/syscall_trace.hpp>
#include <libkern/format.hpp>

namespace lentil::abi {

namespace {

const SyscallEntry* find_entry(int64_t number) {
    for (const SyscallEntry& e : number >= 0 ? linux_table() : native_table())
        if (e.number == number)
            return &e;
    return nullptr;
}

/// Text on its way to one line; drops what does not fit.
class Line {
public:
    template<class... A>
    void add(std::string_view format, const A&... args) {
        length_ += format_to(std::span(buffer_).subspan(length_), format, args...).size();
    }
    std::string_view view() const { return {buffer_, length_}; }

private:
    char buffer_[400];
    size_t length_ = 0;
};

void add_argument(Line& line, ArgKind kind, uint64_t value) {
    switch (kind) {
    case ArgKind::signed_number: line.add("{}", static_cast<int32_t>(value)); break;
    case ArgKind::signed_word: line.add("{}", static_cast<int64_t>(value)); break;
    case ArgKind::unsigned_number: line.add("{:#x}", static_cast<uint32_t>(value)); break;
    case ArgKind::word:
    case ArgKind::pointer: line.add("{:#x}", value); break;
    case ArgKind::path: {
        char text[96];
        const long n = machine::user_read_string(text, value, sizeof text);
        if (n < 0)
            line.add("{:#x}", value);
        else
            line.add("\"{}\"", std::string_view(text, static_cast<size_t>(n)));
        break;
    }
    }
}

void print_entry(const machine::Trapframe& frame) {
    Line line;
    const int64_t number = frame.syscall_number();
    line.add("[{}/{}] ", current_proc().pid, current_uthread().tid);
    const SyscallEntry* entry = find_entry(number);
    if (entry) {
        line.add("{}(", entry->name);
        for (unsigned i = 0; i < entry->arity; i++) {
            if (i > 0)
                line.add(", ");
            add_argument(line, entry->kinds[i], frame.arg(i));
        }
    } else {
        line.add("call {}({:#x}, {:#x}, {:#x}", number, frame.arg(0), frame.arg(1), frame.arg(2));
    }
    kprint("{})\n", line.view());
}

void print_exit(int64_t number, const Result<uint64_t>& result, bool frame_replaced) {
    const SyscallEntry* entry = find_entry(number);
    Line line;
    line.add("[{}/{}] ", current_proc().pid, current_uthread().tid);
    line.add("{} = ", entry ? std::string_view(entry->name) : std::string_view("?"));
    if (frame_replaced)
        line.add("(new registers)");
    else if (!result.ok())
        line.add("-{} ({})", static_cast<int32_t>(result.error()), errno_text(result.error()));
    else if (static_cast<int64_t>(*result) >= -4096 && *result < 0x100000)
        line.add("{}", static_cast<int64_t>(*result));
    else
        line.add("{:#x}", *result);
    kprint("{}\n", line.view());
}

} // namespace

void trace_entry(const machine::Trapframe& frame) {
    trace(Probe::syscall_entry, frame.syscall_number(), frame.arg(0), frame.arg(1), frame.arg(2));
    if (trace_state::any(trace_state::console_syscalls))
        print_entry(frame);
}

void trace_exit(int64_t number, const Result<uint64_t>& result, bool frame_replaced) {
    trace(Probe::syscall_return, number,
          result.ok() ? static_cast<int64_t>(*result) : -static_cast<int64_t>(result.error()), frame_replaced);
    if (trace_state::any(trace_state::console_syscalls))
        print_exit(number, result, frame_replaced);
}

} // namespace lentil::abi
