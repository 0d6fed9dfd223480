// SPDX-License-Identifier: BSD-2-Clause
// The line discipline: what a terminal makes of typed and written bytes. Pure: no locks, no processes, no device; its
// owner serialises the calls, and tests drive it directly.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include <bsd/termios.hpp>

namespace lentil {

/// Collects output on the stack and hands it on in pieces.
class TtyOutput {
public:
    using Write = void (*)(void* device, std::string_view bytes);
    TtyOutput(Write write, void* device) : write_(write), device_(device) {}
    TtyOutput(const TtyOutput&) = delete;
    TtyOutput& operator=(const TtyOutput&) = delete;
    ~TtyOutput() { flush(); }

    void put(char c) {
        if (used_ == sizeof buffer_)
            flush();
        buffer_[used_++] = c;
    }
    void flush() {
        if (used_ != 0 && write_)
            write_(device_, {buffer_, used_});
        used_ = 0;
    }

private:
    Write write_;
    void* device_;
    size_t used_ = 0;
    char buffer_[256];
};

/// What an input byte caused.
struct TtyEvents {
    int signo = 0;         ///< for the foreground group: SIGINT, SIGQUIT, SIGTSTP
    bool readable = false; ///< readers should look
    bool resumed = false;  ///< output goes on
    bool flushed = false;  ///< what was typed was thrown away
};

class LineDiscipline {
public:
    constexpr LineDiscipline() : termios_(default_termios()) {}

    /// One byte from the device. Echo goes to `out`.
    TtyEvents input(char c, TtyOutput& out);
    /// One byte that a process writes, with output processing.
    void output(char c, TtyOutput& out);

    const Termios& termios() const { return termios_; }
    /// What is buffered stays: as a line when canonical mode begins, as bytes when it ends.
    void set_termios(const Termios& t);

    bool canonical() const { return termios_.lflag & tty_lflag::icanon; }
    /// Whether a read finds something: a line (or an end of file), or `least` bytes in raw mode.
    bool ready(size_t least = 1) const;
    /// Bytes of input that find a place; a line too long to finish is cut off instead, so that it always can be.
    size_t room() const {
        if (canonical() && canonical_ == tail_)
            return capacity;
        const unsigned limit = canonical() ? capacity - 1 : capacity;
        return count() < limit ? limit - count() : 0;
    }
    /// Bytes that could be read now (FIONREAD).
    size_t available() const;

    struct Taken {
        size_t bytes = 0;
        bool line_end = false; ///< a line, or the end of file (then perhaps no bytes), ended here
    };
    /// Takes what a read gets: in canonical mode no further than the end of the line.
    Taken take(std::span<char> to);

    void flush_input();
    bool output_stopped() const { return stopped_; }
    void stop_output(bool stopped) { stopped_ = stopped; }

    static constexpr unsigned capacity = 4096;

private:
    bool has_flag(uint32_t lflag) const { return termios_.lflag & lflag; }
    bool is_cc(char c, unsigned index) const {
        return termios_.cc[index] != 0 && static_cast<uint8_t>(c) == termios_.cc[index];
    }
    unsigned count() const { return head_ - tail_; }
    char at(unsigned i) const { return buffer_[i % capacity]; }
    bool is_end(unsigned i) const { return ends_[i % capacity / 32] >> (i % 32) & 1; }
    void set_end(unsigned i, bool on);
    void append(char c);
    bool room_or_bell(TtyOutput& out);
    void end_line(char c, TtyEvents& events);
    bool edit(char c, TtyOutput& out, TtyEvents& events);

    void emit(char c, TtyOutput& out);
    void echo(char c, TtyOutput& out);
    void echo_control(char c, TtyOutput& out);
    void erase_char(TtyOutput& out);
    void erase_word(TtyOutput& out);
    void erase_line(TtyOutput& out);
    void rub_out(unsigned from, TtyOutput& out);
    void reprint(TtyOutput& out);
    unsigned width_to(unsigned index) const;

    Termios termios_;
    // Indices only grow; their remainder is the place. [tail_, canonical_) are whole lines, [canonical_, head_) the line
    // being edited; in raw mode canonical_ is not looked at.
    unsigned tail_ = 0, canonical_ = 0, head_ = 0;
    unsigned column_ = 0;      ///< of the cursor, as far as output shows
    unsigned line_column_ = 0; ///< where the line being edited began
    bool stopped_ = false;     ///< by the STOP character
    bool literal_ = false;     ///< LNEXT was typed
    char buffer_[capacity] = {};
    uint32_t ends_[capacity / 32] =
        {}; ///< places where a line ends; an EOF character is kept as a 0 that is never read
};

} // namespace lentil
