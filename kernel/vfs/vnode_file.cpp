// SPDX-License-Identifier: BSD-2-Clause
// Files over vnodes.
#include <algorithm>

#include <bsd/proc.hpp>
#include <vfs/access.hpp>
#include <vfs/inotify.hpp>
#include <vfs/lookup.hpp>
#include <vfs/mount.hpp>
#include <vfs/vnode_file.hpp>

namespace lentil {

namespace {

constexpr off_t max_offset = INT64_MAX;

class MappedVnode final : public MappedFile {
public:
    static constexpr const char* zone_name = "mapped_files";
    explicit MappedVnode(Vnode& node) : node_(&node) {}
    ~MappedVnode() override {
        if (denies_)
            node_->drop_program();
    }
    void dispose() override { zone_delete(this); }
    size_t describe(std::span<char> buffer, uint64_t& device, uint64_t& inode) override {
        const Result<FileStat> st = node_->stat();
        device = st ? st->device : 0;
        inode = st ? st->inode : 0;
        return describe_node(*node_, buffer);
    }
    FsNode* node() override { return node_.get(); }
    Result<void> deny_writers() override {
        TRY(node_->add_program());
        denies_ = true;
        return {};
    }

private:
    const RefPtr<Vnode> node_;
    bool denies_ = false; ///< set once, before anybody else sees this
};

/// How far a write of `n` bytes at `at` may go under RLIMIT_FSIZE; fbig (and SIGXFSZ) if not at all.
Result<size_t> limit_file_size(uint64_t at, size_t n) {
    if (!has_uthread() || !current_proc().fds) // the kernel's own, or about a process that ends
        return n;
    const uint64_t limit = current_proc().limit(Limit::fsize).soft;
    if (limit == limit_infinity || at + n <= limit)
        return n;
    if (at >= limit && (n > 0 || at > limit)) {
        SigInfo info;
        info.signo = sig_xfsz;
        info.code = si_code::kernel;
        signal_send(current_uthread(), info);
        return Errno::fbig;
    }
    return static_cast<size_t>(limit > at ? limit - at : 0);
}

class VnodeFile final : public File {
public:
    static constexpr const char* zone_name = "vnode_files";
    VnodeFile(Vnode& node, uint32_t flags_value) : File(flags_value), node_(&node) {}
    ~VnodeFile() override {
        if (writes_) {
            node_->drop_writer();
            node_->mount->writers.fetch_sub(1, std::memory_order_release);
        }
    }
    void dispose() override { zone_delete(this); }
    Result<void> init() {
        if (!writable() || node_->type != VnodeType::regular || !node_->counts_writers)
            return {};
        TRY(node_->add_writer());
        writes_ = true;
        // Either a remount to read-only sees this writer, or the writer sees that.
        node_->mount->writers.fetch_add(1, std::memory_order_seq_cst);
        return check_writable(*node_);
    }

    Result<size_t> read(Uio& uio) override {
        MutexGuard guard(lock_);
        const size_t n = TRY(node_->read_at(uio, position_));
        position_ += static_cast<off_t>(n);
        return was_read(n);
    }
    Result<size_t> pread(Uio& uio, off_t at) override {
        if (at < 0)
            return Errno::inval;
        return was_read(TRY(node_->read_at(uio, at)));
    }
    Result<size_t> write(Uio& uio) override {
        MutexGuard guard(lock_);
        return write_from(uio, position_, appends());
    }
    Result<size_t> pwrite(Uio& uio, off_t at) override {
        if (at < 0)
            return Errno::inval;
        return write_from(uio, at, appends()); // with O_APPEND at the end all the same, as on Linux
    }
    Result<size_t> write_placed(Uio& uio, const off_t* at, bool append) override {
        if (at) {
            off_t position = *at;
            return write_from(uio, position, append);
        }
        MutexGuard guard(lock_);
        return write_from(uio, position_, append);
    }

