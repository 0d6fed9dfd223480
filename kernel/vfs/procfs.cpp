// SPDX-License-Identifier: BSD-2-Clause
// procfs: the mount, its nodes, and how its files are read and written. Nodes are made at lookup and go with their last
// user; what they show is made when it is read. Only those that something is mounted on are found again.
#include <algorithm>

#include <libkern/parse.hpp>
#include <sched/clock.hpp>
#include <vfs/lookup.hpp>
#include <vfs/procfs.hpp>
#include <vfs/vnode_file.hpp>

namespace lentil {

namespace {

class ProcfsNode;

class ProcfsMount final : public Mount {
public:
    static constexpr const char* zone_name = "procfs_mounts";
    void dispose() override { zone_delete(this); }
    FsStat fs_stat() override {
        FsStat st;
        st.magic = magic;
        return st;
    }
    bool in_use() override { return nodes_in_use(nodes); }
    void teardown() override { root.reset(); }

    uint64_t magic = 0;
    std::atomic<uint64_t> nodes{0};
    SpinLock<Rank::vnode_link> covered_lock;
    ProcfsNode* first_covered = nullptr; ///< c = covered_lock; each is kept by what covers it
};

class ProcfsNode final : public Vnode {
public:
    static constexpr const char* zone_name = "procfs_nodes";
    ProcfsNode(ProcfsMount& fs, const ProcfsItem& node_item, ProcTarget node_target, RefPtr<ProcfsNode> node_parent)
        : Vnode(node_item.type, fs), item(node_item), target(std::move(node_target)), parent_(std::move(node_parent)) {
        fs.nodes.fetch_add(1, std::memory_order_relaxed);
    }
    ~ProcfsNode() override { fs().nodes.fetch_sub(1, std::memory_order_relaxed); }
    void dispose() override { zone_delete(this); }
    ProcfsMount& fs() const { return static_cast<ProcfsMount&>(*mount); }

    Result<FileStat> stat() override;
    NodeOwner owner() override;
    Result<void> change(const AttributeChange& wanted) override {
        // Shells open for writing with O_TRUNC: nothing to cut off. Owners and modes are what they are.
        if (wanted.set_mode || wanted.set_uid || wanted.set_gid || wanted.set_atime || wanted.set_mtime)
            return Errno::perm;
        return {};
    }
    Result<RefPtr<File>> open(uint32_t flags, Vnode& as) override;
    Result<RefPtr<Vnode>> lookup(std::string_view name) override;
    Result<void> cover(Mount& upper) override;
    void uncover() override;
    Result<RefPtr<Vnode>> parent() override { return parent_ ? RefPtr<Vnode>(parent_) : RefPtr<Vnode>(this); }
    Result<RefPtr<Vnode>> create(std::string_view, const NewNode&) override { return Errno::noent; }
    Result<void> read_directory(off_t& position, DirectorySink& sink) override;
    Result<size_t> read_link(std::span<char> buffer) override;
    Result<RefPtr<Vnode>> follow() override { return item.follow ? item.follow(*this, target) : RefPtr<Vnode>(); }
    Result<Name> name(std::span<char> buffer) override;
    Proc* process() override { return &item == &procfs_pid_item ? target.proc.get() : nullptr; }

