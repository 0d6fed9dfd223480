// SPDX-License-Identifier: BSD-2-Clause
// Linux's terminal settings (asm-generic/termbits.h): layout, flags, control characters. No dependencies, for tests too.
#pragma once

#include <cstdint>

namespace lentil {

/// struct termios as TCGETS and TCSETS move it.
struct Termios {
    uint32_t iflag = 0, oflag = 0, cflag = 0, lflag = 0;
    uint8_t line = 0;
    uint8_t cc[19] = {};
};
static_assert(sizeof(Termios) == 36);

/// struct termios2 of TCGETS2 and TCSETS2: with the speeds as numbers.
struct Termios2 {
    Termios base;
    uint32_t input_speed = 0, output_speed = 0;
};
static_assert(sizeof(Termios2) == 44);

struct WindowSize {
    uint16_t rows = 24, columns = 80, x_pixels = 0, y_pixels = 0;
};

namespace tty_iflag {
inline constexpr uint32_t ignbrk = 1, brkint = 2, istrip = 040, inlcr = 0100, igncr = 0200, icrnl = 0400, iuclc = 01000,
                          ixon = 02000, ixany = 04000, imaxbel = 020000, iutf8 = 040000;
}
namespace tty_oflag {
inline constexpr uint32_t opost = 1, olcuc = 2, onlcr = 4, ocrnl = 010, onocr = 020, onlret = 040, tab_delay = 014000;
}
namespace tty_cflag {
inline constexpr uint32_t b38400 = 017, b115200 = 010002, cs8 = 060, cread = 0200, hupcl = 02000;
}
namespace tty_lflag {
inline constexpr uint32_t isig = 1, icanon = 2, echo = 010, echoe = 020, echok = 040, echonl = 0100, noflsh = 0200,
                          tostop = 0400, echoctl = 01000, echoprt = 02000, echoke = 04000, iexten = 0100000;
}
/// Indices into Termios::cc. A character of 0 means: disabled.
namespace tty_cc {
inline constexpr unsigned intr = 0, quit = 1, erase = 2, kill = 3, eof = 4, time = 5, min = 6, start = 8, stop = 9,
                          susp = 10, eol = 11, reprint = 12, werase = 14, lnext = 15, eol2 = 16;
}

/// What a terminal starts with ("sane").
constexpr Termios default_termios() {
    Termios t;
    t.iflag = tty_iflag::icrnl | tty_iflag::ixon | tty_iflag::imaxbel | tty_iflag::iutf8;
    t.oflag = tty_oflag::opost | tty_oflag::onlcr;
    t.cflag = tty_cflag::b115200 | tty_cflag::cs8 | tty_cflag::cread | tty_cflag::hupcl;
    t.lflag = tty_lflag::isig | tty_lflag::icanon | tty_lflag::echo | tty_lflag::echoe | tty_lflag::echok |
              tty_lflag::echoctl | tty_lflag::echoke | tty_lflag::iexten;
    t.cc[tty_cc::intr] = 'C' & 31;
    t.cc[tty_cc::quit] = '\\' & 31;
    t.cc[tty_cc::erase] = 0177;
    t.cc[tty_cc::kill] = 'U' & 31;
    t.cc[tty_cc::eof] = 'D' & 31;
    t.cc[tty_cc::min] = 1;
    t.cc[tty_cc::start] = 'Q' & 31;
    t.cc[tty_cc::stop] = 'S' & 31;
    t.cc[tty_cc::susp] = 'Z' & 31;
    t.cc[tty_cc::reprint] = 'R' & 31;
    t.cc[13] = 'O' & 31; // VDISCARD: shown, without an effect, as on Linux
    t.cc[tty_cc::werase] = 'W' & 31;
    t.cc[tty_cc::lnext] = 'V' & 31;
    return t;
}

} // namespace lentil