    Result<off_t> seek(off_t offset, Whence whence) override {
        MutexGuard guard(lock_);
        if (node_->type == VnodeType::directory) {
            const off_t to = whence == Whence::set ? offset : whence == Whence::current ? position_ + offset : -1;
            if (to < 0)
                return Errno::inval;
            return position_ = to;
        }
        off_t base = 0;
        switch (whence) {
        case Whence::set: break;
        case Whence::current: base = position_; break;
        case Whence::end: base = static_cast<off_t>(TRY(node_->stat()).size); break;
        case Whence::data:
        case Whence::hole: return position_ = TRY(seek_data(offset, whence));
        default: return Errno::inval;
        }
        off_t to = 0;
        if (__builtin_add_overflow(base, offset, &to) || to < 0)
            return Errno::inval;
        return position_ = to;
    }

    off_t position() override { return std::atomic_ref(position_).load(std::memory_order_relaxed); }

    uint32_t poll(uint32_t events, PollTable*) override {
        return events & (poll_events::in | poll_events::out | poll_events::rdnorm | poll_events::wrnorm);
    }
    Result<FileStat> stat() override { return node_->stat(); }
    Result<void> truncate(uint64_t size) override {
        if (!writable())
            return Errno::inval;
        if (size > max_offset)
            return Errno::inval;
        if (size > TRY(node_->stat()).size)
            TRY(limit_file_size(size, 0));
        AttributeChange change;
        change.set_size = true;
        change.size = size;
        TRY(node_->change(change));
        inotify_file(*this, *node_, inotify_events::modify);
        return {};
    }
    Result<void> read_directory(DirectorySink& sink) override {
        MutexGuard guard(lock_);
        TRY(node_->read_directory(position_, sink));
        inotify_file(*this, *node_, inotify_events::access);
        return {};
    }
    Result<void> sync(bool data_only) override { return node_->sync(data_only); }
    bool forbids_set_id() override { return node_->mount->has(mount_flags::no_suid); }
    bool forbids_execution() override { return node_->mount->has(mount_flags::no_exec); }
    Result<Mappable> mappable() override {
        Mappable m;
        m.object = node_->object();
        if (!m.object)
            return Errno::nodev;
        m.file = TRY(mapped_file_of(*node_));
        return m;
    }
    FileSeals* seals() override { return node_->real().seals(); }
    size_t describe(std::span<char> buffer) override { return describe_node(*node_, buffer); }
    FsNode* node() override { return node_.get(); }

private:
    size_t was_read(size_t n) {
        if (n > 0)
            inotify_file(*this, *node_, inotify_events::access);
        return n;
    }

    bool appends() const { return flags.load(std::memory_order_relaxed) & open_flags::append; }

    Result<size_t> write_from(Uio& uio, off_t& position, bool append) {
        off_t at = position;
        if (append)
            at = static_cast<off_t>(TRY(node_->stat()).size); // only for the limit: write_at takes the true end
        if (uio.left() > static_cast<uint64_t>(max_offset - at))
            return Errno::fbig;
        const size_t allowed = TRY(limit_file_size(static_cast<uint64_t>(at), uio.left()));
        uio.limit(allowed);
        at = position;
        const size_t n = TRY(node_->write_at(uio, at, append));
        position = at + static_cast<off_t>(n);
        if (n > 0)
            inotify_file(*this, *node_, inotify_events::modify);
        if (n > 0 && (flags.load(std::memory_order_relaxed) & open_flags::dsync))
            TRY(node_->sync(!(flags.load(std::memory_order_relaxed) & open_flags::sync_bit)));
        return n;
    }

    Result<off_t> seek_data(off_t from, Whence whence) {
        const Result<off_t> found = node_->seek_data(from, whence == Whence::data);
        if (found || found.error() != Errno::opnotsupp)
            return found;
        const RefPtr<VmObject> object = node_->object();
        if (!object)
            return Errno::inval;
        const uint64_t size = object->size();
        if (from < 0 || static_cast<uint64_t>(from) >= size)
            return Errno::nxio;
        const bool wanted = whence == Whence::data;
        for (uint64_t index = static_cast<uint64_t>(from) >> page_shift; index << page_shift < size; index++) {
            VmPage* page = object->page_if_present(index);
            if (page)
                page_unref(page);
            if ((page != nullptr) == wanted)
                return std::max(from, static_cast<off_t>(index << page_shift));
        }
        if (wanted)
            return Errno::nxio;
        return static_cast<off_t>(size);
    }

