// SPDX-License-Identifier: BSD-2-Clause
// The line discipline: editing, echo, signals from the keyboard, output processing. Behaves as Linux's N_TTY where programs
// can see it.
#include <bsd/signal_types.hpp>
#include <bsd/tty_ldisc.hpp>

namespace lentil {

namespace {

constexpr bool is_control(char c) { return static_cast<uint8_t>(c) < 32 || c == 0177; }
constexpr bool is_continuation(char c) { return (static_cast<uint8_t>(c) & 0xc0) == 0x80; }
constexpr bool is_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           static_cast<uint8_t>(c) >= 0x80;
}
constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
constexpr char to_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }

} // namespace

void LineDiscipline::set_end(unsigned i, bool on) {
    uint32_t& word = ends_[i % capacity / 32];
    const uint32_t bit = uint32_t{1} << (i % 32);
    word = on ? word | bit : word & ~bit;
}

void LineDiscipline::append(char c) {
    set_end(head_, false);
    buffer_[head_++ % capacity] = c;
}

/// The last place is kept for the end of a line, so that a full buffer can always be finished and read.
bool LineDiscipline::room_or_bell(TtyOutput& out) {
    if (count() < (canonical() ? capacity - 1 : capacity))
        return true;
    if (termios_.iflag & tty_iflag::imaxbel)
        out.put('\a');
    return false;
}

void LineDiscipline::end_line(char c, TtyEvents& events) {
    if (count() >= capacity)
        return;
    append(c);
    set_end(head_ - 1, true);
    canonical_ = head_;
    events.readable = true;
}

TtyEvents LineDiscipline::input(char c, TtyOutput& out) {
    TtyEvents events;
    if (termios_.iflag & tty_iflag::istrip)
        c = static_cast<char>(c & 0177);
    if ((termios_.iflag & tty_iflag::iuclc) && has_flag(tty_lflag::iexten))
        c = to_lower(c);

    const bool quoted = literal_;
    literal_ = false;
    if (!quoted) {
        if (termios_.iflag & tty_iflag::ixon) {
            if (is_cc(c, tty_cc::start) || (stopped_ && (termios_.iflag & tty_iflag::ixany))) {
                events.resumed = stopped_;
                stopped_ = false;
                if (is_cc(c, tty_cc::start))
                    return events;
            }
            if (is_cc(c, tty_cc::stop)) {
                stopped_ = true;
                return events;
            }
        }
        if (has_flag(tty_lflag::isig)) {
            events.signo = is_cc(c, tty_cc::intr)   ? sig_int
                           : is_cc(c, tty_cc::quit) ? sig_quit
                           : is_cc(c, tty_cc::susp) ? sig_tstp
                                                    : 0;
            if (events.signo != 0) {
                if (!has_flag(tty_lflag::noflsh)) {
                    flush_input();
                    events.flushed = true;
                }
                events.resumed = stopped_;
                stopped_ = false;
                if (has_flag(tty_lflag::echo))
                    echo(c, out);
                return events;
            }
        }
        if (c == '\r') {
            if (termios_.iflag & tty_iflag::igncr)
                return events;
            if (termios_.iflag & tty_iflag::icrnl)
                c = '\n';
        } else if (c == '\n' && (termios_.iflag & tty_iflag::inlcr)) {
            c = '\r';
        }
        if (canonical() && edit(c, out, events))
            return events;
    }

    if (!room_or_bell(out))
        return events;
    if (canonical() && head_ == canonical_)
        line_column_ = column_;
    append(c);
    if (has_flag(tty_lflag::echo)) {
        if (c == '\n')
            emit(c, out);
        else
            echo(c, out);
    }
    events.readable = !canonical();
    return events;
}

/// Characters with a meaning in canonical mode. True if `c` was one.
bool LineDiscipline::edit(char c, TtyOutput& out, TtyEvents& events) {
    const bool echoes = has_flag(tty_lflag::echo), extended = has_flag(tty_lflag::iexten);
    if (is_cc(c, tty_cc::erase)) {
        erase_char(out);
    } else if (is_cc(c, tty_cc::kill)) {
        erase_line(out);
    } else if (extended && is_cc(c, tty_cc::werase)) {
        erase_word(out);
    } else if (extended && is_cc(c, tty_cc::lnext)) {
        literal_ = true;
        if (echoes && has_flag(tty_lflag::echoctl)) {
            if (head_ == canonical_)
                line_column_ = column_;
            emit('^', out);
            emit('\b', out);
        }
    } else if (extended && echoes && is_cc(c, tty_cc::reprint)) {
        echo(c, out);
        reprint(out);
    } else if (c == '\n') {
        if (echoes || has_flag(tty_lflag::echonl))
            emit('\n', out);
        end_line('\n', events);
    } else if (is_cc(c, tty_cc::eof)) {
        end_line('\0', events);
    } else if (is_cc(c, tty_cc::eol) || (extended && is_cc(c, tty_cc::eol2))) {
        if (echoes)
            echo(c, out);
        end_line(c, events);
    } else {
        return false;
    }
    return true;
}

// ---- echo ----------------------------------------------------------------------------------------------------------

void LineDiscipline::emit(char c, TtyOutput& out) { output(c, out); }

void LineDiscipline::echo(char c, TtyOutput& out) {
    if (is_control(c) && c != '\t' && has_flag(tty_lflag::echoctl))
        echo_control(c, out);
    else
        emit(c, out);
}

void LineDiscipline::echo_control(char c, TtyOutput& out) {
    emit('^', out);
    emit(static_cast<char>(c ^ 0100), out);
}

