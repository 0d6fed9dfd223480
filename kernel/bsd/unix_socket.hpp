// SPDX-License-Identifier: BSD-2-Clause
// AF_UNIX sockets: stream, datagram and sequenced packet, with names, credentials and open files on their way.
#pragma once

#include <bsd/file.hpp>
#include <bsd/unix_message.hpp>
#include <libkern/dlist.hpp>

namespace lentil {

enum class SocketType : uint32_t { stream = 1, datagram = 2, seqpacket = 5 };

/// Linux's MSG_* that sending and receiving know.
namespace message_flags {
inline constexpr uint32_t oob = 1, peek = 2, ctrunc = 8, trunc = 0x20, dontwait = 0x40, eor = 0x80, waitall = 0x100,
                          nosignal = 0x4000, cmsg_cloexec = 0x40000000;
}

/// What one send or receive says and hears beside its bytes.
struct SocketSend {
    uint32_t flags = 0;
    RefPtr<UnixSocket> to;              ///< datagrams to somebody else than the connected one
    OwnedRights rights;                 ///< go with the first byte
    const SocketCreds* creds = nullptr; ///< checked; nullptr: the caller's own, where somebody asked for them
};
struct SocketReceive {
    uint32_t flags = 0; ///< in: message_flags; out: trunc
    bool trunc = false; ///< out: more was there than room
    RefPtr<UnixAddress> from;
    OwnedRights rights;
    SocketCreds creds; ///< of the sender
};

/// Connections and names of all sockets.
extern SpinLock<Rank::socket> socket_lock;

class UnixSocket : public ZonedRefCounted<UnixSocket> {
public:
    static constexpr const char* zone_name = "unix_sockets";
    static constexpr uint32_t default_buffer = 212992, least_buffer = 4608, most_buffer = 425984;
    static constexpr uint32_t shut_receive = 1, shut_send = 2, shut_both = 3;

    explicit UnixSocket(SocketType type);
    ~UnixSocket();

    /// A new socket and its open file. nomem.
    static Result<RefPtr<File>> create(SocketType type, uint32_t open_flags_value);
    /// Two that are connected to each other.
    static Result<void> create_pair(SocketType type, uint32_t open_flags_value, RefPtr<File> out[2]);

    // -- names -----------------------------------------------------------------------------------------------------------
    /// inval if it has a name; addrinuse if another has that one (no node: an abstract name).
    Result<void> bind(RefPtr<UnixAddress> address);
    /// An abstract name that nobody has, unless it has one already.
    Result<void> bind_anywhere();
    /// Whom `address` names: by its node if it has one. connrefused; prototype if it is of another type.
    static Result<RefPtr<UnixSocket>> find(const UnixAddress& address, SocketType type);
    RefPtr<UnixAddress> address() const;
    /// notconn.
    Result<RefPtr<UnixAddress>> peer_address() const;

    // -- connections -----------------------------------------------------------------------------------------------------
    Result<void> listen(int backlog);
    /// isconn, connrefused, again (nonblocking, or past the send timeout), restart_sys. Datagrams: whom send and receive
    /// mean from now on; nullptr: nobody.
    Result<void> connect(RefPtr<UnixSocket> to, bool nonblocking);
    /// The next that connected; inval unless it listens, again, restart_sys.
    Result<RefPtr<File>> accept(uint32_t open_flags_value, bool nonblocking);
    /// notconn, inval.
    Result<void> shutdown(uint32_t how);
    /// The last descriptor is gone, or nobody accepted it.
    void close(bool unaccepted = false);

    // -- data ------------------------------------------------------------------------------------------------------------
    Result<size_t> send(Uio& uio, SocketSend& how, bool nonblocking);
    Result<size_t> receive(Uio& uio, SocketReceive& how, bool nonblocking);
    /// The same where only the bytes count: read(2) and write(2).
    Result<size_t> write(Uio& uio, bool nonblocking);
    Result<size_t> read(Uio& uio, bool nonblocking);
    uint32_t poll(uint32_t events, PollTable* table);
    /// Bytes to read (of a datagram socket: of the next one); inval if it listens.
    Result<size_t> readable_bytes();
    size_t unread_by_others() const { return charged_.load(std::memory_order_relaxed); }

    // -- options ---------------------------------------------------------------------------------------------------------
    int take_error() { return static_cast<int>(error_.exchange(0, std::memory_order_acq_rel)); }
    bool listens() const { return state_.load(std::memory_order_acquire) == State::listening; }
    SocketCreds peer_creds() const;
    SocketType type() const { return type_; }
    std::atomic<uint32_t> pass_creds{0};
    std::atomic<uint32_t> send_buffer{default_buffer}, receive_buffer{default_buffer}, low_water{1};
    std::atomic<nanos_t> send_timeout_ns{0}, receive_timeout_ns{0}; ///< 0: none

