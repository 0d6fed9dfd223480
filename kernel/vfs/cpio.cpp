// SPDX-License-Identifier: BSD-2-Clause
// The cpio reader: a state machine that takes its input in pieces of any size.
#include <algorithm>
#include <cstring>
#include <new>
#include <zlib/zlib.h>

#include <vfs/cpio.hpp>

namespace lentil {

namespace {

constexpr size_t header_size = 110, name_limit = 4096, target_limit = 4096;
constexpr std::string_view trailer_name = "TRAILER!!!";
constexpr uint32_t type_mask = 0170000, type_regular = 0100000, type_symlink = 0120000;

/// One archive after another out of one stream.
class Parser {
public:
    explicit Parser(CpioVisitor& visitor) : visitor_(visitor) {}

    /// Takes input until it is used up, an archive ended, or an error. Returns how much was taken.
    size_t feed(std::span<const uint8_t> input) {
        size_t used = 0;
        while (used < input.size() && !failed_ && state_ != State::between)
            used += step(input.subspan(used));
        return used;
    }
    /// Between archives: before the first header, or after a trailer.
    bool between() const { return state_ == State::between; }
    void start() {
        state_ = State::header;
        have_ = 0;
        offset_ = 0;
    }
    bool failed() const { return failed_; }
    Errno error() const { return error_; }
    const char* text() const { return text_; }
    void fail(Errno e, const char* text) {
        failed_ = true;
        error_ = e;
        text_ = text;
    }

private:
    enum class State { between, header, name, name_padding, target, body, body_padding };

    /// Collects up to `wanted` bytes into `to`; true when they are there.
    bool collect(char* to, size_t wanted, std::span<const uint8_t> input, size_t& used) {
        used = std::min(wanted - have_, input.size());
        memcpy(to + have_, input.data(), used);
        have_ += used;
        offset_ += used;
        if (have_ < wanted)
            return false;
        have_ = 0;
        return true;
    }

    size_t step(std::span<const uint8_t> input) {
        size_t used = 0;
        switch (state_) {
        case State::between: break;
        case State::header:
            if (collect(header_, header_size, input, used))
                parse_header();
            break;
        case State::name:
            if (collect(name_, name_size_, input, used))
                parse_name();
            break;
        case State::name_padding:
            if (skip_padding(input, used))
                begin_entry();
            break;
        case State::target:
            if (collect(target_, entry_.size, input, used))
                begin_symlink();
            break;
        case State::body:
            used = static_cast<size_t>(std::min<uint64_t>(body_left_, input.size()));
            pass_body(input.first(used));
            break;
        case State::body_padding:
            if (skip_padding(input, used))
                state_ = State::header;
            break;
        }
        return used;
    }

    bool skip_padding(std::span<const uint8_t> input, size_t& used) {
        used = std::min<size_t>((4 - offset_ % 4) % 4, input.size());
        offset_ += used;
        return offset_ % 4 == 0;
    }

    bool field(unsigned index, uint32_t& value) const {
        value = 0;
        for (unsigned i = 0; i < 8; i++) {
            const char c = header_[6 + index * 8 + i];
            uint32_t digit = 0;
            if (c >= '0' && c <= '9')
                digit = static_cast<uint32_t>(c - '0');
            else if (c >= 'a' && c <= 'f')
                digit = static_cast<uint32_t>(c - 'a') + 10;
            else if (c >= 'A' && c <= 'F')
                digit = static_cast<uint32_t>(c - 'A') + 10;
            else
                return false;
            value = value << 4 | digit;
        }
        return true;
    }

    void parse_header() {
        const std::string_view magic(header_, 6);
        if (magic == "070707")
            return fail(Errno::inval, "old portable cpio format: make it with cpio -H newc");
        if (magic != "070701" && magic != "070702")
            return fail(Errno::inval, "no cpio header where one should be");
        has_checksum_ = magic == "070702";
        CpioEntry e;
        uint32_t name_size = 0;
        uint32_t* const fields[] = {&e.inode,      &e.mode,    &e.uid,       &e.gid,       &e.links,
                                    &e.mtime,      &e.size,    &e.dev_major, &e.dev_minor, &e.rdev_major,
                                    &e.rdev_minor, &name_size, &checksum_};
        for (unsigned i = 0; i < std::size(fields); i++)
            if (!field(i, *fields[i]))
                return fail(Errno::inval, "a number in a cpio header is not hexadecimal");
        if (name_size < 2 || name_size > name_limit)
            return fail(Errno::nametoolong, "a name in the archive is empty or too long");
        entry_ = e;
        name_size_ = name_size;
        state_ = State::name;
    }

