// SPDX-License-Identifier: BSD-2-Clause
// The devices that need no hardware of their own: null, zero, full, random, urandom, kmsg, console, tty, and the terminals' files.
#include <algorithm>

#include <bsd/random.hpp>
#include <debug/log.hpp>
#include <libkern/format.hpp>
#include <vfs/tty_file.hpp>

namespace lentil {

namespace {

/// null, zero and full: they differ in what a read gives and whether a write has room.
class MemoryDeviceFile final : public DeviceFile {
public:
    static constexpr const char* zone_name = "memory_device_files";
    enum class Kind { null, zero, full };
    MemoryDeviceFile(Vnode& node, uint32_t flags_value, Kind kind) : DeviceFile(node, flags_value), kind_(kind) {}
    void dispose() override { zone_delete(this); }
    Result<size_t> read_piece(vaddr_t to, size_t n) override {
        if (n > piece || n == 0 || kind_ == Kind::null) [[unlikely]]
            return DeviceFile::read_piece(to, n);
        const size_t moved = machine::user_zero(to, n);
        return moved == 0 ? Result<size_t>(Errno::fault) : moved;
    }
    Result<size_t> write_piece(vaddr_t, size_t n) override {
        return kind_ == Kind::full ? Result<size_t>(Errno::nospc) : n;
    }
    Result<size_t> read(Uio& uio) override {
        if (kind_ == Kind::null)
            return size_t{0};
        size_t done = 0;
        while (uio.left() > 0) {
            const size_t wanted = std::min(uio.left(), piece);
            const Result<size_t> moved = uio.put_zeros(wanted);
            done += moved ? *moved : 0;
            if (!moved && done == 0)
                return moved;
            if (!moved || *moved < wanted || current_thread().interrupt_level.load(std::memory_order_relaxed) != 0)
                break;
        }
        return done;
    }
    Result<size_t> write(Uio& uio) override {
        if (kind_ == Kind::full)
            return Errno::nospc;
        const size_t n = uio.left();
        uio.advance(n);
        return n;
    }
    Result<size_t> pread(Uio& uio, off_t) override { return read(uio); }
    Result<size_t> pwrite(Uio& uio, off_t) override { return write(uio); }
    Result<off_t> seek(off_t, Whence) override { return off_t{0}; }
    Result<Mappable> mappable() override {
        if (kind_ == Kind::null)
            return Errno::nodev;
        return Mappable{};
    }

private:
    static constexpr size_t piece =
        16 * page_size; ///< reads go in these, so that a signal ends a long one early, as on Linux
    const Kind kind_;
};

template<MemoryDeviceFile::Kind K>
Result<RefPtr<File>> memory_open(Vnode& node, uint32_t flags) {
    return RefPtr<File>(TRY(make_ref<MemoryDeviceFile>(node, flags, K)));
}

class RandomFile final : public DeviceFile {
public:
    static constexpr const char* zone_name = "random_files";
    using DeviceFile::DeviceFile;
    void dispose() override { zone_delete(this); }
    Result<size_t> read(Uio& uio) override { return random_give(uio); }
    /// What is written helps, it is never trusted.
    Result<size_t> write(Uio& uio) override { return random_take(uio); }
    Result<size_t> pread(Uio& uio, off_t) override { return read(uio); }
    Result<off_t> seek(off_t, Whence) override { return off_t{0}; }
};

Result<RefPtr<File>> random_open(Vnode& node, uint32_t flags) {
    return RefPtr<File>(TRY(make_ref<RandomFile>(node, flags)));
}

/// The kernel's log: a read gives one line that is kept, with Linux's head (priority, number, time, flags); the number is its
/// place in the log. Writing adds a line.
class LogFile final : public DeviceFile {
public:
    static constexpr const char* zone_name = "log_files";
    using DeviceFile::DeviceFile;
    void dispose() override { zone_delete(this); }
    Result<size_t> read(Uio& uio) override {
        constexpr nanos_t look_again_ns = 200'000'000; // the log wakes nobody: it is written with any lock held
        char record[64 + longest_line];
        for (;;) {
            {
                MutexGuard guard(lock_);
                char* const line = record + 64;
                const size_t n = log_read(std::span(line, longest_line), from_);
                const std::string_view text = std::string_view(line, n).substr(0, std::string_view(line, n).find('\n'));
                if (text.size() < n || n == longest_line) {
                    const size_t head = format_to(std::span(record, 64), "6,{},0,-;", from_).size();
                    memmove(record + head, text.data(), text.size());
                    record[head + text.size()] = '\n';
                    const size_t whole = head + text.size() + 1;
                    if (uio.left() < whole)
                        return Errno::inval;
                    from_ += text.size() + (text.size() < n ? 1 : 0);
                    return uio.put(record, whole);
                }
            }
            if (nonblocking())
                return Errno::again;
            if (sleep_until(machine::now_ns() + look_again_ns, "kmsg") == WaitResult::interrupted)
                return Errno::restart_sys;
        }
    }
    Result<off_t> seek(off_t offset, Whence whence) override {
        if (offset != 0 || whence == Whence::current)
            return Errno::inval;
        MutexGuard guard(lock_);
        from_ = whence == Whence::end ? log_end() : 0;
        return off_t{0};
    }
    Result<size_t> write(Uio& uio) override {
        char line[512];
        const size_t total = uio.left();
        const size_t n = TRY(uio.take(line, std::min(total, sizeof line)));
        std::string_view text(line, n);
        if (text.starts_with('<')) // the priority: kprint has none
            text.remove_prefix(std::min(text.size(), text.find('>') + 1));
        while (text.ends_with('\n'))
            text.remove_suffix(1);
        kprint("{}\n", text);
        uio.advance(uio.left());
        return total;
    }

private:
    static constexpr size_t longest_line = 512;
    Mutex<Rank::file> lock_;
    uint64_t from_ = 0;
};

Result<RefPtr<File>> log_open(Vnode& node, uint32_t flags) { return RefPtr<File>(TRY(make_ref<LogFile>(node, flags))); }

/// The console's line under its own name. Under the name "console" it never becomes a controlling terminal by being opened
/// (Linux: init's children would fight over it).
template<bool controlling>
Result<RefPtr<File>> console_open(Vnode& node, uint32_t flags) {
    Tty& tty = console_tty();
    RefPtr<File> file = TRY(TtyFile::open(node, flags, tty, controlling ? TtyName::own : TtyName::console));
    if (controlling)
        tty.opened(flags);
    return file;
}

/// /dev/tty: the caller's controlling terminal.
Result<RefPtr<File>> controlling_tty_open(Vnode& node, uint32_t flags) {
    if (!has_uthread())
        return Errno::nxio;
    const RefPtr<Tty> tty = current_tty();
    if (!tty)
        return Errno::nxio;
    return TtyFile::open(node, flags, *tty, TtyName::controlling);
}

using Kind = MemoryDeviceFile::Kind;
constinit CharDevice builtin[] = {
    {"null", make_device(1, 3), 0666, 0, memory_open<Kind::null>},
    {"zero", make_device(1, 5), 0666, 0, memory_open<Kind::zero>},
    {"full", make_device(1, 7), 0666, 0, memory_open<Kind::full>},
    {"random", make_device(1, 8), 0666, 0, random_open},
    {"urandom", make_device(1, 9), 0666, 0, random_open},
    {"kmsg", make_device(1, 11), 0644, 0, log_open},
    {"ptmx", make_device(5, 2), 0666, 5, ptmx_open},
    {"tty", make_device(5, 0), 0666, 5, controlling_tty_open},
    {"console", make_device(5, 1), 0600, 0, console_open<false>},
    {"ttyS0", make_device(4, 64), 0660, 5, console_open<true>},
    {"hvc0", make_device(229, 0), 0660, 5, console_open<true>},
};

} // namespace

void devices_init() {
    for (CharDevice& d : builtin)
        device_register(d);
}

} // namespace lentil