    const ProcfsItem& item;
    const ProcTarget target;

private:
    /// The one that something is mounted on, if this has no process.
    RefPtr<Vnode> covered_child(const ProcfsItem& child);
    bool is_numbered() const { return parent_ && parent_->item.number_item == &item; }
    uint32_t number() const {
        return target.fd >= 0 ? static_cast<uint32_t>(target.fd) : static_cast<uint32_t>(target.id());
    }
    static constexpr size_t name_size = 40;
    /// The name of a numbered entry of `directory`.
    static std::string_view name_in(const ProcfsItem& directory, const ProcTarget& found, uint32_t number,
                                    std::span<char> buffer) {
        return directory.write_name ? directory.write_name(found, buffer) : format_to(buffer, "{}", number);
    }
    static uint64_t inode_of(const ProcfsItem& item, const ProcTarget& target) {
        // Items lie in the kernel's constants, less than 2 MiB apart: the low bits tell them from each other.
        const uint64_t which = reinterpret_cast<uintptr_t>(&item) >> 3 & 0x3ffff;
        return static_cast<uint64_t>(target.id()) << 32 | static_cast<uint64_t>(target.fd + 1) << 18 | which;
    }
    const RefPtr<ProcfsNode> parent_;
    ProcfsNode* next_covered_ = nullptr; ///< c
};

/// What goes with a process can have no mount: nobody would ever get at that again. (Linux takes mounts on the rest of
/// /proc/PID away when the process ends, and refuses, with noent too, those on what comes and goes with its descriptors.)
Result<void> ProcfsNode::cover(Mount& upper) {
    if (target.proc || target.fd >= 0)
        return Errno::noent;
    SpinGuard guard(fs().covered_lock);
    for (ProcfsNode* n = fs().first_covered; n; n = n->next_covered_)
        if (&n->item == &item) // another node for the same place
            return Errno::busy;
    TRY(Vnode::cover(upper));
    next_covered_ = std::exchange(fs().first_covered, this);
    return {};
}

void ProcfsNode::uncover() {
    SpinGuard guard(fs().covered_lock);
    Vnode::uncover();
    ProcfsNode** at = &fs().first_covered;
    while (*at != this)
        at = &(*at)->next_covered_;
    *at = next_covered_;
}

RefPtr<Vnode> ProcfsNode::covered_child(const ProcfsItem& child) {
    SpinGuard guard(fs().covered_lock);
    for (ProcfsNode* n = fs().first_covered; n; n = n->next_covered_)
        if (&n->item == &child)
            return RefPtr<Vnode>(n);
    return nullptr;
}

/// An open file: the text as it was when the reader was at its beginning.
class ProcfsFile final : public File {
public:
    static constexpr const char* zone_name = "procfs_files";
    ProcfsFile(ProcfsNode& node, Vnode& as, uint32_t flags_value) : File(flags_value), node_(&node), as_(&as) {}
    void dispose() override { zone_delete(this); }

    Result<size_t> read(Uio& uio) override {
        TRY(make_text(position()));
        MutexGuard guard(lock_);
        const size_t n = TRY(read_from(uio, position_));
        position_ += static_cast<off_t>(n);
        return n;
    }
    Result<size_t> pread(Uio& uio, off_t at) override {
        if (at < 0)
            return Errno::inval;
        TRY(make_text(at));
        MutexGuard guard(lock_);
        return read_from(uio, at);
    }
    Result<size_t> write(Uio& uio) override {
        if (!node_->item.write)
            return Errno::inval;
        char text[256];
        const size_t n = uio.left();
        if (n > sizeof text)
            return Errno::inval;
        const size_t taken = TRY(uio.take(text, n));
        std::string_view words(text, taken);
        while (!words.empty() && (words.back() == '\n' || words.back() == '\0'))
            words.remove_suffix(1);
        TRY(node_->item.write(node_->target, words));
        return taken;
    }
    Result<off_t> seek(off_t offset, Whence whence) override {
        MutexGuard guard(lock_);
        if (whence != Whence::set && whence != Whence::current)
            return Errno::inval;
        const off_t to = whence == Whence::set ? offset : position_ + offset;
        if (to < 0)
            return Errno::inval;
        return position_ = to;
    }
    off_t position() override { return std::atomic_ref(position_).load(std::memory_order_relaxed); }
    uint32_t poll(uint32_t events, PollTable*) override {
        return events & (poll_events::in | poll_events::out | poll_events::rdnorm | poll_events::wrnorm);
    }
    Result<FileStat> stat() override { return node_->stat(); }
    Result<void> truncate(uint64_t) override { return {}; } // shells open with O_TRUNC
    size_t describe(std::span<char> buffer) override { return describe_node(*as_, buffer); }
    FsNode* node() override { return as_.get(); }

private:
    /// For a read at `at`, if one there sees the text anew. What the text is about may have locks of any kind: none is held.
    Result<void> make_text(off_t at) {
        if (at != 0 && made_.load(std::memory_order_acquire))
            return {};
        if (!node_->item.generate)
            return Errno::inval;
        if (node_->target.proc && !node_->target.is_alive())
            return Errno::srch;
        TextBuffer fresh;
        TRY(node_->item.generate(fresh, node_->target));
        if (fresh.failed())
            return Errno::nomem;
        MutexGuard guard(lock_);
        std::swap(text_, fresh);
        made_.store(true, std::memory_order_release);
        return {};
    }
    Result<size_t> read_from(Uio& uio, off_t at) {
        const std::string_view text = text_.view();
        if (static_cast<uint64_t>(at) >= text.size())
            return size_t{0};
        return uio.put(text.data() + at, text.size() - static_cast<size_t>(at));
    }