    void parse_name() {
        if (name_[name_size_ - 1] != '\0')
            return fail(Errno::inval, "a name in the archive has no end");
        entry_.name = {name_, strnlen(name_, name_size_)};
        if (entry_.name.empty())
            return fail(Errno::inval, "a name in the archive is empty");
        is_trailer_ = entry_.name == trailer_name;
        if (is_trailer_ && entry_.size == 0)
            return end_entry();
        state_ = State::name_padding;
        if (offset_ % 4 == 0)
            begin_entry();
    }

    void begin_entry() {
        body_left_ = entry_.size;
        sum_ = 0;
        if (is_trailer_) {
            state_ = State::body; // of no interest, but it may have one
        } else if ((entry_.mode & type_mask) == type_symlink) {
            if (entry_.size == 0 || entry_.size >= target_limit)
                return fail(Errno::nametoolong, "a symbolic link in the archive is empty or too long");
            state_ = State::target;
            return;
        } else {
            if (!take(visitor_.begin(entry_)))
                return;
            state_ = State::body;
        }
        if (body_left_ == 0)
            end_entry();
    }

    void begin_symlink() {
        entry_.target = {target_, entry_.size};
        if (memchr(target_, '\0', entry_.size))
            return fail(Errno::inval, "a symbolic link in the archive has a zero byte");
        if (take(visitor_.begin(entry_)))
            end_entry();
    }

    void pass_body(std::span<const uint8_t> bytes) {
        offset_ += bytes.size();
        body_left_ -= bytes.size();
        if (!is_trailer_ && (entry_.mode & type_mask) == type_regular) {
            if (has_checksum_)
                for (uint8_t b : bytes)
                    sum_ += b;
            if (!take(visitor_.data(bytes)))
                return;
        }
        if (body_left_ == 0)
            end_entry();
    }

    void end_entry() {
        if (is_trailer_) { // padding after it is zero bytes between archives, and may be missing at the very end
            visitor_.trailer();
            state_ = State::between;
            return;
        }
        if (has_checksum_ && (entry_.mode & type_mask) == type_regular && sum_ != checksum_)
            return fail(Errno::io, "the checksum of a file in the archive is wrong");
        if (take(visitor_.end(entry_)))
            state_ = offset_ % 4 == 0 ? State::header : State::body_padding;
    }

    bool take(Result<void> r) {
        if (!r)
            fail(r.error(), "an entry cannot be stored");
        return r.ok();
    }

    CpioVisitor& visitor_;
    State state_ = State::between;
    bool failed_ = false, is_trailer_ = false, has_checksum_ = false;
    Errno error_{};
    const char* text_ = "";
    size_t have_ = 0;     ///< collected of a header, name or target
    uint64_t offset_ = 0; ///< in the archive: what padding is counted from
    CpioEntry entry_;
    uint64_t body_left_ = 0;
    uint32_t name_size_ = 0, checksum_ = 0, sum_ = 0;
    char header_[header_size];
    char name_[name_limit];
    char target_[target_limit];
};

// ---- gzip ------------------------------------------------------------------------------------------------------------

/// What zlib asks for has its size in front.
struct BlockHeader {
    size_t bytes;
    size_t unused;
};

void* zlib_allocate(void* opaque, unsigned items, unsigned size) {
    auto& memory = *static_cast<const CpioMemory*>(opaque);
    const size_t bytes = size_t{items} * size + sizeof(BlockHeader);
    auto* block = static_cast<BlockHeader*>(memory.allocate(bytes));
    if (!block)
        return nullptr;
    block->bytes = bytes;
    return block + 1;
}

void zlib_free(void* opaque, void* address) {
    auto& memory = *static_cast<const CpioMemory*>(opaque);
    auto* block = static_cast<BlockHeader*>(address) - 1;
    memory.free(block, block->bytes);
}

/// State of one cpio_read.
class Reader {
public:
    Reader(std::span<const uint8_t> input, const CpioMemory& memory, Parser& parser, CpioError& error)
        : input_(input), memory_(memory), parser_(parser), error_(error) {}

    bool run() {
        while (at_ < input_.size()) {
            if (input_[at_] == 0) {
                at_++;
                continue;
            }
            if (input_[at_] == '0' && at_ % 4 == 0) {
                if (!plain())
                    return false;
            } else if (!compressed()) {
                return false;
            }
        }
        return true;
    }

private:
    bool fail(Errno e, const char* text) {
        error_ = {e, text, at_};
        return false;
    }

