// SPDX-License-Identifier: BSD-2-Clause
// Open file descriptions: what descriptors refer to. Every kind (vnode, pipe, tty, eventfd...) is a File.
#pragma once

#include <bsd/uio.hpp>
#include <libkern/types.hpp>
#include <libkern/word.hpp>
#include <sched/mutex.hpp>
#include <vm/vm_map.hpp>

namespace lentil {

/// What stat reports; abi/ turns it into Linux's structures. Times are nanoseconds since 1970.
struct FileStat {
    uint64_t device = 0, inode = 0, rdevice = 0, size = 0, blocks_512 = 0;
    uint32_t mode = 0, links = 0, block_size = 4096;
    uid_t uid = 0;
    gid_t gid = 0;
    nanos_t atime = 0, mtime = 0, ctime = 0, btime = 0;
};

/// File status flags with Linux's values (fcntl F_GETFL); access mode in the low two bits.
namespace open_flags {
inline constexpr uint32_t read_only = 0, write_only = 1, read_write = 2, access_mode = 3;
inline constexpr uint32_t creat = 0100, excl = 0200, noctty = 0400, trunc = 01000, append = 02000, nonblock = 04000,
                          dsync = 010000, async = 020000, direct = 040000, largefile = 0100000, directory = 0200000,
                          nofollow = 0400000, noatime = 01000000, cloexec = 02000000,
                          sync_bit = 04000000, ///< with dsync: O_SYNC
    path = 010000000, tmpfile = 020200000;
} // namespace open_flags

/// poll(2) events, Linux values.
namespace poll_events {
inline constexpr uint32_t in = 1, pri = 2, out = 4, err = 8, hup = 0x10, nval = 0x20, rdnorm = 0x40, rdband = 0x80,
                          wrnorm = 0x100, wrband = 0x200, rdhup = 0x2000;
}

/// What can be done with a file just now, kept by whoever changes that: poll_events in the low half, a count of the kind's
/// own above them. Negative: nobody keeps it, the file has to be asked.
using ReadyWord = Word<int64_t>;
inline constexpr unsigned ready_count_shift = 32;
extern const ReadyWord ready_by_asking;

/// Gathers the wait queues that a poll must sleep on. `add` may be called with spin locks held; running out of slots
/// makes `add` fall back to a table that was reserved before.
class PollTable {
public:
    virtual void add(Waitq& queue) = 0;

protected:
    ~PollTable() = default;
};

enum class Whence : uint32_t { set = 0, current = 1, end = 2, data = 3, hole = 4 };

/// One directory entry on its way to getdents64.
struct DirectoryEntry {
    std::string_view name;
    uint64_t inode = 0;
    uint32_t type = 0; ///< DT_* value
    off_t next = 0;    ///< position after it
};
class DirectorySink {
public:
    virtual bool put(const DirectoryEntry& entry) = 0; ///< false: full, not taken

protected:
    ~DirectorySink() = default;
};

enum class TtyName : uint32_t {
    own,        ///< opening it may make it the controlling terminal
    console,    ///< /dev/console
    controlling ///< /dev/tty
};

/// F_ADD_SEALS: what may not happen to a file of memory any more, Linux values.
namespace file_seals {
inline constexpr uint32_t seal = 1, shrink = 2, grow = 4, write = 8, future_write = 16, exec = 32, all = 63;
inline constexpr uint32_t any_write = write | future_write;
} // namespace file_seals

/// The seals of one file, whoever has it open.
class FileSeals {
public:
    virtual uint32_t now() const = 0;
    /// perm once `seal` is set; busy for `write` while somebody has, or could give himself, a writable shared mapping.
    virtual Result<void> add_seals(uint32_t more) = 0;
    /// A shared mapping is being made that could be written to (`maybe`), or shall be from the start (`now`): perm, or
    /// whether it may ever be. After success `write` cannot be set until end_shared_mapping.
    enum class Writes : uint32_t { maybe, now };
    virtual Result<bool> begin_shared_mapping(Writes writes) = 0;
    virtual void end_shared_mapping() = 0;

protected:
    ~FileSeals() = default;
};

class File : public PolymorphicRefCounted<File> {
public:
    explicit File(uint32_t open_flags_value) : flags(open_flags_value) {}
    virtual ~File() = default;