/// The column of the cursor behind the edited line up to `index`, as it was echoed.
unsigned LineDiscipline::width_to(unsigned index) const {
    unsigned column = line_column_;
    for (unsigned i = canonical_; i != index; i++) {
        const char c = at(i);
        if (c == '\t')
            column = (column | 7) + 1;
        else if (is_control(c))
            column += has_flag(tty_lflag::echoctl) ? 2 : 0;
        else if (!(termios_.iflag & tty_iflag::iutf8) || !is_continuation(c))
            column++;
    }
    return column;
}

/// Takes what was echoed for [from, head_) off the screen, and off the line.
void LineDiscipline::rub_out(unsigned from, TtyOutput& out) {
    if (has_flag(tty_lflag::echo)) {
        unsigned columns = width_to(head_) - width_to(from);
        const bool tab = from != head_ && at(head_ - 1) == '\t' && head_ - from == 1;
        for (; columns > 0; columns--) {
            emit('\b', out);
            if (!tab) {
                emit(' ', out);
                emit('\b', out);
            }
        }
    }
    head_ = from;
}

void LineDiscipline::erase_char(TtyOutput& out) {
    if (head_ == canonical_)
        return;
    unsigned from = head_ - 1;
    if (termios_.iflag & tty_iflag::iutf8)
        while (from != canonical_ && is_continuation(at(from)))
            from--;
    if (has_flag(tty_lflag::echo) && !has_flag(tty_lflag::echoe)) {
        echo(static_cast<char>(termios_.cc[tty_cc::erase]), out);
        head_ = from;
        return;
    }
    rub_out(from, out);
}

void LineDiscipline::erase_word(TtyOutput& out) {
    bool in_word = false;
    while (head_ != canonical_) {
        const bool word = is_word(at(head_ - 1));
        if (in_word && !word)
            break;
        in_word |= word;
        rub_out(head_ - 1, out);
    }
}

void LineDiscipline::erase_line(TtyOutput& out) {
    if (head_ == canonical_)
        return;
    if (has_flag(tty_lflag::echo) &&
        (!has_flag(tty_lflag::echoe) || !has_flag(tty_lflag::echok) || !has_flag(tty_lflag::echoke))) {
        echo(static_cast<char>(termios_.cc[tty_cc::kill]), out);
        if (has_flag(tty_lflag::echok))
            emit('\n', out);
        head_ = canonical_;
        return;
    }
    while (head_ != canonical_) // one by one: tabs and others are taken off differently
        rub_out(head_ - 1, out);
}

void LineDiscipline::reprint(TtyOutput& out) {
    emit('\n', out);
    line_column_ = column_;
    for (unsigned i = canonical_; i != head_; i++)
        echo(at(i), out);
}

// ---- output --------------------------------------------------------------------------------------------------------

void LineDiscipline::output(char c, TtyOutput& out) {
    if (!(termios_.oflag & tty_oflag::opost)) {
        out.put(c);
        return;
    }
    switch (c) {
    case '\n':
        if (termios_.oflag & tty_oflag::onlcr)
            out.put('\r');
        if (termios_.oflag & (tty_oflag::onlcr | tty_oflag::onlret))
            column_ = line_column_ = 0;
        break;
    case '\r':
        if ((termios_.oflag & tty_oflag::onocr) && column_ == 0)
            return;
        if (termios_.oflag & tty_oflag::ocrnl) {
            c = '\n';
            if (!(termios_.oflag & tty_oflag::onlret))
                break;
        }
        column_ = line_column_ = 0;
        break;
    case '\t': {
        const unsigned next = (column_ | 7) + 1;
        if ((termios_.oflag & tty_oflag::tab_delay) == tty_oflag::tab_delay) {
            for (; column_ < next; column_++)
                out.put(' ');
            return;
        }
        column_ = next;
        break;
    }
    case '\b':
        if (column_ > 0)
            column_--;
        break;
    default:
        if (termios_.oflag & tty_oflag::olcuc)
            c = to_upper(c);
        if (!is_control(c) && !((termios_.iflag & tty_iflag::iutf8) && is_continuation(c)))
            column_++;
    }
    out.put(c);
}

// ---- reading -------------------------------------------------------------------------------------------------------

void LineDiscipline::set_termios(const Termios& t) {
    const bool was_canonical = canonical();
    termios_ = t;
    if (!(t.iflag & tty_iflag::ixon))
        stopped_ = false;
    if (canonical() == was_canonical)
        return;
    __builtin_memset(ends_, 0, sizeof ends_);
    canonical_ = tail_;
    if (canonical() && count() != 0) {
        set_end(head_ - 1, true);
        canonical_ = head_;
    }
}

bool LineDiscipline::ready(size_t least) const { return canonical() ? canonical_ != tail_ : count() >= least; }

size_t LineDiscipline::available() const {
    if (!canonical())
        return count();
    size_t n = 0;
    for (unsigned i = tail_; i != canonical_; i++)
        n += !(is_end(i) && at(i) == '\0');
    return n;
}

LineDiscipline::Taken LineDiscipline::take(std::span<char> to) {
    Taken taken;
    if (!canonical()) {
        while (taken.bytes < to.size() && tail_ != head_)
            to[taken.bytes++] = at(tail_++);
        return taken;
    }
    while (tail_ != canonical_) {
        const bool end = is_end(tail_), end_of_file = end && at(tail_) == '\0';
        // An end of file right behind the last byte that fits goes with it: else the next read would report it.
        if (taken.bytes == to.size() && !(end_of_file && taken.bytes != 0))
            break;
        set_end(tail_, false);
        if (!end_of_file)
            to[taken.bytes++] = at(tail_);
        tail_++;
        if (end) {
            taken.line_end = true;
            break;
        }
    }
    return taken;
}

void LineDiscipline::flush_input() {
    tail_ = canonical_ = head_ = 0;
    literal_ = false;
    __builtin_memset(ends_, 0, sizeof ends_);
}

} // namespace lentil
