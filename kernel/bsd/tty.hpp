// SPDX-License-Identifier: BSD-2-Clause
// Terminals: line discipline, job control, window size. The console is one; ptys will be others.
#pragma once

#include <bsd/file.hpp>
#include <bsd/proc.hpp>

namespace lentil {

/// Linux's struct termios (kernel layout: 4 flag words, line, 19 control characters).
struct Termios {
    uint32_t iflag, oflag, cflag, lflag;
    uint8_t line;
    uint8_t cc[19];
};
static_assert(sizeof(Termios) == 36);

struct WindowSize {
    uint16_t rows = 24, columns = 80, x_pixels = 0, y_pixels = 0;
};

/// One terminal. Input arrives from interrupts; readers and writers block.
class Tty {
public:
    /// `output` sends bytes to the device; callable from interrupts (echo).
    using Output = void (*)(void* device, std::string_view bytes);
    constexpr Tty(const char* name, uint32_t device_number, Output output, void* device);
    Tty(const Tty&) = delete;
    Tty& operator=(const Tty&) = delete;

    /// A byte from the device: editing, echo, signals. Interrupt context.
    void input(char c);

    Result<size_t> read(Uio& uio, bool nonblocking);
    Result<size_t> write(Uio& uio, bool nonblocking);
    Result<uint64_t> ioctl(uint32_t command, uint64_t argument, File& file);
    uint32_t poll(uint32_t events, PollTable* table);

    const char* name() const { return name_; }
    uint32_t device_number() const { return device_number_; }

    /// open(2) without O_NOCTTY by a session leader that has none: becomes its controlling terminal.
    void opened(uint32_t flags);
    /// The session leader ended or the line hung up: SIGHUP and SIGCONT to the foreground group, no session any more.
    void disassociate();

    // t: proc_tree_lock
    RefPtr<Session> session;               ///< t; whose controlling terminal it is
    RefPtr<ProcessGroup> foreground;       ///< t

private:
    friend struct TtyInternals;
    const char* name_;
    uint32_t device_number_;
    Output output_;
    void* device_;
    mutable SpinLock<Rank::tty_spin> lock_;
    Termios termios_;
    WindowSize window_;
    static constexpr unsigned input_capacity = 4096;
    char input_[input_capacity];           ///< ring: [read_, canonical_) are whole lines, [canonical_, write_) the line being edited
    unsigned read_ = 0, canonical_ = 0, write_ = 0;
    unsigned lines_ = 0;
    unsigned column_ = 0;
    bool stopped_ = false;                 ///< Ctrl-S
    bool literal_next_ = false;
    Waitq read_waitq_, write_waitq_;
};

/// The end of a session leader: its controlling terminal, if any, is disassociated.
void session_leader_ends(Proc& leader);

/// The system console's terminal.
Tty& console_tty();

} // namespace lentil
