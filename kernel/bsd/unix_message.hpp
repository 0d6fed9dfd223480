// SPDX-License-Identifier: BSD-2-Clause
// What lies in the queue of a socket: bytes, who sent them, and open files that go with them.
#pragma once

#include <bsd/file.hpp>

namespace lentil {

class UnixSocket;

/// struct ucred. What Linux says where nobody noted who it was: no process, the overflow ids.
struct SocketCreds {
    int32_t pid = 0;
    uint32_t uid = 65534, gid = 65534;
    bool operator==(const SocketCreds&) const = default;
};
/// The current proc's, with its real ids (as a message has them) or effective ones (as a connection has them).
SocketCreds current_creds(bool effective);

/// The name of a socket; immutable.
struct UnixAddress : ZonedRefCounted<UnixAddress> {
    static constexpr const char* zone_name = "unix_addresses";
    static constexpr size_t max_length = 108;
    uint32_t length = 0; ///< of `path`; a name in the file system with its terminator
    char path[max_length + 1] = {};
    RefPtr<FsNode> node; ///< of a name in the file system
    bool is_abstract() const { return length != 0 && path[0] == 0; }
};

/// Open files that were sent. Made by the sender, in flight while they are in a queue.
struct UnixRights {
    static constexpr unsigned max_files = 253;
    static constexpr const char* zone_name = "unix_rights";
    unsigned count = 0;
    UnixRights* next = nullptr; ///< while it waits to be dropped
    RefPtr<File> files[max_files];
};

/// Owns rights that are not in flight.
class OwnedRights {
public:
    OwnedRights() = default;
    explicit OwnedRights(UnixRights* rights) : rights_(rights) {}
    OwnedRights(OwnedRights&& o) noexcept : rights_(std::exchange(o.rights_, nullptr)) {}
    OwnedRights& operator=(OwnedRights&& o) noexcept {
        std::swap(rights_, o.rights_);
        return *this;
    }
    ~OwnedRights() {
        if (rights_)
            zone_delete(rights_);
    }
    UnixRights* get() const { return rights_; }
    UnixRights* operator->() const { return rights_; }
    explicit operator bool() const { return rights_ != nullptr; }
    [[nodiscard]] UnixRights* release() { return std::exchange(rights_, nullptr); }

private:
    UnixRights* rights_ = nullptr;
};

/// One datagram, or a piece of a stream.
struct UnixMessage {
    static constexpr const char* zone_name = "unix_messages";
    static constexpr size_t own_size = 128;
    UnixMessage() {} // `own` stays as it is
    UnixMessage(const UnixMessage&) = delete;
    UnixMessage& operator=(const UnixMessage&) = delete;
    ~UnixMessage() {
        if (more)
            kfree(more, length);
    }
    size_t charge() const { return length + sizeof(UnixMessage); }
    char* data() { return more ? more : own; }

    UnixMessage* next = nullptr;
    size_t length = 0, taken = 0; ///< bytes, and how many of them were read
    char* more = nullptr;         ///< the bytes, if they do not fit in `own`
    RefPtr<UnixSocket> sender;    ///< datagrams: whose memory it is; of streams it is the peer's
    RefPtr<UnixAddress> from;     ///< datagrams: the sender's name
    SocketCreds creds;
    UnixRights* rights = nullptr; ///< in flight
    char own[own_size];
};

// -- rights in flight (unix_rights.cpp) ------------------------------------------------------------------------------------
/// They are about to be queued. toomanyrefs if too many files are in flight already: nothing happened.
Result<void> rights_take_off(UnixRights& rights);
/// They were taken out of a queue by who keeps them now.
OwnedRights rights_land(UnixRights* rights);
/// Another set of the same open files. nomem.
Result<OwnedRights> rights_copy(const UnixRights& rights);
/// A queue goes away with them in it. Never nests, whatever their files are: what one closes is dropped after it.
void rights_drop(UnixRights* rights);
/// A descriptor of a socket was closed: sockets that only messages in their own queues refer to go too, soon.
void rights_collect();
/// Keeps the rights in all queues where they are; for taking a message's from under its reader.
extern Mutex<Rank::socket_rights> rights_lock;

} // namespace lentil
