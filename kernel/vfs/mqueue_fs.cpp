// SPDX-License-Identifier: BSD-2-Clause
// The mqueue file system: a sticky directory with a file for each queue that has a name. Nodes are made when they are
// looked up; what can be changed lies in the queue.
#include <cstring>

#include <bsd/anonymous_file.hpp>
#include <libkern/format.hpp>
#include <sched/clock.hpp>
#include <vfs/filesystems.hpp>
#include <vfs/mqueue_fs.hpp>
#include <vfs/vnode_file.hpp>

namespace lentil {

namespace {

constexpr uint64_t root_inode = 1;

FileStat stat_of(const MessageQueue& queue, uint64_t device) {
    FileStat st;
    st.device = device;
    st.inode = queue.number() + root_inode;
    st.mode = file_mode::regular | queue.mode.load(std::memory_order_relaxed);
    st.links = queue.has_name() ? 1 : 0;
    st.uid = queue.uid.load(std::memory_order_relaxed);
    st.gid = queue.gid.load(std::memory_order_relaxed);
    st.size = 80; // as Linux has it: the line below is not longer
    st.atime = queue.atime.load(std::memory_order_relaxed);
    st.mtime = queue.mtime.load(std::memory_order_relaxed);
    st.ctime = st.btime = queue.ctime.load(std::memory_order_relaxed);
    return st;
}

} // namespace

class MessageQueueFile final : public File {
public:
    static constexpr const char* zone_name = "mqueue_files";
    MessageQueueFile(RefPtr<MessageQueue> queue, uint32_t flags_value) : File(flags_value), queue_(std::move(queue)) {}
    void dispose() override { zone_delete(this); }

    Result<size_t> read(Uio& uio) override {
        const off_t at = position_.load(std::memory_order_relaxed);
        const size_t n = TRY(pread(uio, at));
        position_.store(at + static_cast<off_t>(n), std::memory_order_relaxed);
        return n;
    }
    Result<size_t> pread(Uio& uio, off_t at) override {
        char line[80];
        const MessageQueue::State s = queue_->state();
        const std::string_view text = format_to(line, "QSIZE:{:<10} NOTIFY:{:<5} SIGNO:{:<5} NOTIFY_PID:{:<6}\n",
                                                s.bytes, s.notifies && s.signo == 0 ? 1 : 0, s.signo, s.pid);
        if (at < 0)
            return Errno::inval;
        if (static_cast<uint64_t>(at) >= text.size())
            return size_t{0};
        return uio.put(text.data() + at, text.size() - static_cast<size_t>(at));
    }
    Result<size_t> write(Uio&) override { return Errno::inval; }
    Result<off_t> seek(off_t offset, Whence whence) override {
        const off_t to = whence == Whence::set       ? offset
                         : whence == Whence::current ? position_.load(std::memory_order_relaxed) + offset
                                                     : -1;
        if (to < 0)
            return Errno::inval;
        position_.store(to, std::memory_order_relaxed);
        return to;
    }
    uint32_t poll(uint32_t events, PollTable* table) override { return queue_->poll(events, table); }
    Result<FileStat> stat() override { return stat_of(*queue_, anonymous_device); }
    size_t describe(std::span<char> buffer) override {
        return format_to(buffer, "/{}{}", queue_->name(), queue_->has_name() ? "" : " (deleted)").size();
    }
    void descriptor_closed() override { queue_->notify_nobody(current_proc()); }
    MessageQueueFile* message_queue() override { return this; }

    MessageQueue& queue() const { return *queue_; }

private:
    const RefPtr<MessageQueue> queue_;
    std::atomic<off_t> position_{0};
};

Result<RefPtr<File>> mqueue_open(RefPtr<MessageQueue> queue, uint32_t flags) {
    return RefPtr<File>(TRY(make_ref<MessageQueueFile>(std::move(queue), flags)));
}

MessageQueue* mqueue_of(File& file) {
    MessageQueueFile* const open = file.message_queue();
    return open ? &open->queue() : nullptr;
}

namespace {

class MqueueMount final : public Mount {
public:
    static constexpr const char* zone_name = "mqueue_mounts";
    void dispose() override { zone_delete(this); }
    FsStat fs_stat() override {
        FsStat st;
        st.magic = 0x19800202;
        return st;
    }
    bool in_use() override { return nodes_in_use(nodes); }
    void teardown() override { root.reset(); } // the queues stay
    nanos_t born = 0;
    std::atomic<uint64_t> nodes{0};
};

class MqueueNode final : public Vnode {
public:
    static constexpr const char* zone_name = "mqueue_nodes";
    MqueueNode(MqueueMount& fs, RefPtr<MessageQueue> queue)
        : Vnode(queue ? VnodeType::regular : VnodeType::directory, fs), queue_(std::move(queue)) {
        fs.nodes.fetch_add(1, std::memory_order_relaxed);
    }
    ~MqueueNode() override { fs().nodes.fetch_sub(1, std::memory_order_relaxed); }
    void dispose() override { zone_delete(this); }
    MqueueMount& fs() const { return static_cast<MqueueMount&>(*mount); }