    virtual Result<size_t> read(Uio& uio) = 0; ///< at the file's own position, which it advances
    virtual Result<size_t> write(Uio& uio) = 0;
    /// The same with one piece of user memory that lies in the user half, of at most 2 GiB. A kind from which little is moved at a
    /// time may have a shorter way.
    virtual Result<size_t> read_piece(vaddr_t to, size_t n);
    virtual Result<size_t> write_piece(vaddr_t from, size_t n);
    virtual Result<size_t> pread(Uio&, off_t) { return Errno::spipe; }
    virtual Result<size_t> pwrite(Uio&, off_t) { return Errno::spipe; }
    /// As read and write, but they do not wait (RWF_NOWAIT): again. opnotsupp: nothing is known of how long they take.
    virtual Result<size_t> read_now(Uio&) { return Errno::opnotsupp; }
    virtual Result<size_t> write_now(Uio&) { return Errno::opnotsupp; }
    /// write, or pwrite if `at` is no nullptr, as if O_APPEND were set or not (RWF_APPEND, RWF_NOAPPEND); the same where
    /// there is no end to append to.
    virtual Result<size_t> write_placed(Uio& uio, const off_t* at, bool) { return at ? pwrite(uio, *at) : write(uio); }
    virtual Result<off_t> seek(off_t, Whence) { return Errno::spipe; }
    /// Where it is, for /proc: as it was a moment ago. Takes no lock.
    virtual off_t position() { return 0; }
    virtual Result<uint64_t> ioctl(uint32_t, uint64_t) { return Errno::notty; }
    /// Events ready now among `events` (plus err, hup); registers with `table` where they would become ready.
    virtual uint32_t poll(uint32_t events, PollTable* table) = 0;
    /// The same without a table.
    uint32_t poll_now(uint32_t events) {
        const int64_t word = ready_now->load(std::memory_order_relaxed);
        if (word < 0)
            return poll(events, nullptr);
        return static_cast<uint32_t>(word) & (events | poll_events::err | poll_events::hup);
    }
    virtual Result<FileStat> stat() = 0;
    virtual Result<void> truncate(uint64_t) { return Errno::inval; }
    virtual Result<void> read_directory(DirectorySink&) { return Errno::notdir; }
    /// fsync; with `data_only` fdatasync.
    virtual Result<void> sync(bool) { return Errno::inval; }
    /// What mmap maps: object and offset rules of the file; nodev if it cannot be mapped. nullptr object: behaves as
    /// anonymous memory (/dev/zero).
    struct Mappable {
        RefPtr<VmObject> object;
        RefPtr<MappedFile> file;
    };
    virtual Result<Mappable> mappable() { return Errno::nodev; }
    /// /proc/PID/fd link text.
    virtual size_t describe(std::span<char> buffer) = 0;
    /// The lines that /proc/PID/fdinfo has for this kind of file alone, as Linux words them.
    virtual void describe_state(const struct FormatSink&) {}
    /// The vnode behind it, if any (vfs casts it back).
    virtual class FsNode* node() { return nullptr; }
    /// A new description of the same thing, for /proc/PID/fd/N of files that have no node.
    virtual Result<RefPtr<File>> reopen(uint32_t) { return Errno::nxio; }
    /// The pipe of which this is an end (F_GETPIPE_SZ), if it is one.
    virtual class Pipe* pipe() { return nullptr; }
    virtual class Epoll* epoll() { return nullptr; }
    virtual class TimerFile* timer() { return nullptr; }
    virtual class Kqueue* kqueue() { return nullptr; }
    virtual class PidFile* pidfd() { return nullptr; }
    virtual class Inotify* inotify() { return nullptr; }
    virtual class MessageQueueFile* message_queue() { return nullptr; }
    virtual class UnixSocket* socket() { return nullptr; }
    virtual FileSeals* seals() { return nullptr; }
    /// The terminal behind it, and under which name it was opened.
    struct Terminal {
        class Tty* tty = nullptr;
        TtyName name = TtyName::own;
    };
    virtual Terminal terminal() { return {}; }
    /// Whether O_ASYNC does something.
    virtual bool can_send_sigio() { return pipe() || socket() || terminal().tty || inotify(); }
    /// A descriptor of `owner` was closed: drops its record locks, runs `flush` of the kind.
    virtual void descriptor_closed() {}
    /// Where it was opened no program gets another's rights (nosuid), or none may be run or mapped to be (noexec).
    virtual bool forbids_set_id() { return false; }
    virtual bool forbids_execution() { return false; }

