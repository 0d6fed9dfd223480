// SPDX-License-Identifier: BSD-2-Clause
// Reading, writing, seeking and what else concerns the contents of an open file.
#include <algorithm>

#include <abi/files.hpp>
#include <abi/iovec.hpp>
#include <abi/sys_file.hpp>
#include <sched/killed.hpp>
#include <vfs/mount.hpp>
#include <vfs/vfs.hpp>
#include <vfs/vnode_file.hpp>

namespace lentil::abi {

Result<std::span<const UioSegment>> Segments::load(UserPtr<Iovec> vector, uint64_t count) {
    if (count > iov_max)
        return Errno::inval;
    std::span<UioSegment> segments(own_, count <= own_count ? count : 0);
    if (count > own_count) {
        more_ = TRY(Buffer<UioSegment>::create(count));
        segments = more_.span();
    }
    uint64_t left = rw_max;
    for (uint64_t i = 0; i < count; i++) {
        const Iovec v = TRY((vector + i).read());
        UioSegment segment = TRY(one_segment(v.base, v.length));
        segment.length = std::min(segment.length, left);
        left -= segment.length;
        segments[i] = segment;
    }
    return std::span<const UioSegment>(segments);
}

namespace {

Result<FileHold> readable_file(int fd) {
    FileHold file = TRY(open_file(fd));
    if (!file->readable())
        return Errno::badf;
    return file;
}

Result<FileHold> writable_file(int fd) {
    FileHold file = TRY(open_file(fd));
    if (!file->writable())
        return Errno::badf;
    return file;
}

/// For /proc/PID/io: the call, and what it moved.
Result<size_t> counted_read(Result<size_t> result) {
    OwnUsage& usage = current_uthread().usage;
    usage.reads++;
    usage.bytes_read += result ? *result : 0;
    return result;
}

Result<size_t> counted_write(Result<size_t> result) {
    OwnUsage& usage = current_uthread().usage;
    usage.writes++;
    usage.bytes_written += result ? *result : 0;
    return result;
}

/// preadv2's and pwritev2's flags. High priority asks for nothing that is not so anyway.
namespace rw_flags {
constexpr uint32_t high_priority = 1, dsync = 2, sync = 4, no_wait = 8, append = 16, no_append = 32;
constexpr uint32_t known = high_priority | dsync | sync | no_wait | append | no_append;
} // namespace rw_flags

Result<void> check_rw_flags(uint32_t flags) {
    using namespace rw_flags;
    if (flags & ~known)
        return Errno::opnotsupp;
    if ((flags & append) && (flags & no_append))
        return Errno::inval;
    return {};
}

/// Where preadv2 and pwritev2 move bytes: -1 is the file's own position, which pipes and their like have alone.
Result<void> check_position(File& file, off_t offset) {
    if (offset < -1)
        return Errno::inval;
    if (offset >= 0)
        TRY(file.seek(0, Whence::current));
    return {};
}

/// Collects directory entries as getdents64 lays them out.
class DirentSink final : public DirectorySink {
public:
    explicit DirentSink(std::span<char> buffer) : buffer_(buffer) {}