    Result<FileStat> stat() override {
        if (queue_)
            return stat_of(*queue_, mount->device);
        FileStat st;
        st.device = mount->device;
        st.inode = root_inode;
        st.mode = owner().mode;
        st.links = 2;
        st.atime = st.mtime = st.ctime = st.btime = fs().born;
        return st;
    }
    NodeOwner owner() override {
        if (!queue_)
            return {file_mode::directory | file_mode::sticky | 0777, 0, 0};
        return {file_mode::regular | queue_->mode.load(std::memory_order_relaxed),
                queue_->uid.load(std::memory_order_relaxed), queue_->gid.load(std::memory_order_relaxed)};
    }
    Result<void> change(const AttributeChange& wanted) override {
        if (!queue_)
            return Errno::perm;
        if (wanted.set_mode)
            queue_->mode.store(wanted.mode & 0777, std::memory_order_relaxed);
        if (wanted.set_uid)
            queue_->uid.store(wanted.uid, std::memory_order_relaxed);
        if (wanted.set_gid)
            queue_->gid.store(wanted.gid, std::memory_order_relaxed);
        if (wanted.set_atime)
            queue_->atime.store(wanted.atime, std::memory_order_relaxed);
        if (wanted.set_mtime)
            queue_->mtime.store(wanted.mtime, std::memory_order_relaxed);
        queue_->ctime.store(realtime_ns(), std::memory_order_relaxed);
        return {};
    }
    Result<RefPtr<File>> open(uint32_t flags, Vnode& as) override {
        if (!queue_)
            return vnode_file_open(as, flags);
        return mqueue_open(queue_, flags);
    }
    Result<RefPtr<Vnode>> lookup(std::string_view name) override {
        if (queue_)
            return Errno::notdir;
        return of(TRY(MessageQueue::find(name)));
    }
    Result<RefPtr<Vnode>> parent() override {
        if (queue_)
            return Errno::notdir;
        return RefPtr<Vnode>(this);
    }
    Result<RefPtr<Vnode>> create(std::string_view name, const NewNode& fresh) override {
        if (queue_)
            return Errno::notdir;
        if (fresh.type != VnodeType::regular)
            return Errno::perm;
        return of(TRY(MessageQueue::create(name, fresh.mode, {})));
    }
    Result<void> unlink(std::string_view name) override {
        if (queue_)
            return Errno::notdir;
        return TRY(MessageQueue::find(name))->unlink();
    }
    Result<void> read_directory(off_t& position, DirectorySink& sink) override {
        if (queue_)
            return Errno::notdir;
        for (; position < 2; position++)
            if (!sink.put({position == 0 ? "." : "..", root_inode, entry_type_of(VnodeType::directory), position + 1}))
                return {};
        while (const RefPtr<MessageQueue> q = MessageQueue::next(static_cast<uint64_t>(position) - 1)) {
            const auto next = static_cast<off_t>(q->number() + 2);
            if (!sink.put({q->name(), q->number() + root_inode, entry_type_of(VnodeType::regular), next}))
                return {};
            position = next;
        }
        return {};
    }
    Result<Name> name(std::span<char> buffer) override {
        if (!queue_ || !queue_->has_name() || !fs().root)
            return Errno::noent;
        const std::string_view text = queue_->name();
        if (text.size() > buffer.size())
            return Errno::range;
        memcpy(buffer.data(), text.data(), text.size());
        return Name{fs().root, text.size()};
    }

private:
    Result<RefPtr<Vnode>> of(RefPtr<MessageQueue> queue) {
        return RefPtr<Vnode>(TRY(make_ref<MqueueNode>(fs(), std::move(queue))));
    }
    const RefPtr<MessageQueue> queue_; ///< nullptr: the directory
};

} // namespace

Result<RefPtr<Mount>> mqueue_mount(const MountRequest&) {
    RefPtr<MqueueMount> mount = TRY(make_ref<MqueueMount>());
    mount->born = realtime_ns();
    mount->device = mount_new_device();
    mount->root = TRY(make_ref<MqueueNode>(*mount, nullptr));
    return RefPtr<Mount>(std::move(mount));
}

} // namespace lentil