    bool plain() {
        parser_.start();
        at_ += parser_.feed(input_.subspan(at_));
        if (parser_.failed())
            return fail(parser_.error(), parser_.text());
        if (!parser_.between())
            return fail(Errno::io, "the archive is cut off: it ends without a trailer");
        return true;
    }

    bool compressed() {
        constexpr struct {
            std::string_view magic;
            const char* text;
        } others[] = {
            {std::string_view("BZh"), "compressed with bzip2, which is not supported: use gzip"},
            {std::string_view("\xfd"
                              "7zXZ"),
             "compressed with xz, which is not supported: use gzip"},
            {std::string_view("\x28\xb5\x2f\xfd"), "compressed with zstd, which is not supported: use gzip"},
            {std::string_view("\x5d\x00\x00", 3), "compressed with lzma, which is not supported: use gzip"},
            {std::string_view("\x02\x21\x4c\x18"), "compressed with lz4, which is not supported: use gzip"},
            {std::string_view("\x89LZO"), "compressed with lzo, which is not supported: use gzip"},
        };
        const std::string_view rest(reinterpret_cast<const char*>(input_.data()) + at_, input_.size() - at_);
        if (rest.starts_with(std::string_view("\x1f\x8b")))
            return gunzip();
        for (const auto& o : others)
            if (rest.starts_with(o.magic))
                return fail(Errno::nosys, o.text);
        return fail(Errno::inval, at_ == 0 ? "neither a cpio archive nor gzip" : "garbage after an archive");
    }

    bool gunzip() {
        constexpr size_t chunk = 32768;
        auto* out = static_cast<uint8_t*>(memory_.allocate(chunk));
        if (!out)
            return fail(Errno::nomem, "no memory to decompress");
        z_stream z{};
        z.zalloc = zlib_allocate;
        z.zfree = zlib_free;
        z.opaque = const_cast<CpioMemory*>(&memory_);
        bool good = inflateInit2(&z, 15 + 16) == Z_OK; // gzip headers only
        if (!good) {
            fail(Errno::nomem, "no memory to decompress");
        } else {
            good = inflate_all(z, {out, chunk});
            inflateEnd(&z);
        }
        memory_.free(out, chunk);
        return good;
    }

    bool inflate_all(z_stream& z, std::span<uint8_t> out) {
        const size_t start = at_;
        z.next_in = const_cast<uint8_t*>(input_.data() + start);
        for (int result = Z_OK; result != Z_STREAM_END;) {
            if (z.avail_in == 0) // zlib counts in 32 bits
                z.avail_in = static_cast<unsigned>(
                    std::min<size_t>(input_.size() - static_cast<size_t>(z.next_in - input_.data()), 1u << 30));
            z.next_out = out.data();
            z.avail_out = static_cast<unsigned>(out.size());
            result = inflate(&z, Z_NO_FLUSH);
            at_ = static_cast<size_t>(z.next_in - input_.data());
            if (result == Z_BUF_ERROR || (result == Z_OK && at_ == input_.size() && z.avail_out > 0))
                return fail(Errno::io, "the gzip data is cut off");
            if (result == Z_MEM_ERROR)
                return fail(Errno::nomem, "no memory to decompress");
            if (result != Z_OK && result != Z_STREAM_END)
                return fail(Errno::io, "the gzip data is damaged");
            if (!unpacked(out.first(out.size() - z.avail_out)))
                return false;
        }
        if (!parser_.between())
            return fail(Errno::io, "the compressed archive is cut off: it ends without a trailer");
        return true;
    }

    bool unpacked(std::span<const uint8_t> bytes) {
        while (!bytes.empty()) {
            if (parser_.between()) {
                if (bytes[0] == 0) {
                    bytes = bytes.subspan(1);
                    continue;
                }
                if (bytes[0] != '0')
                    return fail(Errno::inval, "garbage inside a compressed archive");
                parser_.start();
            }
            bytes = bytes.subspan(parser_.feed(bytes));
            if (parser_.failed())
                return fail(parser_.error(), parser_.text());
        }
        return true;
    }

    const std::span<const uint8_t> input_;
    const CpioMemory& memory_;
    Parser& parser_;
    CpioError& error_;
    size_t at_ = 0;
};

} // namespace

bool cpio_read(std::span<const uint8_t> input, const CpioMemory& memory, CpioVisitor& visitor, CpioError& error) {
    void* place = memory.allocate(sizeof(Parser));
    if (!place) {
        error = {Errno::nomem, "no memory to read the archive", 0};
        return false;
    }
    auto* parser = new (place) Parser(visitor);
    const bool good = Reader(input, memory, *parser, error).run();
    parser->~Parser();
    memory.free(place, sizeof(Parser));
    return good;
}

} // namespace lentil
