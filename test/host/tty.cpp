// SPDX-License-Identifier: BSD-2-Clause
// The line discipline: editing, echo, signals, modes, output.
#include <doctest/doctest.h>
#include <string>
#include <utility>

#include <bsd/signal_types.hpp>
#include <bsd/tty_ldisc.hpp>

using namespace lentil;

namespace {

/// A terminal with its screen's bytes.
struct Terminal {
    LineDiscipline line;
    std::string screen;
    int signo = 0;
    bool readable = false;

    static void write(void* device, std::string_view bytes) { static_cast<Terminal*>(device)->screen += bytes; }
    Terminal& type(std::string_view keys) {
        TtyOutput out(write, this);
        for (char c : keys) {
            const TtyEvents e = line.input(c, out);
            if (e.signo)
                signo = e.signo;
            readable |= e.readable;
        }
        return *this;
    }
    Terminal& print(std::string_view text) {
        TtyOutput out(write, this);
        for (char c : text)
            line.output(c, out);
        return *this;
    }
    std::string read(size_t room = 4096) {
        std::string to(room, '?');
        last = line.take(to);
        to.resize(last.bytes);
        return to;
    }
    LineDiscipline::Taken last;
    void change(auto&& f) {
        Termios t = line.termios();
        f(t);
        line.set_termios(t);
    }
    std::string taken_screen() { return std::exchange(screen, {}); }
};

std::string ctrl(char c) { return std::string(1, static_cast<char>(c & 31)); }

} // namespace

TEST_CASE("a line is read only once it is ended, and echoed as typed") {
    Terminal t;
    t.type("ab");
    CHECK_FALSE(t.line.ready());
    CHECK(t.line.available() == 0);
    t.type("c\r");
    CHECK(t.readable);
    CHECK(t.line.available() == 4);
    CHECK(t.read() == "abc\n");
    CHECK(t.last.line_end);
    CHECK(t.screen == "abc\r\n");
    CHECK_FALSE(t.line.ready());
}

TEST_CASE("a short read takes part of a line, the next one its rest, never two lines") {
    Terminal t;
    t.type("hello\nworld\n");
    CHECK(t.read(2) == "he");
    CHECK_FALSE(t.last.line_end);
    CHECK(t.read() == "llo\n");
    CHECK(t.read() == "world\n");
}

TEST_CASE("ERASE takes back a character and its echo, and stops at the beginning of the line") {
    Terminal t;
    t.type("x\n");
    t.taken_screen();
    t.type("ab\177\177\177c\n");
    CHECK(t.screen == "ab\b \b\b \bc\r\n");
    t.read();
    CHECK(t.read() == "c\n");
}

TEST_CASE("ERASE takes back control characters with both cells, tabs to their start, UTF-8 as one") {
    Terminal t;
    t.type(ctrl('A')).taken_screen();
    t.type("\177");
    CHECK(t.screen == "\b \b\b \b");
    t.taken_screen();
    t.type("abc\t").taken_screen();
    t.type("\177");
    CHECK(t.screen == "\b\b\b\b\b"); // from column 8 to 3
    t.taken_screen();
    t.type("\u00e4").taken_screen();
    t.type("\177");
    CHECK(t.screen == "\b \b");
    t.type("\n");
    CHECK(t.read() == "abc\n");
}

TEST_CASE("WERASE takes back a word, KILL the line, REPRINT shows it again") {
    Terminal t;
    t.type("one two  " + ctrl('W') + "\n");
    CHECK(t.read() == "one \n");
    t.type("gone" + ctrl('U') + "kept\n");
    CHECK(t.read() == "kept\n");
    t.type("abc").taken_screen();
    t.type(ctrl('R'));
    CHECK(t.screen == "^R\r\nabc");
}

TEST_CASE("EOF ends a read: with what was typed, or with nothing") {
    Terminal t;
    t.type("ab" + ctrl('D'));
    CHECK(t.line.available() == 2);
    CHECK(t.read() == "ab");
    CHECK(t.last.line_end);
    t.type(ctrl('D'));
    CHECK(t.line.ready());
    CHECK(t.read().empty());
    CHECK(t.last.line_end);
    CHECK_FALSE(t.line.ready());
    // A read of exactly the typed bytes also takes the EOF: the next one must not see it.
    t.type("xy" + ctrl('D') + "z\n");
    CHECK(t.read(2) == "xy");
    CHECK(t.read() == "z\n");
}

TEST_CASE("LNEXT takes the next character as it is") {
    Terminal t;
    t.type(ctrl('V') + ctrl('C') + ctrl('V') + "\177" + ctrl('V') + ctrl('D') + "\n");
    CHECK(t.signo == 0);
    CHECK(t.read() == "\003\177\004\n");
    CHECK(t.screen == "^\b^C^\b^?^\b^D\r\n");
}

TEST_CASE("INTR, QUIT and SUSP become signals, are shown, and throw input away unless NOFLSH") {
    Terminal t;
    t.type("abc" + ctrl('C'));
    CHECK(t.signo == sig_int);
    CHECK(t.screen == "abc^C");
    t.type("\n");
    CHECK(t.read() == "\n");
    t.type(ctrl('\\'));
    CHECK(t.signo == sig_quit);
    t.change([](Termios& m) { m.lflag |= tty_lflag::noflsh; });
    t.type("kept" + ctrl('Z') + "\n");
    CHECK(t.signo == sig_tstp);
    CHECK(t.read() == "kept\n");
    t.signo = 0;
    t.change([](Termios& m) { m.lflag &= ~tty_lflag::isig; });
    t.type(ctrl('C') + "\n");
    CHECK(t.signo == 0);
    CHECK(t.read() == "\003\n");
}

