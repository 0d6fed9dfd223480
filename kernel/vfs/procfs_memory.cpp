// SPDX-License-Identifier: BSD-2-Clause
// /proc/PID/mem: the memory of a process as a file, position = address; and /proc/PID/auxv.
#include <algorithm>

#include <bsd/ptrace.hpp>
#include <sched/killed.hpp>
#include <vfs/lookup.hpp>
#include <vfs/procfs.hpp>

namespace lentil {

namespace {

/// Whoever may trace the process may use it, and must still be allowed to at each use: set-id may come in between.
class MemoryFile final : public File {
public:
    static constexpr const char* zone_name = "memory_files";
    MemoryFile(Vnode& node, RefPtr<Proc> proc, uint32_t flags_value)
        : File(flags_value), node_(&node), proc_(std::move(proc)) {}
    void dispose() override { zone_delete(this); }

    Result<size_t> read(Uio& uio) override {
        MutexGuard guard(lock_);
        const size_t n = TRY(pread(uio, position_));
        position_ += static_cast<off_t>(n);
        return n;
    }
    Result<size_t> write(Uio& uio) override {
        MutexGuard guard(lock_);
        const size_t n = TRY(pwrite(uio, position_));
        position_ += static_cast<off_t>(n);
        return n;
    }
    Result<size_t> pread(Uio& uio, off_t at) override {
        return transfer(at, uio.left(), [&](VmMap& map, vaddr_t address, std::span<uint8_t> buffer) -> Result<size_t> {
            return uio.put(buffer.data(), map.read_memory(address, buffer.data(), buffer.size()));
        });
    }
    Result<size_t> pwrite(Uio& uio, off_t at) override {
        return transfer(at, uio.left(), [&](VmMap& map, vaddr_t address, std::span<uint8_t> buffer) -> Result<size_t> {
            const size_t taken = TRY(uio.take(buffer.data(), buffer.size()));
            return map.write_memory(address, buffer.data(), taken, true);
        });
    }
    Result<off_t> seek(off_t offset, Whence whence) override {
        MutexGuard guard(lock_);
        if (whence != Whence::set && whence != Whence::current)
            return Errno::inval;
        return position_ = whence == Whence::set ? offset : position_ + offset; // any: they are addresses
    }
    uint32_t poll(uint32_t events, PollTable*) override {
        return events & (poll_events::in | poll_events::out | poll_events::rdnorm | poll_events::wrnorm);
    }
    Result<FileStat> stat() override { return node_->stat(); }
    Result<void> truncate(uint64_t) override { return {}; }
    size_t describe(std::span<char> buffer) override { return describe_node(*node_, buffer); }
    FsNode* node() override { return node_.get(); }

private:
    /// Moves `n` bytes by pages at most, as `move(map, address, buffer)` does; io if nothing could be moved.
    template<class F>
    Result<size_t> transfer(off_t at, size_t n, F move) {
        TRY(ptrace_check_access(*proc_));
        const RefPtr<VmMap> map = proc_map(*proc_);
        if (!map || n == 0)
            return size_t{0};
        auto buffer = TRY(Buffer<uint8_t>::create(std::min<size_t>(n, page_size)));
        size_t done = 0;
        while (done < n) {
            const size_t part = std::min(n - done, buffer.size());
            const Result<size_t> moved = move(*map, static_cast<vaddr_t>(at) + done, buffer.span().first(part));
            if (!moved.ok()) {
                if (done == 0)
                    return moved.error();
                break;
            }
            done += *moved;
            if (*moved < part || being_killed())
                break;
        }
        if (done == 0)
            return Errno::io;
        return done;
    }

    const RefPtr<Vnode> node_;
    const RefPtr<Proc> proc_;
    Mutex<Rank::file> lock_;
    off_t position_ = 0;
};

} // namespace

Result<RefPtr<File>> procfs_open_memory(Vnode& self, const ProcTarget& target, uint32_t flags) {
    TRY(ptrace_check_access(*target.proc));
    return RefPtr<File>(TRY(make_ref<MemoryFile>(self, target.proc, flags)));
}

Result<void> procfs_auxv(TextBuffer& out, const ProcTarget& target) {
    if (!target.may_inspect())
        return Errno::acces;
    const RefPtr<VmMap> map = target.map();
    if (!map)
        return {};
    const VmMap::Layout& layout = map->layout;
    char bytes[512];
    const size_t wanted = std::min<size_t>(layout.auxv_end - layout.auxv_start, sizeof bytes);
    out.text({bytes, map->read_memory(layout.auxv_start, bytes, wanted)});
    return {};
}

} // namespace lentil