    bool put(const DirectoryEntry& entry) override {
        const size_t length = align_up(sizeof(Dirent64) + entry.name.size() + 1, size_t{8});
        if (length > buffer_.size() - used_) {
            full_ = true;
            return false;
        }
        char* at = buffer_.data() + used_;
        const Dirent64 head{entry.inode, entry.next, static_cast<uint16_t>(length), static_cast<uint8_t>(entry.type)};
        __builtin_memset(at, 0, length);
        __builtin_memcpy(at, &head, sizeof head);
        __builtin_memcpy(at + sizeof head, entry.name.data(), entry.name.size());
        used_ += length;
        return true;
    }
    size_t used() const { return used_; }
    bool refused_all() const { return full_ && used_ == 0; }

private:
    std::span<char> buffer_;
    size_t used_ = 0;
    bool full_ = false;
};

/// Copies through a kernel buffer until `n` bytes, the end of the source or the first short write. Positions: a pointer
/// to an offset, or nullptr for the file's own.
Result<size_t> copy_between(File& from, off_t* from_offset, File& to, off_t* to_offset, size_t n) {
    constexpr size_t chunk = 16384;
    Buffer<char> buffer = TRY(Buffer<char>::create(std::min(n, chunk)));
    size_t done = 0;
    while (done < n) {
        if (being_killed())
            return done > 0 ? Result<size_t>(done) : Errno::intr;
        Uio in = Uio::kernel(buffer.data(), std::min(n - done, buffer.size()));
        const Result<size_t> got = from_offset ? from.pread(in, *from_offset) : from.read(in);
        if (!got.ok()) {
            if (done > 0)
                break;
            return got.error();
        }
        if (*got == 0)
            break;
        size_t written = 0;
        Errno failure{};
        while (written < *got) {
            Uio out = Uio::kernel(buffer.data() + written, *got - written);
            const Result<size_t> put = to_offset ? to.pwrite(out, *to_offset) : to.write(out);
            if (!put.ok() || *put == 0) {
                failure = put.ok() ? Errno::io : put.error();
                break;
            }
            written += *put;
            if (to_offset)
                *to_offset += static_cast<off_t>(*put);
        }
        if (from_offset)
            *from_offset += static_cast<off_t>(written);
        else if (written < *got) // what was read and not written is unread again, where that can be
            (void)from.seek(-static_cast<off_t>(*got - written), Whence::current);
        done += written;
        if (written < *got) {
            if (done > 0)
                break;
            return failure;
        }
    }
    return done;
}

Result<size_t> copy_counted(File& from, off_t* from_offset, File& to, off_t* to_offset, size_t n) {
    return counted_write(counted_read(copy_between(from, from_offset, to, to_offset, n)));
}

Result<off_t> read_offset(UserPtr<off_t> pointer) {
    const off_t offset = TRY(pointer.read());
    if (offset < 0)
        return Errno::inval;
    return offset;
}

} // namespace

namespace {

/// One piece of user memory and a file, at its own position or at another.
enum class Move : uint32_t { read, write, pread, pwrite };
constexpr bool writes(Move m) { return m == Move::write || m == Move::pwrite; }

template<Move m>
[[gnu::always_inline]] inline Result<size_t> move_piece(File& file, const UioSegment& segment, off_t offset) {
    if constexpr (m == Move::read) {
        return file.read_piece(segment.base, segment.length);
    } else if constexpr (m == Move::write) {
        return file.write_piece(segment.base, segment.length);
    } else {
        Uio uio{std::span(&segment, 1)};
        if constexpr (m == Move::pread)
            return file.pread(uio, offset);
        else
            return file.pwrite(uio, offset);
    }
}

/// with_piece() where the descriptor is shared or wrong, or the memory is.
template<Move m>
[[gnu::noinline]] CallValue with_piece_counted(int fd, uint64_t buffer, uint64_t n, off_t offset) {
    const Result<FileHold> file = writes(m) ? writable_file(fd) : readable_file(fd);
    if (!file.ok())
        return file.error();
    const Result<UioSegment> segment = one_segment(buffer, n);
    if (!segment.ok())
        return segment.error();
    const Result<size_t> moved = move_piece<m>(**file, *segment, offset);
    const Result<size_t> counted = writes(m) ? counted_write(moved) : counted_read(moved);
    return counted.ok() ? CallValue(*counted) : CallValue(counted.error());
}

/// The file behind `fd` must be open for that.
template<Move m>
[[gnu::always_inline]] inline CallValue with_piece(int fd, uint64_t buffer, uint64_t n, off_t offset = 0) {
    constexpr uint32_t wrong = writes(m) ? open_flags::read_only : open_flags::write_only;
    Proc& proc = current_proc();
    File* const file = proc.is_single() ? proc.fds->borrow(fd) : nullptr;
    if (!file) [[unlikely]]
        return with_piece_counted<m>(fd, buffer, n, offset);
    const uint32_t flags = file->flags.load(std::memory_order_relaxed);
    if ((flags & open_flags::path) || (flags & open_flags::access_mode) == wrong || !user_range_ok(buffer, n))
        [[unlikely]]
        return with_piece_counted<m>(fd, buffer, n, offset);
    const UioSegment segment{buffer, std::min<uint64_t>(n, rw_max)};
    const Result<size_t> moved = move_piece<m>(*file, segment, offset);
    OwnUsage& usage = current_uthread().usage;
    (writes(m) ? usage.writes : usage.reads)++;
    if (!moved.ok()) [[unlikely]]
        return moved.error();
    const size_t n_moved = *moved;
    (writes(m) ? usage.bytes_written : usage.bytes_read) += n_moved;
    return n_moved;
}

} // namespace

CallValue sys_read(int fd, uint64_t buffer, uint64_t n) { return with_piece<Move::read>(fd, buffer, n); }

CallValue sys_write(int fd, uint64_t buffer, uint64_t n) { return with_piece<Move::write>(fd, buffer, n); }

CallValue sys_pread64(int fd, uint64_t buffer, uint64_t n, off_t offset) {
    if (offset < 0)
        return Errno::inval;
    return with_piece<Move::pread>(fd, buffer, n, offset);
}

CallValue sys_pwrite64(int fd, uint64_t buffer, uint64_t n, off_t offset) {
    if (offset < 0)
        return Errno::inval;
    return with_piece<Move::pwrite>(fd, buffer, n, offset);
}

Result<size_t> sys_readv(int fd, UserPtr<Iovec> vector, uint64_t count) {
    const FileHold file = TRY(readable_file(fd));
    Segments segments;
    Uio uio{TRY(segments.load(vector, count))};
    return counted_read(file->read(uio));
}

Result<size_t> sys_writev(int fd, UserPtr<Iovec> vector, uint64_t count) {
    const FileHold file = TRY(writable_file(fd));
    Segments segments;
    Uio uio{TRY(segments.load(vector, count))};
    return counted_write(file->write(uio));
}

Result<size_t> sys_preadv(int fd, UserPtr<Iovec> vector, uint64_t count, off_t offset) {
    if (offset < 0)
        return Errno::inval;
    const FileHold file = TRY(readable_file(fd));
    Segments segments;
    Uio uio{TRY(segments.load(vector, count))};
    return counted_read(file->pread(uio, offset));
}

Result<size_t> sys_pwritev(int fd, UserPtr<Iovec> vector, uint64_t count, off_t offset) {
    if (offset < 0)
        return Errno::inval;
    const FileHold file = TRY(writable_file(fd));
    Segments segments;
    Uio uio{TRY(segments.load(vector, count))};
    return counted_write(file->pwrite(uio, offset));
}

Result<size_t> sys_preadv2(int fd, UserPtr<Iovec> vector, uint64_t count, off_t offset, uint64_t, uint32_t flags) {
    if (flags & rw_flags::no_wait) {
        const FileHold file = TRY(readable_file(fd));
        TRY(check_position(*file, offset));
        Segments segments;
        Uio uio{TRY(segments.load(vector, count))};
        TRY(check_rw_flags(flags));
        return counted_read(file->read_now(uio));
    }
    TRY(check_rw_flags(flags));
    return offset == -1 ? sys_readv(fd, vector, count) : sys_preadv(fd, vector, count, offset);
}

Result<size_t> sys_pwritev2(int fd, UserPtr<Iovec> vector, uint64_t count, off_t offset, uint64_t, uint32_t flags) {
    using namespace rw_flags;
    const FileHold file = TRY(writable_file(fd));
    TRY(check_position(*file, offset));
    Segments segments;
    Uio uio{TRY(segments.load(vector, count))};
    TRY(check_rw_flags(flags));
    const bool appends = file->flags.load(std::memory_order_relaxed) & open_flags::append;
    const size_t n =
        TRY(counted_write(flags & no_wait ? file->write_now(uio)
                                          : file->write_placed(uio, offset == -1 ? nullptr : &offset,
                                                               (appends || (flags & append)) && !(flags & no_append))));
    if (n > 0 && (flags & (dsync | sync))) {
        const Result<void> synced = file->sync(!(flags & sync));
        if (!synced && synced.error() != Errno::inval) // nothing to be synced
            return synced.error();
    }
    return n;
}

Result<off_t> sys_lseek(int fd, off_t offset, uint32_t whence) {
    const FileHold file = TRY(open_file(fd));
    if (whence > static_cast<uint32_t>(Whence::hole))
        return Errno::inval;
    return file->seek(offset, static_cast<Whence>(whence));
}

Result<uint64_t> sys_getdents64(int fd, uint64_t buffer, uint32_t size) {
    const FileHold file = TRY(open_file(fd));
    if (!user_range_ok(buffer, size))
        return Errno::fault;
    Buffer<char> entries = TRY(Buffer<char>::create(std::min<size_t>(size, page_size)));
    DirentSink sink(entries.span());
    TRY(file->read_directory(sink));
    if (sink.refused_all())
        return Errno::inval;
    TRY(copyout(buffer, entries.data(), sink.used()));
    return sink.used();
}

Result<size_t> sys_sendfile(int to, int from, UserPtr<off_t> offset, uint64_t n) {
    off_t at = 0;
    if (offset)
        at = TRY(read_offset(offset));
    const FileHold source = TRY(readable_file(from));
    const FileHold target = TRY(writable_file(to));
    if (static_cast<int64_t>(n) < 0)
        return Errno::inval;
    // As on Linux the source must have contents that can be read again (a file, not a pipe or terminal).
    if (!source->mappable().ok())
        return Errno::inval;
    if (target->flags.load(std::memory_order_relaxed) & open_flags::append)
        return Errno::inval;
    const size_t done = TRY(copy_counted(*source, offset ? &at : nullptr, *target, nullptr, std::min(n, rw_max)));
    if (offset)
        TRY(offset.write(at));
    return done;
}

Result<size_t> sys_copy_file_range(int from, UserPtr<off_t> from_offset, int to, UserPtr<off_t> to_offset, uint64_t n,
                                   uint32_t flags) {
    constexpr uint32_t type_mask = 0170000, regular = 0100000, directory = 0040000;
    const FileHold source = TRY(open_file(from));
    const FileHold target = TRY(open_file(to));
    off_t source_at = 0, target_at = 0;
    if (from_offset)
        source_at = TRY(read_offset(from_offset));
    if (to_offset)
        target_at = TRY(read_offset(to_offset));
    if (flags != 0)
        return Errno::inval;
    for (File* file : {source.get(), target.get()}) {
        const uint32_t type = TRY(file->stat()).mode & type_mask;
        if (type == directory)
            return Errno::isdir;
        if (type != regular)
            return Errno::inval;
    }
    if (!source->readable() || !target->writable() ||
        (target->flags.load(std::memory_order_relaxed) & open_flags::append))
        return Errno::badf;
    const size_t done = TRY(copy_counted(*source, from_offset ? &source_at : nullptr, *target,
                                         to_offset ? &target_at : nullptr, std::min(n, rw_max)));
    if (from_offset)
        TRY(from_offset.write(source_at));
    if (to_offset)
        TRY(to_offset.write(target_at));
    return done;
}

Result<void> sys_fstat(int fd, UserPtr<Stat> out) {
    Proc& proc = current_proc();
    if (File* const file = proc.is_single() ? proc.fds->borrow(fd) : nullptr) [[likely]] {
        const Result<FileStat> stat = file->stat(); // TRY would copy all of it
        return stat.ok() ? out.write(Stat::from(*stat)) : stat.error();
    }
    const FileHold file = TRY(any_file(fd));
    return out.write(Stat::from(TRY(file->stat())));
}

Result<void> sys_sync() {
    vfs::sync_all();
    return {};
}

Result<void> sys_fsync(int fd) { return TRY(open_file(fd))->sync(false); }

Result<void> sys_fdatasync(int fd) { return TRY(open_file(fd))->sync(true); }

Result<void> sys_syncfs(int fd) {
    const FileHold file = TRY(open_file(fd));
    const Result<RefPtr<Vnode>> node = vfs::node_of(*file);
    if (!node.ok())
        return {};
    return (*node)->mount->sync();
}

Result<void> sys_sync_file_range(int fd, off_t offset, off_t n, uint32_t flags) {
    constexpr uint32_t known = 7;
    if ((flags & ~known) || offset < 0 || n < 0 || offset + n < offset)
        return Errno::inval;
    if (!TRY(open_file(fd))->mappable().ok())
        return Errno::spipe;
    return {};
}

Result<void> sys_ftruncate(int fd, off_t size) {
    if (size < 0)
        return Errno::inval;
    const FileHold file = TRY(open_file(fd));
    if (!file->writable())
        return Errno::inval;
    return file->truncate(static_cast<uint64_t>(size));
}

Result<void> sys_fallocate(int fd, uint32_t mode, off_t offset, off_t n) {
    const FileHold file = TRY(open_file(fd));
    return vnode_file_allocate(*file, mode, offset, n);
}

Result<void> sys_readahead(int fd, off_t, uint64_t) {
    const FileHold file = TRY(readable_file(fd));
    if (!file->mappable().ok())
        return Errno::inval;
    return {};
}

Result<void> sys_fadvise64(int fd, off_t, off_t n, int advice) {
    const FileHold file = TRY(open_file(fd));
    if (n < 0 || advice < 0 || advice > 5)
        return Errno::inval;
    if (file->seek(0, Whence::current).ok())
        return {};
    return Errno::spipe;
}

} // namespace lentil::abi
