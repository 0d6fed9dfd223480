// SPDX-License-Identifier: BSD-2-Clause
// AF_UNIX sockets: what is sent and received, and who waits for it.
#include <algorithm>
#include <cstring>

#include <bsd/proc.hpp>
#include <bsd/unix_socket.hpp>
#include <sched/clock.hpp>

namespace lentil {

namespace {

constexpr size_t piece_size = page_size; ///< of a stream, in one message
constexpr size_t datagram_margin = 32;   ///< of the send buffer, which a datagram must leave

} // namespace

// ---- the queue -----------------------------------------------------------------------------------------------------

bool UnixSocket::enqueue(UnixMessage& message) {
    {
        SpinGuard guard(queue_lock_);
        if (shut_.load(std::memory_order_relaxed) & shut_receive)
            return false;
        if (head_.load(std::memory_order_relaxed))
            tail_->next = &message;
        else
            head_.store(&message, std::memory_order_release);
        tail_ = &message;
        bytes_.fetch_add(message.length, std::memory_order_relaxed);
        queued_.store(queued_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }
    receive_waitq_.wake_all();
    return true;
}

void UnixSocket::uncharge(size_t n) {
    const size_t left = charged_.fetch_sub(n, std::memory_order_acq_rel) - n;
    if (left * 2 <= send_buffer.load(std::memory_order_relaxed))
        send_waitq_.wake_all();
}

UnixMessage* UnixSocket::unlink_first(UnixMessage& message) {
    bool was_full = false;
    {
        SpinGuard guard(queue_lock_);
        if (head_.load(std::memory_order_relaxed) != &message)
            return nullptr; // a collection took all of it: nobody will read here again
        head_.store(message.next, std::memory_order_release);
        was_full = is_full();
        queued_.store(queued_.load(std::memory_order_relaxed) - 1, std::memory_order_release);
        if (const size_t unread = message.length - message.taken; unread != 0)
            bytes_.fetch_sub(unread, std::memory_order_relaxed);
    }
    if (!is_datagram()) {
        if (UnixSocket* other = peer())
            other->uncharge(message.charge());
    } else if (was_full) {
        room_waitq_.wake_all();
        room_again();
    }
    message.next = nullptr;
    return &message;
}

void UnixSocket::room_again() {
    SpinGuard guard(socket_lock);
    for (UnixSocket* s = all_.first(); s; s = all_.next(*s))
        if (s->peer() == this)
            s->send_waitq_.wake_all();
}

UnixMessage* UnixSocket::take_queue() {
    SpinGuard guard(queue_lock_);
    bytes_.store(0, std::memory_order_relaxed);
    if (!listens())
        queued_.store(0, std::memory_order_relaxed);
    return head_.exchange(nullptr, std::memory_order_acq_rel);
}

/// Messages that nobody will read. Those of datagrams are paid back.
void UnixSocket::drop_messages(UnixMessage* first) {
    while (first) {
        UnixMessage* next = first->next;
        if (UnixRights* rights = std::exchange(first->rights, nullptr))
            rights_drop(rights);
        if (first->sender)
            first->sender->uncharge(first->charge());
        zone_delete(first);
        first = next;
    }
}

// ---- sending -------------------------------------------------------------------------------------------------------

/// `n` bytes of the caller's in a message that nobody knows yet.
Result<UnixMessage*> UnixSocket::make_message(Uio& uio, size_t n, SocketSend& how, bool wants_creds) {
    UnixMessage* message = TRY(zone_new<UnixMessage>());
    message->length = n;
    const auto fill = [&]() -> Result<void> {
        if (n > UnixMessage::own_size) {
            message->more = static_cast<char*>(kmalloc(n));
            if (!message->more)
                return Errno::nomem;
        }
        if (n != 0 && TRY(uio.take(message->data(), n)) != n)
            return Errno::fault;
        if (how.creds)
            message->creds = *how.creds;
        else if (wants_creds)
            message->creds = current_creds(false);
        if (how.rights) {
            TRY(rights_take_off(*how.rights.get()));
            message->rights = how.rights.release();
        }
        return {};
    };
    if (const Result<void> filled = fill(); !filled) {
        zone_delete(message);
        return filled.error();
    }
    return message;
}

Result<size_t> UnixSocket::send_stream(Uio& uio, SocketSend& how, bool nonblocking) {
    if (how.to)
        return peer() ? Errno::isconn : Errno::opnotsupp;
    UnixSocket* other = peer(); // stays until we are closed
    if (!other)
        return (shut() & shut_send) ? Errno::pipe : Errno::notconn;
    size_t done = 0;
    Errno error{};
    nanos_t until = no_deadline;
    while (uio.left() != 0) {
        if (shut() & shut_send) {
            error = Errno::pipe;
            break;
        }
        if (charged_.load(std::memory_order_relaxed) >= send_buffer.load(std::memory_order_relaxed)) {
            if (nonblocking) {
                error = Errno::again;
                break;
            }
            if (until == no_deadline)
                until = deadline(send_timeout_ns);
            const WaitResult waited = wait_until(
                send_waitq_, "sock_send", [this] { return may_send(); }, Interruptible::yes, until);
            if (waited != WaitResult::awoken) {
                error = waited == WaitResult::timed_out ? Errno::again : interrupted(send_timeout_ns);
                break;
            }
            continue;
        }
        const size_t n = std::min(uio.left(), piece_size);
        const bool wants_creds =
            pass_creds.load(std::memory_order_relaxed) != 0 || other->pass_creds.load(std::memory_order_relaxed) != 0;
        const Result<UnixMessage*> message = make_message(uio, n, how, wants_creds);
        if (!message) {
            error = message.error();
            break;
        }
        const size_t charge = (*message)->charge();
        charged_.fetch_add(charge, std::memory_order_relaxed);
        if (!other->enqueue(**message)) {
            charged_.fetch_sub(charge, std::memory_order_relaxed);
            drop_messages(*message);
            error = Errno::pipe;
            break;
        }
        done += n;
    }
    if (done != 0)
        return done;
    return error == Errno{} ? Result<size_t>(done) : Result<size_t>(error);
}

Result<size_t> UnixSocket::send_packet(Uio& uio, SocketSend& how, bool nonblocking) {
    const bool connected = !how.to;
    if (connected && !is_datagram() && state_.load(std::memory_order_acquire) != State::connected)
        return Errno::notconn;
    if (how.to && !is_datagram())
        how.to.reset(); // the address is not looked at
    RefPtr<UnixSocket> other = how.to ? std::move(how.to) : peer_ref();
    if (!other)
        return Errno::notconn;
    if (shut() & shut_send)
        return Errno::pipe;
    const size_t n = uio.left();
    if (n + datagram_margin > send_buffer.load(std::memory_order_relaxed))
        return Errno::msgsize;
    const bool wants_creds =
        pass_creds.load(std::memory_order_relaxed) != 0 || other->pass_creds.load(std::memory_order_relaxed) != 0;
    const nanos_t until = deadline(send_timeout_ns);
    const auto gone = [&] { return (other->shut() & shut_receive) || (shut() & shut_send); };
    const auto wait = [&](Waitq& queue, auto&& ready) -> Result<void> {
        if (nonblocking)
            return Errno::again;
        switch (wait_until(queue, "sock_send", ready, Interruptible::yes, until)) {
        case WaitResult::awoken: break;
        case WaitResult::timed_out: return Errno::again;
        case WaitResult::interrupted: return interrupted(send_timeout_ns);
        }
        return {};
    };
    while (charged_.load(std::memory_order_relaxed) >= send_buffer.load(std::memory_order_relaxed) && !gone())
        TRY(wait(send_waitq_, [&] { return may_send() || gone(); }));
    UnixMessage* message = TRY(make_message(uio, n, how, wants_creds));
    if (is_datagram()) {
        message->sender = RefPtr<UnixSocket>(this);
        message->from = address();
    }
    Result<void> sent;
    for (;;) {
        {
            SpinGuard guard(socket_lock);
            if (other->closed_)
                sent = is_datagram() ? Errno::connrefused : Errno::pipe;
            else if (is_datagram() && other->peer() && other->peer() != this)
                sent = Errno::perm;
            else if (gone())
                sent = Errno::pipe;
        }
        // Who sends to himself would wait for himself; two that are connected to each other wait for memory alone.
        if (!sent.ok() || !is_datagram() || !other->is_full() || other.get() == this || other->peer() == this)
            break;
        if (sent = wait(other->room_waitq_, [&] { return !other->is_full() || gone(); }); !sent.ok())
            break;
    }
    if (sent.ok()) {
        const size_t charge = message->charge();
        charged_.fetch_add(charge, std::memory_order_relaxed);
        if (other->enqueue(*message))
            return n;
        charged_.fetch_sub(charge, std::memory_order_relaxed);
        sent = is_datagram() && other->closed_ ? Errno::connrefused : Errno::pipe;
    }
    message->sender.reset(); // nothing to pay back
    drop_messages(message);
    if (sent.error() == Errno::connrefused && connected) { // Linux forgets whom it was connected to
        RefPtr<UnixSocket> former;
        SpinGuard guard(socket_lock);
        if (peer() == other.get())
            former = RefPtr<UnixSocket>::adopt(peer_.exchange(nullptr, std::memory_order_acq_rel));
        guard.unlock();
    }
    return sent.error();
}

Result<size_t> UnixSocket::send(Uio& uio, SocketSend& how, bool nonblocking) {
    if (how.flags & message_flags::oob)
        return Errno::opnotsupp;
    if (pass_creds.load(std::memory_order_relaxed) != 0 && is_datagram()) [[unlikely]]
        TRY(bind_anywhere());
    nonblocking |= (how.flags & message_flags::dontwait) != 0;
    const Result<size_t> sent = is_stream() ? send_stream(uio, how, nonblocking) : send_packet(uio, how, nonblocking);
    if (!sent.ok() && sent.error() == Errno::pipe && !is_datagram() && !(how.flags & message_flags::nosignal))
        signal_broken_pipe();
    return sent;
}

// ---- receiving -----------------------------------------------------------------------------------------------------

/// Until there is a message, or none will come: an error that waits is reported here.
Result<void> UnixSocket::wait_for_message(bool nonblocking, nanos_t until) {
    if (first_message())
        return {};
    if (const int error = take_error())
        return static_cast<Errno>(error);
    if (shut() & shut_receive)
        return {};
    if (nonblocking)
        return Errno::again;
    const auto ready = [this] {
        return first_message() || (shut() & shut_receive) || error_.load(std::memory_order_relaxed) != 0;
    };
    switch (wait_until(receive_waitq_, "sock_recv", ready, Interruptible::yes, until)) {
    case WaitResult::awoken: return {};
    case WaitResult::timed_out: return Errno::again;
    case WaitResult::interrupted: return interrupted(receive_timeout_ns);
    }
    return {};
}

Result<size_t> UnixSocket::receive_stream(Uio& uio, SocketReceive& how, bool nonblocking) {
    if (state_.load(std::memory_order_acquire) != State::connected)
        return Errno::inval;
    const bool peek = how.flags & message_flags::peek, checks = pass_creds.load(std::memory_order_relaxed) != 0;
    const size_t least = how.flags & message_flags::waitall
                             ? uio.left()
                             : std::min<size_t>(uio.left(), low_water.load(std::memory_order_relaxed));
    nanos_t until =
        receive_timeout_ns.load(std::memory_order_relaxed) == 0 ? no_deadline : deadline(receive_timeout_ns);
    size_t done = 0;
    bool knows_creds = false;
    while (uio.left() != 0) {
        if (!first_message()) {
            if (done != 0 && done >= least)
                break;
            const Result<void> waited = wait_for_message(nonblocking, until);
            if (!waited.ok() && done == 0)
                return waited.error();
            if (!waited.ok() || (!first_message() && (shut() & shut_receive)))
                break;
            continue;
        }
        MutexGuard guard(read_lock_);
        UnixMessage* message = first_message();
        if (!message)
            continue;
        if (checks && knows_creds && message->creds != how.creds)
            break;
        how.creds = message->creds;
        knows_creds = true;
        const size_t n = std::min(uio.left(), message->length - message->taken);
        if (const Result<size_t> put = uio.put(message->data() + message->taken, n); !put || *put != n) {
            if (done == 0)
                return Errno::fault;
            break;
        }
        done += n;
        bool boundary = peek;
        UnixMessage* read_whole = nullptr;
        if (message->rights && !peek) {
            how.rights = rights_land(std::exchange(message->rights, nullptr));
            boundary = true;
        } else if (message->rights) {
            how.rights = TRY(rights_copy(*message->rights));
        }
        if (!peek) {
            message->taken += n;
            bytes_.fetch_sub(n, std::memory_order_relaxed);
            if (message->taken == message->length)
                read_whole = unlink_first(*message);
        }
        guard.unlock();
        drop_messages(read_whole);
        if (boundary)
            break;
    }
    return done;
}

Result<size_t> UnixSocket::receive_packet(Uio& uio, SocketReceive& how, bool nonblocking) {
    if (!is_datagram() && state_.load(std::memory_order_acquire) != State::connected)
        return Errno::notconn;
    const nanos_t until =
        receive_timeout_ns.load(std::memory_order_relaxed) == 0 ? no_deadline : deadline(receive_timeout_ns);
    const bool peek = how.flags & message_flags::peek;
    for (;;) {
        const Result<void> waited = wait_for_message(nonblocking, until);
        if (!waited.ok())
            return waited.error();
        MutexGuard guard(read_lock_);
        UnixMessage* message = first_message();
        if (!message) {
            if (shut() & shut_receive) {
                if (is_datagram() && nonblocking)
                    return Errno::again;
                return size_t{0};
            }
            continue;
        }
        const size_t n = std::min(uio.left(), message->length);
        Result<size_t> put = n == 0 ? Result<size_t>(size_t{0}) : uio.put(message->data(), n);
        if (put && *put != n)
            put = Errno::fault;
        how.trunc = n < message->length;
        how.creds = message->creds;
        how.from = message->from;
        const size_t whole = message->length;
        if (message->rights)
            how.rights =
                peek ? TRY(rights_copy(*message->rights)) : rights_land(std::exchange(message->rights, nullptr));
        UnixMessage* const read_whole = peek ? nullptr : unlink_first(*message);
        guard.unlock();
        drop_messages(read_whole);
        if (!put)
            return put;
        return how.flags & message_flags::trunc ? whole : n;
    }
}

Result<size_t> UnixSocket::receive(Uio& uio, SocketReceive& how, bool nonblocking) {
    if (how.flags & message_flags::oob)
        return is_stream() ? Errno::inval : Errno::opnotsupp;
    nonblocking |= (how.flags & message_flags::dontwait) != 0;
    return is_stream() ? receive_stream(uio, how, nonblocking) : receive_packet(uio, how, nonblocking);
}

// ---- read and write ------------------------------------------------------------------------------------------------

namespace {
[[gnu::noinline]] Result<size_t> send_plain(UnixSocket& socket, Uio& uio, bool nonblocking) {
    SocketSend how;
    return socket.send(uio, how, nonblocking);
}
[[gnu::noinline]] Result<size_t> receive_plain(UnixSocket& socket, Uio& uio, bool nonblocking) {
    SocketReceive how;
    return socket.receive(uio, how, nonblocking);
}
} // namespace

// What most of them are: a few bytes of a stream, in one piece of user memory, and nobody wants to know whose. Whatever else
// comes up is left to send() and receive().

Result<size_t> UnixSocket::write(Uio& uio, bool nonblocking) {
    const size_t n = uio.left();
    const vaddr_t from = uio.in_one_piece(n);
    UnixSocket* const other = peer(); // stays until we are closed
    if (!is_stream() || !other || from == 0 || n == 0 || n > UnixMessage::own_size || (shut() & shut_send) ||
        charged_.load(std::memory_order_relaxed) >= send_buffer.load(std::memory_order_relaxed) ||
        (pass_creds.load(std::memory_order_relaxed) | other->pass_creds.load(std::memory_order_relaxed)) != 0)
        return send_plain(*this, uio, nonblocking);
    const Result<UnixMessage*> made = zone_new<UnixMessage>();
    if (!made) [[unlikely]]
        return made.error();
    UnixMessage& message = **made;
    message.length = n;
    if (machine::user_read(message.own, from, n) != n) [[unlikely]] {
        zone_delete(&message);
        return Errno::fault;
    }
    const size_t charge = message.charge();
    charged_.fetch_add(charge, std::memory_order_relaxed);
    if (!other->enqueue(message)) [[unlikely]] {
        charged_.fetch_sub(charge, std::memory_order_relaxed);
        zone_delete(&message);
        signal_broken_pipe();
        return Errno::pipe;
    }
    uio.advance_in_piece(n);
    return n;
}

Result<size_t> UnixSocket::read(Uio& uio, bool nonblocking) {
    if (!is_stream() || uio.left() == 0 || state_.load(std::memory_order_acquire) != State::connected ||
        pass_creds.load(std::memory_order_relaxed) != 0 || low_water.load(std::memory_order_relaxed) > 1)
        return receive_plain(*this, uio, nonblocking);
    if (!first_message()) {
        if (receive_timeout_ns.load(std::memory_order_relaxed) != 0)
            return receive_plain(*this, uio, nonblocking);
        TRY(wait_for_message(nonblocking, no_deadline));
    }
    size_t n = 0;
    UnixMessage* read_whole = nullptr;
    {
        MutexGuard guard(read_lock_);
        UnixMessage* const message = first_message();
        vaddr_t to = 0;
        if (message && !message->rights) {
            n = std::min(uio.left(), message->length - message->taken);
            to = uio.in_one_piece(n);
        }
        if (to == 0) [[unlikely]] {
            guard.unlock();
            return receive_plain(*this, uio, nonblocking);
        }
        if (machine::user_write(to, message->data() + message->taken, n) != n) [[unlikely]]
            return Errno::fault;
        uio.advance_in_piece(n);
        message->taken += n;
        bytes_.fetch_sub(n, std::memory_order_relaxed);
        if (message->taken == message->length)
            read_whole = unlink_first(*message);
    }
    if (read_whole)
        zone_delete(read_whole); // a stream's has neither sender nor, as it turned out, rights
    if (uio.left() != 0 && first_message()) [[unlikely]]
        return n + receive_plain(*this, uio, true).value_or(0);
    return n;
}

Result<size_t> UnixSocket::readable_bytes() {
    if (listens())
        return Errno::inval;
    if (!is_datagram())
        return bytes_.load(std::memory_order_relaxed);
    SpinGuard guard(queue_lock_);
    const UnixMessage* first = first_message();
    return first ? first->length : 0;
}

uint32_t UnixSocket::poll(uint32_t events, PollTable* table) {
    using namespace poll_events;
    if (table) {
        table->add(receive_waitq_);
        if (events & (out | wrnorm | wrband))
            table->add(send_waitq_);
    }
    uint32_t ready = 0;
    const uint32_t closed = shut();
    const State state = state_.load(std::memory_order_acquire);
    if (error_.load(std::memory_order_relaxed) != 0)
        ready |= err;
    if (closed == shut_both)
        ready |= hup;
    if (closed & shut_receive)
        ready |= rdhup | in | rdnorm;
    if (state == State::listening ? queued_.load(std::memory_order_acquire) != 0 : first_message() != nullptr)
        ready |= in | rdnorm;
    if (!is_datagram() && state == State::unconnected)
        ready |= hup;
    if (state != State::listening && (events & (out | wrnorm | wrband)) &&
        charged_.load(std::memory_order_relaxed) * 4 <= send_buffer.load(std::memory_order_relaxed)) {
        bool room = true;
        if (is_datagram()) {
            const RefPtr<UnixSocket> other = peer_ref();
            room = !other || other->peer() == this || !other->is_full();
        }
        if (room)
            ready |= out | wrnorm | wrband;
    }
    return ready & (events | hup | err);
}

} // namespace lentil
