// SPDX-License-Identifier: BSD-2-Clause
// Pseudo-terminals: the way to the master and back, and the table of them.
#include <algorithm>
#include <cstring>

#include <bsd/pty.hpp>
#include <bsd/signal_impl.hpp>
#include <vm/vm_user.hpp>

namespace lentil {

namespace {

using PtyGuard = SpinGuard<Rank::pty>;

constexpr size_t queue_size = 16384;
constexpr size_t echo_margin = 1024; ///< of the queue, that writers leave to echo

constinit SpinLock<Rank::pty> table_lock;

/// Linux's numbers (asm-generic/ioctls.h).
namespace command {
constexpr uint32_t tcflsh = 0x540b, tiocoutq = 0x5411, fionread = 0x541b, tiocpkt = 0x5420, tiocgpkt = 0x80045438,
                   tiocgptn = 0x80045430, tiocsptlck = 0x40045431, tiocgptlck = 0x80045439, tiocsig = 0x40045436;
}

Result<void> put_int(vaddr_t to, uint32_t value) { return copyout(to, &value, sizeof value); }

} // namespace

namespace {
constinit unsigned count = 0; ///< table_lock; in all tables
}

Pty::Pty(Buffer<char> queue) : Tty("pts", 0), queue_(std::move(queue)) {
    attach(take_output, this);
    window_ = {0, 0, 0, 0}; // nobody said yet
}

Result<RefPtr<Pty>> Pty::create(RefPtr<PtyTable> table, unsigned limit) {
    Buffer<char> queue = TRY(Buffer<char>::create_uninitialized(queue_size));
    RefPtr<Pty> pty = TRY(make_ref<Pty>(std::move(queue)));
    PtyGuard guard(table_lock);
    unsigned number = 0;
    Pty** at = &table->first_;
    for (; *at && (*at)->number_ == number; at = &(*at)->next_)
        number++;
    unsigned here = number;
    for (const Pty* p = *at; p; p = p->next_)
        here++;
    if (count == max_count || here >= limit) {
        guard.unlock();
        return Errno::nospc;
    }
    count++;
    pty->number_ = number;
    pty->next_ = *at;
    *at = pty.get();
    pty->table_ = std::move(table);
    return pty;
}

Pty::~Pty() {
    if (!table_)
        return;
    PtyGuard guard(table_lock);
    Pty** at = &table_->first_;
    while (*at != this)
        at = &(*at)->next_;
    *at = next_;
    count--;
}

/// Linux has 256 of them to each major number from 136 on.
uint64_t Pty::device_number() const { return uint64_t{136 + number_ / 256} << 8 | number_ % 256; }

RefPtr<Pty> PtyTable::find(unsigned number) {
    PtyGuard guard(table_lock);
    for (Pty* p = first_; p && p->number_ <= number; p = p->next_)
        if (p->number_ == number)
            return !p->is_hung_up() && p->try_ref() ? RefPtr<Pty>::adopt(p) : nullptr;
    return nullptr;
}

int PtyTable::next(unsigned from) {
    PtyGuard guard(table_lock);
    for (Pty* p = first_; p; p = p->next_)
        if (p->number_ >= from && !p->is_hung_up())
            return static_cast<int>(p->number_);
    return -1;
}

// ---- the slave -----------------------------------------------------------------------------------------------------

Result<void> Pty::use() {
    PtyGuard guard(queue_lock_);
    if (locked_ || !master_open_)
        return Errno::io;
    slaves_++;
    slave_closed_ = false;
    return {};
}

void Pty::unuse() {
    {
        PtyGuard guard(queue_lock_);
        if (--slaves_ != 0)
            return;
        slave_closed_ = true;
    }
    {
        ProcTreeGuard tree(proc_tree_lock);
        drop_session_locked();
    }
    master_read_waitq_.wake_all();
    master_write_waitq_.wake_all();
}

size_t Pty::output_room() {
    PtyGuard guard(queue_lock_);
    const size_t limit = queue_.size() - echo_margin;
    return used_ < limit ? limit - used_ : 0;
}

/// What finds no place is lost: only echo gets there that nobody reads.
void Pty::take_output(void* self, std::string_view bytes) {
    Pty& pty = *static_cast<Pty*>(self);
    {
        PtyGuard guard(pty.queue_lock_);
        const size_t size = pty.queue_.size();
        bytes = bytes.substr(0, size - pty.used_);
        const size_t at = (pty.first_ + pty.used_) % size, before_end = std::min(bytes.size(), size - at);
        memcpy(pty.queue_.data() + at, bytes.data(), before_end);
        memcpy(pty.queue_.data(), bytes.data() + before_end, bytes.size() - before_end);
        pty.used_ += bytes.size();
    }
    pty.master_read_waitq_.wake_all();
}

void Pty::flush_output() {
    {
        PtyGuard guard(queue_lock_);
        used_ = first_ = 0;
    }
    tell_master(packet_status::flush_write);
    output_moved();
}

void Pty::tell_master(uint8_t status) {
    {
        PtyGuard guard(queue_lock_);
        if (!packets_)
            return;
        constexpr uint8_t opposites[][2] = {{packet_status::stop, packet_status::start},
                                            {packet_status::no_stop, packet_status::do_stop}};
        for (auto [a, b] : opposites) {
            if (status & a)
                status_ &= static_cast<uint8_t>(~b);
            if (status & b)
                status_ &= static_cast<uint8_t>(~a);
        }
        status_ |= status;
    }
    master_read_waitq_.wake_all();
}

// ---- the master ----------------------------------------------------------------------------------------------------

bool Pty::master_readable() const {
    PtyGuard guard(queue_lock_);
    return used_ != 0 || slave_closed_ || (packets_ && status_ != 0);
}

/// One read's worth of what is there; 0 if nothing is.
Result<size_t> Pty::take_packet(Uio& uio) {
    const size_t before = uio.moved();
    {
        PtyGuard guard(queue_lock_);
        if (packets_ && (status_ != 0 || used_ != 0)) {
            const uint8_t head = std::exchange(status_, 0);
            guard.unlock();
            TRY(uio.put(&head, 1));
            if (head != 0)
                return size_t{1};
        }
    }
    char piece[256];
    while (uio.left() != 0) {
        size_t n = 0;
        {
            PtyGuard guard(queue_lock_);
            n = std::min({uio.left(), sizeof piece, used_, queue_.size() - first_});
            memcpy(piece, queue_.data() + first_, n);
            first_ = (first_ + n) % queue_.size();
            used_ -= n;
        }
        if (n == 0)
            break;
        TRY(uio.put(piece, n));
    }
    if (uio.moved() != before)
        output_moved();
    return uio.moved() - before;
}

Result<size_t> Pty::master_read(Uio& uio, bool nonblocking) {
    if (uio.left() == 0)
        return size_t{0};
    for (;;) {
        if (const size_t n = TRY(take_packet(uio)); n != 0)
            return n;
        {
            PtyGuard guard(queue_lock_);
            if (slave_closed_ && used_ == 0)
                return Errno::io;
        }
        if (nonblocking)
            return Errno::again;
        if (wait_until(master_read_waitq_, "ptyin", [this] { return master_readable(); }) == WaitResult::interrupted)
            return Errno::restart_sys;
    }
}

Result<size_t> Pty::master_write(Uio& uio, bool nonblocking) {
    const size_t before = uio.moved();
    while (uio.left() != 0) {
        size_t moved = uio.moved() - before;
        if (input_room() == 0) {
            if (nonblocking)
                return moved != 0 ? Result<size_t>(moved) : Result<size_t>(Errno::again);
            if (wait_until(master_write_waitq_, "ptyout", [this] { return input_room() != 0; }) ==
                WaitResult::interrupted)
                return moved != 0 ? Result<size_t>(moved) : Result<size_t>(Errno::restart_sys);
        }
        MutexGuard order(input_lock_);
        char piece[256];
        const size_t room = input_room();
        if (room == 0)
            continue; // another writer was faster
        const Result<size_t> n = uio.take(piece, std::min(room, sizeof piece));
        if (!n.ok())
            return moved != 0 ? Result<size_t>(moved) : Result<size_t>(n.error());
        input({piece, *n});
    }
    return uio.moved() - before;
}

uint32_t Pty::master_poll(uint32_t events, PollTable* table) {
    using namespace poll_events;
    if (table) {
        table->add(master_read_waitq_);
        if (events & (out | wrnorm))
            table->add(master_write_waitq_);
    }
    uint32_t ready = input_room() != 0 ? out | wrnorm : 0;
    PtyGuard guard(queue_lock_);
    if (used_ != 0)
        ready |= in | rdnorm;
    if (packets_ && status_ != 0)
        ready |= pri | in | rdnorm;
    if (slave_closed_)
        ready |= hup;
    return ready & (events | hup | err);
}

void Pty::master_closed() {
    {
        PtyGuard guard(queue_lock_);
        master_open_ = false;
        packets_ = false;
    }
    hang_up();
}

Result<uint64_t> Pty::master_ioctl(uint32_t cmd, uint64_t argument) {
    int32_t value = 0;
    switch (cmd) {
    case command::tiocsptlck:
    case command::tiocpkt: {
        TRY(copyin(&value, argument, sizeof value));
        PtyGuard guard(queue_lock_);
        if (cmd == command::tiocsptlck) {
            locked_ = value != 0;
        } else {
            if (value != 0 && !packets_)
                status_ = 0;
            packets_ = value != 0;
        }
        break;
    }
    case command::tiocgptlck:
    case command::tiocgpkt: {
        {
            PtyGuard guard(queue_lock_);
            value = cmd == command::tiocgpkt ? packets_ : locked_;
        }
        TRY(put_int(argument, static_cast<uint32_t>(value)));
        break;
    }
    case command::tiocgptn: TRY(put_int(argument, number_)); break;
    case command::tiocsig:
        if (argument != sig_int && argument != sig_quit && argument != sig_tstp)
            return Errno::inval;
        signal_foreground(static_cast<int>(argument));
        break;
    case command::fionread: {
        size_t n = 0;
        {
            PtyGuard guard(queue_lock_);
            n = used_;
        }
        TRY(put_int(argument, static_cast<uint32_t>(n)));
        break;
    }
    case command::tcflsh: // the master's input is the slave's output
        if (argument > 2)
            return Errno::inval;
        if (argument != 1)
            flush_output();
        break;
    default: return Tty::ioctl(cmd, argument, TtySide::master);
    }
    return uint64_t{0};
}

} // namespace lentil
