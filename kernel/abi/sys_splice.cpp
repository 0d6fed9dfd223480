// SPDX-License-Identifier: BSD-2-Clause
// splice, tee and vmsplice. Bytes are copied: what user mode sees is the same, but for memory given to vmsplice, whose later
// changes a reader does not see.
#include <algorithm>

#include <abi/files.hpp>
#include <abi/iovec.hpp>
#include <abi/sys_file.hpp>
#include <bsd/pipe.hpp>
#include <sched/killed.hpp>

namespace lentil::abi {
namespace {

constexpr uint32_t move = 1, nonblocking_pipe = 2, more = 4, gift = 8;
constexpr size_t chunk = 16384;

/// An open end for reading, resp. writing: badf.
Result<FileHold> open_for(int fd, bool reading) {
    FileHold file = TRY(open_file(fd));
    if (reading ? !file->readable() : !file->writable())
        return Errno::badf;
    return file;
}

bool is_nonblocking(const File& end, uint32_t flags) { return end.nonblocking() || (flags & nonblocking_pipe); }

/// What was done counts, else the error.
Result<size_t> done_or(size_t done, Errno error) {
    if (done > 0)
        return done;
    return error;
}

/// From a pipe until `n`, its end, or until it is empty after something came.
Result<size_t> drain(File& end, File& to, off_t* offset, size_t n, uint32_t flags) {
    Pipe& pipe = *end.pipe();
    Buffer<char> buffer = TRY(Buffer<char>::create_uninitialized(std::min(n, chunk)));
    size_t done = 0;
    while (done < n) {
        if (being_killed())
            return done_or(done, Errno::intr);
        const Result<bool> any = pipe.await_bytes(done > 0 || is_nonblocking(end, flags));
        if (!any)
            return done_or(done, any.error());
        if (!*any)
            break;
        uint64_t place = 0;
        const size_t got = pipe.peek(buffer.span().first(std::min(buffer.size(), n - done)), place);
        Uio out = Uio::kernel(buffer.data(), got);
        const Result<size_t> put = offset ? to.pwrite(out, *offset) : to.write(out);
        if (!put)
            return done_or(done, put.error());
        pipe.take(place, *put);
        if (offset)
            *offset += static_cast<off_t>(*put);
        done += *put;
        if (*put < got)
            break;
    }
    return done;
}

/// Into a pipe: what fits of what there is.
Result<size_t> fill(File& from, off_t* offset, File& end, size_t n, uint32_t flags) {
    Pipe& pipe = *end.pipe();
    TRY(pipe.await_room(is_nonblocking(end, flags)));
    n = std::min(n, pipe.writable_bytes());
    Buffer<char> buffer = TRY(Buffer<char>::create_uninitialized(std::min(n, chunk)));
    size_t done = 0;
    while (done < n) {
        if (being_killed())
            return done_or(done, Errno::intr);
        Uio in = Uio::kernel(buffer.data(), std::min(buffer.size(), n - done));
        const size_t wanted = in.left();
        const Result<size_t> got = offset ? from.pread(in, *offset) : from.read(in);
        if (!got)
            return done_or(done, got.error());
        if (*got == 0)
            break;
        Uio out = Uio::kernel(buffer.data(), *got);
        const Result<size_t> put = pipe.write(out, is_nonblocking(end, flags));
        const size_t written = put ? *put : 0;
        if (offset)
            *offset += static_cast<off_t>(written);
        else if (written < *got) // another writer was faster: what can be read again is
            (void)from.seek(-static_cast<off_t>(*got - written), Whence::current);
        done += written;
        if (written < *got)
            return done_or(done, put ? Errno::again : put.error());
        if (*got < wanted || !from.mappable().ok()) // a socket may have no more, and would sleep
            break;
    }
    return done;
}

/// From pipe to pipe: what is there and fits. With `keep` it stays in the first.
Result<size_t> pour(File& from, File& to, size_t n, uint32_t flags, bool keep) {
    Pipe& source = *from.pipe();
    Pipe& target = *to.pipe();
    if (&source == &target)
        return Errno::inval;
    const bool nonblocking = is_nonblocking(from, flags) || is_nonblocking(to, flags);
    if (!TRY(source.await_bytes(nonblocking)))
        return size_t{0};
    TRY(target.await_room(nonblocking));
    n = std::min({n, source.readable_bytes(), target.writable_bytes()});
    Buffer<char> buffer = TRY(Buffer<char>::create_uninitialized(n));
    uint64_t place = 0;
    Uio out = Uio::kernel(buffer.data(), source.peek(buffer.span(), place));
    const size_t put = TRY(target.write(out, nonblocking));
    if (!keep)
        source.take(place, put);
    return put;
}

Result<off_t> take_offset(UserPtr<off_t> pointer, bool of_pipe) {
    if (of_pipe)
        return Errno::spipe;
    const off_t offset = TRY(pointer.read());
    if (offset < 0)
        return Errno::inval;
    return offset;
}

/// Linux says so of files that have no positions.
Result<size_t> seekable(Result<size_t> result) {
    if (!result && result.error() == Errno::spipe)
        return Errno::inval;
    return result;
}

} // namespace

Result<size_t> sys_splice(int from, UserPtr<off_t> from_offset, int to, UserPtr<off_t> to_offset, uint64_t n,
                          uint32_t flags) {
    if (n == 0)
        return size_t{0};
    if (flags & ~(move | nonblocking_pipe | more | gift))
        return Errno::inval;
    const FileHold source = TRY(open_for(from, true));
    const FileHold target = TRY(open_for(to, false));
    const bool from_pipe = source->pipe(), to_pipe = target->pipe();
    off_t source_at = 0, target_at = 0;
    if (from_offset)
        source_at = TRY(take_offset(from_offset, from_pipe));
    if (to_offset)
        target_at = TRY(take_offset(to_offset, to_pipe));
    n = std::min(n, rw_max);
    size_t done = 0;
    if (from_pipe && to_pipe) {
        done = TRY(pour(*source, *target, n, flags, false));
    } else if (from_pipe) {
        if (target->flags.load(std::memory_order_relaxed) & open_flags::append)
            return Errno::inval;
        done = TRY(seekable(drain(*source, *target, to_offset ? &target_at : nullptr, n, flags)));
    } else if (to_pipe) {
        done = TRY(seekable(fill(*source, from_offset ? &source_at : nullptr, *target, n, flags)));
    } else {
        return Errno::inval;
    }
    if (from_offset)
        TRY(from_offset.write(source_at));
    if (to_offset)
        TRY(to_offset.write(target_at));
    return done;
}

Result<size_t> sys_tee(int from, int to, uint64_t n, uint32_t flags) {
    if (flags & ~(move | nonblocking_pipe | more | gift))
        return Errno::inval;
    if (n == 0)
        return size_t{0};
    const FileHold source = TRY(open_file(from));
    const FileHold target = TRY(open_file(to));
    if (!source->readable() || !target->writable())
        return Errno::badf;
    if (!source->pipe() || !target->pipe())
        return Errno::inval;
    return pour(*source, *target, std::min(n, rw_max), flags, true);
}

Result<size_t> sys_vmsplice(int fd, UserPtr<Iovec> vector, uint64_t count, uint32_t flags) {
    if (flags & ~(move | nonblocking_pipe | more | gift))
        return Errno::inval;
    const FileHold file = TRY(open_file(fd));
    Pipe* const pipe = file->pipe();
    if (!pipe)
        return Errno::badf;
    Segments segments;
    Uio uio{TRY(segments.load(vector, count))};
    if (uio.left() == 0)
        return size_t{0};
    if (!file->writable())
        return pipe->read(uio, is_nonblocking(*file, flags));
    TRY(pipe->await_room(is_nonblocking(*file, flags)));
    uio.limit(pipe->writable_bytes()); // no more than fits, as on Linux
    return pipe->write(uio, is_nonblocking(*file, flags));
}

} // namespace lentil::abi