    uint64_t inode() const { return inode_; }
    /// Line of /proc/net/unix.
    struct Line {
        uint64_t inode = 0;
        uint32_t references = 0, type = 0;
        bool listening = false, connected = false;
        RefPtr<UnixAddress> address;
    };
    /// The socket with the lowest serial number >= `from`; false past the last. `from` becomes the next to ask for.
    static bool describe_next(uint64_t& from, Line& out);

private:
    friend struct UnixRightsInternals;
    enum class State : uint32_t { unconnected, listening, connected };

    bool is_stream() const { return type_ == SocketType::stream; }
    bool is_datagram() const { return type_ == SocketType::datagram; }
    UnixSocket* peer() const { return peer_.load(std::memory_order_acquire); }
    RefPtr<UnixSocket> peer_ref() const;
    uint32_t shut() const { return shut_.load(std::memory_order_acquire); }
    void unbind();
    void pair_with(UnixSocket& other);

    nanos_t deadline(const std::atomic<nanos_t>& timeout) const;
    Errno interrupted(const std::atomic<nanos_t>& timeout) const;

    Result<size_t> send_stream(Uio& uio, SocketSend& how, bool nonblocking);
    Result<size_t> send_packet(Uio& uio, SocketSend& how, bool nonblocking);
    Result<size_t> receive_stream(Uio& uio, SocketReceive& how, bool nonblocking);
    Result<size_t> receive_packet(Uio& uio, SocketReceive& how, bool nonblocking);
    Result<UnixMessage*> make_message(Uio& uio, size_t n, SocketSend& how, bool wants_creds);
    Result<void> wait_for_message(bool nonblocking, nanos_t until);
    bool may_send() const {
        return charged_.load(std::memory_order_acquire) * 2 <= send_buffer.load(std::memory_order_relaxed) ||
               (shut() & shut_send);
    }
    bool is_full() const { return queued_.load(std::memory_order_acquire) > backlog_.load(std::memory_order_relaxed); }
    bool enqueue(UnixMessage& message); ///< false: it takes nothing any more
    UnixMessage* first_message() const { return head_.load(std::memory_order_acquire); }
    /// The first message out of the queue: it is read. Wakes who waited for room. What is left of it is dropped without
    /// read_lock_: it may be the last that refers to its sender, whose name is a file's. nullptr: it went already.
    UnixMessage* unlink_first(UnixMessage& message);
    void uncharge(size_t n);
    void room_again(); ///< of a datagram socket: those that are connected to it look again
    UnixMessage* take_queue();
    static void drop_messages(UnixMessage* first);

    const SocketType type_;
    const uint64_t inode_, serial_;
    std::atomic<State> state_{State::unconnected}; ///< s = socket_lock to change
    std::atomic<uint32_t> shut_{0};                ///< s and queue_lock_ to change
    std::atomic<UnixSocket*> peer_{nullptr};       ///< s to change; owns a reference. Of streams it stays until close
    std::atomic<uint32_t> error_{0};               ///< for the next who asks
    std::atomic<uint32_t> backlog_{10};            ///< how many more than this never wait: datagrams, connections
    RefPtr<UnixAddress> address_;                  ///< s; once
    SocketCreds creds_, peer_creds_;               ///< s; who listens or connected, and who did so on the other side
    UnixSocket* first_waiting_ = nullptr;          ///< s; connected, not accepted; each with a reference
    UnixSocket* next_waiting_ = nullptr;           ///< s
    DlistLinks<UnixSocket> all_link_, name_link_;  ///< s
    bool named_ = false;                           ///< s; in the table of names
    std::atomic<bool> closed_{false};              ///< s to change

    Mutex<Rank::pipe> read_lock_;                   ///< one reader at a time
    SpinLock<Rank::socket_queue> queue_lock_;       ///< q
    std::atomic<UnixMessage*> head_{nullptr};       ///< q; only readers take it away
    UnixMessage* tail_ = nullptr;                   ///< q
    std::atomic<size_t> bytes_{0};                  ///< q; unread in the queue
    std::atomic<uint32_t> queued_{0};               ///< messages; of who listens: connections
    std::atomic<size_t> charged_{0};                ///< what this one sent and others did not read yet
    Waitq receive_waitq_, send_waitq_, room_waitq_; ///< the last: for room in this one's queue

    File* file_ = nullptr;                ///< g = the lock of rights; what refers to it as a descriptor does
    std::atomic<uint32_t> in_flight_{0};  ///< g; how often its file lies in a queue
    uint32_t tentative_ = 0;              ///< g; during a collection
    bool is_reached_ = false;             ///< g; during a collection
    UnixSocket* next_to_visit_ = nullptr; ///< g; during a collection
    DlistLinks<UnixSocket> flight_link_;  ///< g; those with in_flight_ != 0

    static Dlist<UnixSocket, &UnixSocket::all_link_> all_;
    static constexpr unsigned name_buckets = 64;
    static Dlist<UnixSocket, &UnixSocket::name_link_> names_[name_buckets];
    static Dlist<UnixSocket, &UnixSocket::flight_link_> flying_;
    static unsigned bucket_of(const UnixAddress& address);
    static UnixSocket* find_locked(const UnixAddress& address);
    friend class UnixSocketFile;
};

} // namespace lentil