    const RefPtr<Vnode> node_;
    Mutex<Rank::file> lock_; ///< position_
    off_t position_ = 0;
    bool writes_ = false; ///< counts as a writer of the node; set by init
};

class PathFile final : public File {
public:
    static constexpr const char* zone_name = "path_files";
    PathFile(Vnode& node, uint32_t flags_value) : File(flags_value), node_(&node) {}
    void dispose() override { zone_delete(this); }
    Result<size_t> read(Uio&) override { return Errno::badf; }
    Result<size_t> write(Uio&) override { return Errno::badf; }
    Result<size_t> pread(Uio&, off_t) override { return Errno::badf; }
    Result<size_t> pwrite(Uio&, off_t) override { return Errno::badf; }
    Result<off_t> seek(off_t, Whence) override { return Errno::badf; }
    Result<uint64_t> ioctl(uint32_t, uint64_t) override { return Errno::badf; }
    uint32_t poll(uint32_t, PollTable*) override { return poll_events::nval; }
    Result<FileStat> stat() override { return node_->stat(); }
    Result<void> truncate(uint64_t) override { return Errno::badf; }
    Result<void> read_directory(DirectorySink&) override { return Errno::badf; }
    Result<void> sync(bool) override { return Errno::badf; }
    Result<Mappable> mappable() override { return Errno::badf; }
    size_t describe(std::span<char> buffer) override { return describe_node(*node_, buffer); }
    FsNode* node() override { return node_.get(); }

private:
    const RefPtr<Vnode> node_;
};

} // namespace

Result<RefPtr<File>> vnode_file_open(Vnode& node, uint32_t flags) {
    RefPtr<VnodeFile> file = TRY(make_ref<VnodeFile>(node, flags));
    TRY(file->init());
    return RefPtr<File>(std::move(file));
}

Result<void> vnode_file_allocate(File& file, uint32_t mode, off_t offset, off_t length) {
    using namespace allocate_flags;
    constexpr uint32_t kinds = punch_hole | collapse_range | zero_range | insert_range;
    if (offset < 0 || length <= 0)
        return Errno::inval;
    const uint32_t kind = mode & kinds;
    if ((mode & ~(kinds | keep_size)) || (kind & (kind - 1)) || (kind == punch_hole && !(mode & keep_size)) ||
        ((kind == collapse_range || kind == insert_range) && (mode & keep_size)))
        return Errno::opnotsupp;
    if (!file.writable())
        return Errno::badf;
    const FileStat stat = TRY(file.stat());
    switch (stat.mode & file_mode::type_mask) {
    case file_mode::regular: break;
    case file_mode::directory: return Errno::isdir;
    case file_mode::fifo: return Errno::spipe;
    default: return Errno::nodev;
    }
    if (length > max_offset - offset)
        return Errno::fbig;
    if (kind == collapse_range || kind == insert_range || !file.node())
        return Errno::opnotsupp;
    const uint64_t end = static_cast<uint64_t>(offset + length);
    if (!(mode & keep_size) && end > stat.size)
        TRY(limit_file_size(end, 0));
    return as_vnode(*file.node()).allocate(mode, static_cast<uint64_t>(offset), end);
}

Result<RefPtr<File>> path_file_open(Vnode& node, uint32_t flags) {
    return RefPtr<File>(TRY(make_ref<PathFile>(node, flags)));
}

Result<RefPtr<MappedFile>> mapped_file_of(Vnode& node) { return RefPtr<MappedFile>(TRY(make_ref<MappedVnode>(node))); }

} // namespace lentil