    const RefPtr<ProcfsNode> node_;
    const RefPtr<Vnode> as_;
    Mutex<Rank::file> lock_;
    TextBuffer text_;
    std::atomic<bool> made_{false};
    off_t position_ = 0;
};

/// The mode of a link in /proc/PID/fd: what the descriptor lets its process do.
uint32_t descriptor_mode(const ProcTarget& target) {
    const RefPtr<FdTable> fds = target.proc->fd_table();
    const Result<RefPtr<File>> file = fds ? fds->get(target.fd) : Errno::badf;
    return file ? ((*file)->readable() ? 0500 : 0) | ((*file)->writable() ? 0300 : 0) : 0;
}

NodeOwner ProcfsNode::owner() {
    NodeOwner owner{item.mode | mode_of(type), 0, 0};
    if (&item == &procfs_fd_number_item)
        owner.mode = descriptor_mode(target) | mode_of(type);
    if (target.proc && target.proc->dumpable) {
        const RefPtr<const Cred> cred = target.proc->cred();
        owner.uid = cred->euid;
        owner.gid = cred->egid;
    }
    return owner;
}

Result<FileStat> ProcfsNode::stat() {
    FileStat st;
    const NodeOwner who = owner();
    st.device = mount->device;
    st.inode = inode_of(item, target);
    st.mode = who.mode;
    st.links = type == VnodeType::directory ? 2 : 1;
    if (!parent_ && item.number_item == &procfs_pid_item)
        st.links += static_cast<uint32_t>(proc_counts.procs.load(std::memory_order_relaxed));
    st.uid = who.uid;
    st.gid = who.gid;
    st.block_size = 1024;
    st.atime = st.mtime = st.ctime =
        target.proc ? realtime_ns() - monotonic_ns() + target.proc->start_ns : realtime_ns();
    return st;
}

Result<RefPtr<File>> ProcfsNode::open(uint32_t flags, Vnode& as) {
    if (type == VnodeType::directory)
        return vnode_file_open(as, flags);
    if (type != VnodeType::regular)
        return Errno::loop;
    constexpr uint64_t sysfs_magic = 0x62656572; // there nobody opens for writing what cannot be written
    if (fs().magic == sysfs_magic && !item.write && (flags & open_flags::access_mode) != open_flags::read_only)
        return Errno::acces;
    if (item.open)
        return item.open(*this, target, flags);
    return RefPtr<File>(TRY(make_ref<ProcfsFile>(*this, as, flags)));
}

Result<RefPtr<Vnode>> ProcfsNode::lookup(std::string_view name) {
    if (type != VnodeType::directory)
        return Errno::notdir;
    if (target.proc && !target.is_alive())
        return Errno::noent;
    for (const ProcfsItem& child : item.children)
        if (name == child.name) {
            if (RefPtr<Vnode> covered = covered_child(child))
                return covered;
            return RefPtr<Vnode>(TRY(make_ref<ProcfsNode>(fs(), child, target, RefPtr<ProcfsNode>(this))));
        }
    if (!item.number_item)
        return Errno::noent;
    const Result<uint64_t> number = item.read_name ? item.read_name(name) : parse_number(name, 10);
    if (!number || *number > INT32_MAX)
        return Errno::noent;
    ProcTarget found = TRY(item.find(target, static_cast<uint32_t>(*number)));
    char text[name_size];
    if (name != name_in(item, found, static_cast<uint32_t>(*number), text)) // leading zeros, another end
        return Errno::noent;
    return RefPtr<Vnode>(
        TRY(make_ref<ProcfsNode>(fs(), *item.number_item, std::move(found), RefPtr<ProcfsNode>(this))));
}

Result<void> ProcfsNode::read_directory(off_t& position, DirectorySink& sink) {
    // Positions: 0 ".", 1 "..", then the fixed entries, from `numbers` on the numbered ones.
    constexpr off_t numbers = 0x10000;
    constexpr uint32_t directory_type = entry_type_of(VnodeType::directory);
    if (target.proc && !target.is_alive())
        return Errno::noent;
    const uint64_t own = inode_of(item, target);
    if (position == 0) {
        if (!sink.put({".", own, directory_type, 1}))
            return {};
        position = 1;
    }
    if (position == 1) {
        if (!sink.put({"..", parent_ ? inode_of(parent_->item, parent_->target) : own, directory_type, 2}))
            return {};
        position = 2;
    }
    for (; static_cast<size_t>(position - 2) < item.children.size(); position++) {
        const ProcfsItem& child = item.children[static_cast<size_t>(position - 2)];
        if (!sink.put({child.name, inode_of(child, target), entry_type_of(child.type), position + 1}))
            return {};
    }
    if (!item.number_item)
        return {};
    position = std::max(position, numbers);
    for (;;) {
        const int64_t number = item.next(target, static_cast<uint32_t>(position - numbers));
        if (number < 0)
            return {};
        ProcTarget found = target;
        if (Result<ProcTarget> exact = item.find(target, static_cast<uint32_t>(number)))
            found = std::move(*exact);
        char text[name_size];
        const std::string_view name = name_in(item, found, static_cast<uint32_t>(number), text);
        const off_t next = numbers + number + 1;
        if (!sink.put({name, inode_of(*item.number_item, found), entry_type_of(item.number_item->type), next}))
            return {};
        position = next;
    }
}

Result<size_t> ProcfsNode::read_link(std::span<char> buffer) {
    if (!item.link)
        return Errno::inval;
    TextBuffer text;
    TRY(item.link(text, target));
    if (text.failed())
        return Errno::nomem;
    return text.view().copy(buffer.data(), buffer.size());
}

Result<Vnode::Name> ProcfsNode::name(std::span<char> buffer) {
    if (!parent_)
        return Errno::noent;
    if (is_numbered())
        return Name{parent_, name_in(parent_->item, target, number(), buffer).size()};
    return Name{parent_, format_to(buffer, "{}", item.name).size()};
}

// ---- the root ------------------------------------------------------------------------------------------------------

Result<ProcTarget> find_process(const ProcTarget&, uint32_t number) {
    RefPtr<Proc> proc = proc_find(static_cast<pid_t>(number));
    if (!proc)
        return Errno::noent;
    return ProcTarget{std::move(proc), nullptr, -1};
}

int64_t next_process(const ProcTarget&, uint32_t from) {
    const RefPtr<Proc> proc = proc_next(static_cast<pid_t>(from));
    return proc ? proc->pid : -1;
}

constinit ProcfsItem root_item{.name = "/",
                               .type = VnodeType::directory,
                               .mode = 0555,
                               .number_item = &procfs_pid_item,
                               .find = find_process,
                               .next = next_process};

} // namespace

bool ProcTarget::is_alive() const {
    ProcTreeGuard guard(proc_tree_lock);
    return proc->state != ProcState::dead;
}

RefPtr<VmMap> ProcTarget::map() const { return proc ? proc_map(*proc) : nullptr; }

RefPtr<Uthread> ProcTarget::one_uthread() const {
    if (uthread)
        return uthread;
    ProcTreeGuard guard(proc_tree_lock);
    for (Uthread& u : proc->uthreads)
        if (u.state.load(std::memory_order_relaxed) != UthreadState::dead)
            return RefPtr<Uthread>(&u);
    return nullptr;
}

bool ProcTarget::may_inspect() const {
    if (!has_uthread() || &current_proc() == proc.get())
        return true;
    const RefPtr<const Cred> mine = current_proc().cred(), theirs = proc->cred();
    if (mine->capable(Capability::sys_ptrace))
        return true;
    return proc->dumpable && mine->fsuid == theirs->uid && mine->fsuid == theirs->euid && mine->fsuid == theirs->suid;
}

Result<RefPtr<Mount>> procfs_mount_tree(const ProcfsItem& top, uint64_t magic) {
    RefPtr<ProcfsMount> mount = TRY(make_ref<ProcfsMount>());
    mount->magic = magic;
    mount->device = mount_new_device();
    mount->root = TRY(make_ref<ProcfsNode>(*mount, top, ProcTarget{}, RefPtr<ProcfsNode>()));
    return RefPtr<Mount>(std::move(mount));
}

Result<RefPtr<Mount>> procfs_mount(const MountRequest&) {
    root_item.children = procfs_system_items(); // the same each time
    return procfs_mount_tree(root_item, 0x9fa0);
}

} // namespace lentil