TEST_CASE("STOP and START hold output back and are not input") {
    Terminal t;
    t.type(ctrl('S'));
    CHECK(t.line.output_stopped());
    t.type(ctrl('Q'));
    CHECK_FALSE(t.line.output_stopped());
    t.type(ctrl('S') + ctrl('C')); // a signal lets the output go on too
    CHECK_FALSE(t.line.output_stopped());
    t.type("\n");
    CHECK(t.read() == "\n");
    t.change([](Termios& m) { m.iflag &= ~tty_iflag::ixon; });
    t.type(ctrl('S') + "\n");
    CHECK(t.read() == ctrl('S') + "\n");
}

TEST_CASE("raw mode gives every byte at once, without echo") {
    Terminal t;
    t.change([](Termios& m) {
        m.lflag &= ~(tty_lflag::icanon | tty_lflag::echo | tty_lflag::isig | tty_lflag::iexten);
        m.iflag = 0;
    });
    t.type("a\r" + ctrl('C') + ctrl('D') + "\177");
    CHECK(t.readable);
    CHECK(t.line.ready(5));
    CHECK_FALSE(t.line.ready(6));
    CHECK(t.read() == "a\r\003\004\177");
    CHECK(t.screen.empty());
}

TEST_CASE("a change of mode keeps what was typed: bytes become readable, or one line") {
    Terminal t;
    t.type("half");
    CHECK_FALSE(t.line.ready());
    t.change([](Termios& m) { m.lflag &= ~tty_lflag::icanon; });
    CHECK(t.line.ready());
    t.change([](Termios& m) { m.lflag |= tty_lflag::icanon; });
    CHECK(t.line.ready());
    t.type("more\n");
    CHECK(t.read() == "half");
    CHECK(t.read() == "more\n");
}

TEST_CASE("carriage returns and newlines are translated as the flags say") {
    Terminal t;
    t.change([](Termios& m) { m.iflag |= tty_iflag::igncr; });
    t.type("a\rb\n");
    CHECK(t.read() == "ab\n");
    t.change([](Termios& m) { m.iflag = tty_iflag::inlcr; });
    t.type("a\n");
    CHECK_FALSE(t.line.ready());
    t.type(ctrl('D'));
    CHECK(t.read() == "a\r");
}

TEST_CASE("output processing: newlines, tabs, and none of it without OPOST") {
    Terminal t;
    t.print("a\nb");
    CHECK(t.taken_screen() == "a\r\nb");
    t.change([](Termios& m) { m.oflag |= tty_oflag::tab_delay; });
    t.print("\tc\r\td");
    CHECK(t.taken_screen() == "       c\r        d");
    t.change([](Termios& m) { m.oflag &= ~tty_oflag::opost; });
    t.print("x\n\t");
    CHECK(t.taken_screen() == "x\n\t");
}

TEST_CASE("without ECHO nothing shows, with ECHONL the end of the line does") {
    Terminal t;
    t.change([](Termios& m) { m.lflag &= ~tty_lflag::echo; });
    t.type("secret\177\n");
    CHECK(t.screen.empty());
    CHECK(t.read() == "secre\n");
    t.change([](Termios& m) { m.lflag |= tty_lflag::echonl; });
    t.type("x\n");
    CHECK(t.screen == "\r\n");
}

TEST_CASE("a line that is too long rings the bell, keeps what fits, and can still be ended") {
    Terminal t;
    t.type(std::string(LineDiscipline::capacity - 1, 'x')).taken_screen();
    t.type("y");
    CHECK(t.screen == "\a");
    t.type("\n");
    CHECK(t.line.available() == LineDiscipline::capacity);
    const std::string line = t.read(5000);
    CHECK(line == std::string(LineDiscipline::capacity - 1, 'x') + "\n");
    t.type("next\n");
    CHECK(t.read() == "next\n");
}

TEST_CASE("random keys, reads and mode changes keep the buffer within its bounds") {
    uint32_t seed = 1;
    auto random = [&seed] { return seed = seed * 1664525 + 1013904223, seed >> 16; };
    Terminal t;
    for (int i = 0; i < 200'000; i++) {
        const uint32_t what = random() % 100;
        if (what < 90)
            t.type(std::string(1, static_cast<char>(random() % 256)));
        else if (what < 98)
            t.read(random() % 300 + 1);
        else
            t.change([&](Termios& m) {
                m.lflag ^= 1u << random() % 16;
                m.iflag ^= 1u << random() % 15;
            });
        REQUIRE(t.line.available() <= LineDiscipline::capacity);
        t.screen.clear();
    }
}

TEST_CASE("any key lets stopped output go on with IXANY, and is read too") {
    Terminal t;
    t.change([](Termios& m) { m.iflag |= tty_iflag::ixon; });
    t.type(ctrl('S')).type("a");
    CHECK(t.line.output_stopped());
    t.change([](Termios& m) { m.iflag |= tty_iflag::ixany; });
    t.type("b\n");
    CHECK_FALSE(t.line.output_stopped());
    CHECK(t.read() == "ab\n");
}

TEST_CASE("ONOCR drops a return in the first column alone") {
    Terminal t;
    t.change([](Termios& m) { m.oflag |= tty_oflag::opost | tty_oflag::onocr; });
    t.print("\rab\r\rc");
    CHECK(t.screen == "ab\rc");
}
