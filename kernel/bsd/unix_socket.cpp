// SPDX-License-Identifier: BSD-2-Clause
// AF_UNIX sockets: their lives, names and connections. Data: unix_socket_io.cpp.
#include <algorithm>
#include <cstring>

#include <bsd/anonymous_file.hpp>
#include <bsd/proc.hpp>
#include <bsd/unix_socket.hpp>
#include <libkern/format.hpp>
#include <sched/clock.hpp>

namespace lentil {

constinit SpinLock<Rank::socket> socket_lock;

constinit Dlist<UnixSocket, &UnixSocket::all_link_> UnixSocket::all_;
constinit Dlist<UnixSocket, &UnixSocket::name_link_> UnixSocket::names_[name_buckets];

namespace {
constinit std::atomic<uint64_t> next_serial{1};
constinit std::atomic<uint32_t> last_name{0};
constexpr int most_backlog = 4096; ///< net.core.somaxconn
} // namespace

SocketCreds current_creds(bool effective) {
    const Proc& self = current_proc();
    const RefPtr<const Cred> cred = self.cred();
    return {self.pid, effective ? cred->euid : cred->uid, effective ? cred->egid : cred->gid};
}

/// The descriptor's side of a socket.
class UnixSocketFile final : public File {
public:
    static constexpr const char* zone_name = "socket_files";
    UnixSocketFile(RefPtr<UnixSocket> socket, uint32_t flags_value)
        : File(open_flags::read_write | flags_value), socket_(std::move(socket)) {
        const RefPtr<const Cred> cred = current_proc().cred();
        uid_ = cred->fsuid;
        gid_ = cred->fsgid;
        MutexGuard guard(rights_lock);
        socket_->file_ = this;
    }
    ~UnixSocketFile() override {
        {
            MutexGuard guard(rights_lock);
            socket_->file_ = nullptr;
        }
        socket_->close();
        rights_collect(); // what was connected to it may be garbage now
    }
    void dispose() override { zone_delete(this); }
    void descriptor_closed() override {
        if (socket_->in_flight_.load(std::memory_order_relaxed) != 0)
            rights_collect();
    }
    Result<size_t> read(Uio& uio) override { return socket_->read(uio, nonblocking()); }
    Result<size_t> write(Uio& uio) override { return socket_->write(uio, nonblocking()); }
    Result<size_t> read_now(Uio& uio) override { return socket_->read(uio, true); }
    Result<size_t> write_now(Uio& uio) override { return socket_->write(uio, true); }
    uint32_t poll(uint32_t events, PollTable* table) override { return socket_->poll(events, table); }
    Result<uint64_t> ioctl(uint32_t command, uint64_t argument) override {
        constexpr uint32_t bytes_to_read = 0x541b, bytes_unread = 0x5411; // SIOCINQ, SIOCOUTQ
        size_t n = 0;
        switch (command) {
        case bytes_to_read: n = TRY(socket_->readable_bytes()); break;
        case bytes_unread:
            if (socket_->listens())
                return Errno::inval;
            n = socket_->unread_by_others();
            break;
        default: return Errno::notty;
        }
        TRY(UserPtr<int32_t>(argument).write(static_cast<int32_t>(n)));
        return uint64_t{0};
    }
    Result<FileStat> stat() override {
        FileStat st = anonymous_stat(socket_->inode(), 0140777);
        st.uid = uid_;
        st.gid = gid_;
        return st;
    }
    size_t describe(std::span<char> buffer) override {
        return format_to(buffer, "socket:[{}]", socket_->inode()).size();
    }
    UnixSocket* socket() override { return socket_.get(); }

private:
    const RefPtr<UnixSocket> socket_;
    uid_t uid_ = 0;
    gid_t gid_ = 0;
};

// ---- life ----------------------------------------------------------------------------------------------------------

UnixSocket::UnixSocket(SocketType type)
    : type_(type), inode_(anonymous_inode()), serial_(next_serial.fetch_add(1, std::memory_order_relaxed)) {
    SpinGuard guard(socket_lock);
    all_.push_back(*this);
}

UnixSocket::~UnixSocket() {
    ASSERT(!head_.load() && !peer_.load() && !first_waiting_);
    SpinGuard guard(socket_lock);
    all_.erase(*this);
}

Result<RefPtr<File>> UnixSocket::create(SocketType type, uint32_t flags) {
    RefPtr<UnixSocket> socket = TRY(make_ref<UnixSocket>(type));
    return RefPtr<File>(TRY(make_ref<UnixSocketFile>(std::move(socket), flags)));
}

/// Connects two new or unconnected sockets. socket_lock held.
void UnixSocket::pair_with(UnixSocket& other) {
    for (auto [a, b] : {std::pair(this, &other), std::pair(&other, this)}) {
        b->ref();
        a->peer_.store(b, std::memory_order_release);
        a->peer_creds_ = b->creds_;
        if (!a->is_datagram())
            a->state_.store(State::connected, std::memory_order_release);
    }
}

Result<void> UnixSocket::create_pair(SocketType type, uint32_t flags, RefPtr<File> out[2]) {
    for (int i = 0; i < 2; i++)
        out[i] = TRY(create(type, flags));
    UnixSocket &a = *out[0]->socket(), &b = *out[1]->socket();
    const SocketCreds creds = current_creds(true);
    SpinGuard guard(socket_lock);
    a.creds_ = b.creds_ = creds;
    a.pair_with(b);
    return {};
}

void UnixSocket::close(bool unaccepted) {
    unbind();
    UnixSocket* waiting = nullptr;
    RefPtr<UnixSocket> other;
    {
        SpinGuard guard(socket_lock);
        closed_ = true;
        waiting = std::exchange(first_waiting_, nullptr);
        state_.store(State::unconnected, std::memory_order_release);
        other = RefPtr<UnixSocket>::adopt(peer_.exchange(nullptr, std::memory_order_acq_rel));
        const bool unread = first_message() != nullptr;
        {
            SpinGuard queue(queue_lock_);
            shut_.store(shut_both, std::memory_order_release);
        }
        if (other && !is_datagram()) {
            if (unread || unaccepted)
                other->error_.store(static_cast<uint32_t>(Errno::connreset), std::memory_order_release);
            SpinGuard queue(other->queue_lock_);
            other->shut_.store(shut_both, std::memory_order_release);
        }
    }
    UnixMessage* left = take_queue();
    for (UnixMessage* m = left; m && !m->sender && other; m = m->next)
        other->uncharge(m->charge());
    drop_messages(left);
    if (other) {
        other->receive_waitq_.wake_all();
        other->send_waitq_.wake_all();
    }
    receive_waitq_.wake_all();
    send_waitq_.wake_all();
    room_waitq_.wake_all();
    if (is_datagram())
        room_again();
    while (waiting) {
        RefPtr<UnixSocket> gone = RefPtr<UnixSocket>::adopt(waiting);
        waiting = std::exchange(gone->next_waiting_, nullptr);
        gone->close(true);
    }
}

Result<void> UnixSocket::shutdown(uint32_t how) {
    if (how > 2)
        return Errno::inval;
    const uint32_t mine = how + 1,
                   theirs = (mine & shut_receive ? shut_send : 0) | (mine & shut_send ? shut_receive : 0);
    RefPtr<UnixSocket> other;
    {
        SpinGuard guard(socket_lock);
        other = RefPtr<UnixSocket>(peer());
        {
            SpinGuard queue(queue_lock_);
            shut_.fetch_or(mine, std::memory_order_release);
        }
        if (other && !is_datagram()) {
            SpinGuard queue(other->queue_lock_);
            other->shut_.fetch_or(theirs, std::memory_order_release);
        }
    }
    for (UnixSocket* s : {this, other.get()})
        if (s) {
            s->receive_waitq_.wake_all();
            s->send_waitq_.wake_all();
            s->room_waitq_.wake_all();
        }
    return {};
}

// ---- names ---------------------------------------------------------------------------------------------------------

unsigned UnixSocket::bucket_of(const UnixAddress& address) {
    uint64_t hash = reinterpret_cast<uintptr_t>(address.node.get()) >> 4;
    if (!address.node)
        for (const char c : std::string_view(address.path, address.length))
            hash = hash * 31 + static_cast<uint8_t>(c);
    return static_cast<unsigned>((hash ^ hash >> 8) % name_buckets);
}

UnixSocket* UnixSocket::find_locked(const UnixAddress& address) {
    auto& bucket = names_[bucket_of(address)];
    for (UnixSocket* s = bucket.first(); s; s = bucket.next(*s)) {
        const UnixAddress& its = *s->address_;
        if (address.node
                ? its.node == address.node
                : !its.node && std::string_view(its.path, its.length) == std::string_view(address.path, address.length))
            return s;
    }
    return nullptr;
}

Result<void> UnixSocket::bind(RefPtr<UnixAddress> address) {
    SpinGuard guard(socket_lock);
    if (address_)
        return Errno::inval;
    if (find_locked(*address))
        return Errno::addrinuse;
    address_ = std::move(address);
    names_[bucket_of(*address_)].push_back(*this);
    named_ = true;
    return {};
}

Result<void> UnixSocket::bind_anywhere() {
    if (this->address())
        return {};
    constexpr uint32_t names = 1 << 20;
    for (uint32_t tries = 0; tries < names; tries++) {
        RefPtr<UnixAddress> address = TRY(make_ref<UnixAddress>());
        uint32_t number = last_name.fetch_add(1, std::memory_order_relaxed) % names;
        address->length = 6; // a zero and five hexadecimal digits
        for (unsigned i = 5; i > 0; i--, number /= 16)
            address->path[i] = "0123456789abcdef"[number % 16];
        const Result<void> bound = bind(std::move(address));
        if (bound.ok() || bound.error() != Errno::addrinuse)
            return bound.ok() || this->address() ? Result<void>() : bound;
    }
    return Errno::nospc;
}

void UnixSocket::unbind() {
    SpinGuard guard(socket_lock);
    if (std::exchange(named_, false))
        names_[bucket_of(*address_)].erase(*this);
}

Result<RefPtr<UnixSocket>> UnixSocket::find(const UnixAddress& address, SocketType type) {
    SpinGuard guard(socket_lock);
    UnixSocket* found = find_locked(address);
    if (!found || !found->try_ref())
        return Errno::connrefused;
    RefPtr<UnixSocket> socket = RefPtr<UnixSocket>::adopt(found);
    guard.unlock();
    if (socket->type_ != type)
        return Errno::prototype;
    return socket;
}

RefPtr<UnixAddress> UnixSocket::address() const {
    SpinGuard guard(socket_lock);
    return address_;
}

RefPtr<UnixSocket> UnixSocket::peer_ref() const {
    SpinGuard guard(socket_lock);
    return RefPtr<UnixSocket>(peer());
}

Result<RefPtr<UnixAddress>> UnixSocket::peer_address() const {
    SpinGuard guard(socket_lock);
    const UnixSocket* other = peer();
    if (!other)
        return Errno::notconn;
    return other->address_;
}

SocketCreds UnixSocket::peer_creds() const {
    SpinGuard guard(socket_lock);
    return peer_creds_.uid == 65534 && peer_creds_.pid == 0 ? SocketCreds{0, ~0u, ~0u} : peer_creds_;
}

bool UnixSocket::describe_next(uint64_t& from, Line& out) {
    SpinGuard guard(socket_lock);
    for (UnixSocket* s = all_.first(); s; s = all_.next(*s)) {
        if (s->serial_ < from)
            continue;
        from = s->serial_ + 1;
        out.inode = s->inode_;
        out.references = s->ref_count();
        out.type = static_cast<uint32_t>(s->type_);
        out.listening = s->listens();
        out.connected = s->peer() != nullptr;
        out.address = s->address_;
        return true;
    }
    return false;
}

// ---- connections ---------------------------------------------------------------------------------------------------

Result<void> UnixSocket::listen(int backlog) {
    if (is_datagram())
        return Errno::opnotsupp;
    const SocketCreds creds = current_creds(true);
    SpinGuard guard(socket_lock);
    if (!address_ || state_.load(std::memory_order_relaxed) == State::connected)
        return Errno::inval;
    creds_ = creds;
    backlog_.store(static_cast<uint32_t>(backlog < 0 ? most_backlog : std::min(backlog, most_backlog)),
                   std::memory_order_relaxed);
    state_.store(State::listening, std::memory_order_release);
    guard.unlock();
    room_waitq_.wake_all();
    return {};
}

nanos_t UnixSocket::deadline(const std::atomic<nanos_t>& timeout) const {
    const nanos_t span = timeout.load(std::memory_order_relaxed);
    return span == 0 ? no_deadline : monotonic_ns() + span;
}

Errno UnixSocket::interrupted(const std::atomic<nanos_t>& timeout) const {
    return timeout.load(std::memory_order_relaxed) == 0 ? Errno::restart_sys : Errno::intr;
}

Result<void> UnixSocket::connect(RefPtr<UnixSocket> to, bool nonblocking) {
    const SocketCreds creds = current_creds(true);
    RefPtr<UnixSocket> former;
    if (is_datagram()) {
        SpinGuard guard(socket_lock);
        if (to && to->peer() && to->peer() != this)
            return Errno::perm; // it listens to somebody else
        if (to && to->closed_)
            return Errno::connrefused;
        former = RefPtr<UnixSocket>::adopt(peer_.exchange(to.release(), std::memory_order_acq_rel));
        guard.unlock();
        send_waitq_.wake_all();
        return {};
    }
    RefPtr<UnixSocket> fresh = TRY(make_ref<UnixSocket>(type_));
    const nanos_t until = deadline(send_timeout_ns);
    for (;;) {
        {
            SpinGuard guard(socket_lock);
            const State mine = state_.load(std::memory_order_relaxed);
            if (mine != State::unconnected)
                return mine == State::connected ? Errno::isconn : Errno::inval;
            if (to->state_.load(std::memory_order_relaxed) != State::listening || (to->shut() & shut_receive))
                return Errno::connrefused;
            if (!to->is_full()) {
                creds_ = creds;
                fresh->creds_ = to->creds_;
                fresh->address_ = to->address_;
                fresh->pass_creds.store(to->pass_creds.load(std::memory_order_relaxed), std::memory_order_relaxed);
                pair_with(*fresh);
                UnixSocket** end = &to->first_waiting_;
                while (*end)
                    end = &(*end)->next_waiting_;
                *end = fresh.release();
                to->queued_.fetch_add(1, std::memory_order_acq_rel);
                break;
            }
        }
        if (nonblocking)
            return Errno::again;
        switch (wait_until(
            to->room_waitq_, "connect", [&] { return !to->is_full() || !to->listens(); }, Interruptible::yes, until)) {
        case WaitResult::awoken: break;
        case WaitResult::timed_out: return Errno::again;
        case WaitResult::interrupted: return interrupted(send_timeout_ns);
        }
    }
    to->receive_waitq_.wake_all();
    send_waitq_.wake_all();
    return {};
}

Result<RefPtr<File>> UnixSocket::accept(uint32_t flags, bool nonblocking) {
    if (is_datagram())
        return Errno::opnotsupp;
    const nanos_t until = deadline(receive_timeout_ns);
    RefPtr<UnixSocket> next;
    while (!next) {
        {
            SpinGuard guard(socket_lock);
            if (!listens() || (shut() & shut_receive))
                return Errno::inval;
            if (first_waiting_) {
                next = RefPtr<UnixSocket>::adopt(first_waiting_);
                first_waiting_ = std::exchange(next->next_waiting_, nullptr);
                queued_.fetch_sub(1, std::memory_order_acq_rel);
                break;
            }
        }
        if (nonblocking)
            return Errno::again;
        const auto ready = [&] {
            return queued_.load(std::memory_order_acquire) != 0 || (shut() & shut_receive) || !listens();
        };
        switch (wait_until(receive_waitq_, "accept", ready, Interruptible::yes, until, true)) {
        case WaitResult::awoken: break;
        case WaitResult::timed_out: return Errno::again;
        case WaitResult::interrupted: return interrupted(receive_timeout_ns);
        }
    }
    room_waitq_.wake_all();
    Result<RefPtr<UnixSocketFile>> file = make_ref<UnixSocketFile>(next, flags);
    if (!file) {
        next->close(true);
        return file.error();
    }
    return RefPtr<File>(std::move(*file));
}

} // namespace lentil