    bool readable() const { return (flags & open_flags::access_mode) != open_flags::write_only; }
    bool writable() const { return (flags & open_flags::access_mode) != open_flags::read_only; }
    bool nonblocking() const { return flags & open_flags::nonblock; }

    /// Before it goes: locks and watches that name the open file.
    void last_unref();

    const ReadyWord* ready_now = &ready_by_asking; ///< what poll would say; stays where it is while the file is
    std::atomic<uint32_t> flags;             ///< open_flags; only append, nonblock, direct, noatime change after open
    std::atomic<uint32_t> may_hold_locks{0}; ///< flock or OFD locks (bsd/file_lock.hpp)
    static constexpr uint32_t watched_by_epoll = 1, watched_by_kqueue = 2, knows_its_name = 4, opened_by_kernel = 8,
                              has_owner = 16;
    std::atomic<uint32_t> watched{0};       ///< once (bsd/epoll.hpp, bsd/kqueue.hpp), and what its end needs to know
    struct OpenedName* opened_as = nullptr; ///< owned; only if somebody watched when it was opened (vfs/inotify.hpp)
    bool stays_behind = false;              ///< a copy of a descriptor table leaves it out (kqueue)
    std::atomic<struct FileOwner*> owner{nullptr}; ///< owned; whom it tells when it is ready (bsd/sigio.hpp)
};

/// How many watches of nodes there are (vfs/inotify.hpp): while it is 0 nothing need be told.
extern std::atomic<uint32_t> fs_watches;

/// Root of vnodes, opaque to bsd: what cwd and root refer to.
class FsNode : public PolymorphicRefCounted<FsNode> {
public:
    virtual ~FsNode() = default;
    /// An open file of the node goes, while watches are somewhere or it remembers by which name it was opened.
    virtual void file_ended(File&) {}
    /// The node goes, and it has watches.
    virtual void watched_ended() {}
    std::atomic<struct FsWatch*> watches{nullptr}; ///< vfs/inotify.cpp
    /// The node that stands for the file wherever it is seen, which is what locks are about.
    virtual FsNode& shared() { return *this; }

    /// The process whose directory in /proc it is; stays while the node does.
    virtual struct Proc* process() { return nullptr; }

    /// Before it goes: what finds it without a reference lets go of it.
    void last_unref() {
        if (watches.load(std::memory_order_relaxed)) [[unlikely]]
            watched_ended();
        if (first_name.load(std::memory_order_acquire)) [[unlikely]]
            forget_names();
        dispose();
    }
    virtual void forget_names() {}
    std::atomic<struct NameEntry*> first_name{nullptr}; ///< in the name cache (vfs/name_cache.hpp)
};

/// The directory and name by which a file was opened.
struct OpenedName {
    RefPtr<FsNode> directory;
    uint32_t length;
    char name[];
    std::string_view text() const { return {name, length}; }
};

} // namespace lentil
