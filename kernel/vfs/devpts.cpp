// SPDX-License-Identifier: BSD-2-Clause
// devpts: a name for the slave of every pty whose master is open, and the masters' own files. Each mount has ptys of its own;
// /dev/ptmx, wherever that is, makes them in the devpts that is mounted on "pts" beside it.
#include <algorithm>

#include <bsd/proc.hpp>
#include <bsd/pty.hpp>
#include <libkern/format.hpp>
#include <libkern/parse.hpp>
#include <sched/clock.hpp>
#include <vfs/filesystems.hpp>
#include <vfs/lookup.hpp>
#include <vfs/tty_file.hpp>
#include <vfs/vnode_file.hpp>

namespace lentil {

namespace {

struct Options {
    uint32_t mode = 0600, ptmx_mode = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    bool has_uid = false, has_gid = false;
    uint32_t max = Pty::max_count; ///< ptys at a time
};

/// inval for what it does not know.
Result<Options> parse(std::string_view text, Options options) {
    while (!text.empty()) {
        const auto [key, value] = take_option(text);
        if (key == "mode") {
            options.mode = static_cast<uint32_t>(TRY(parse_number(value, 8))) & 07777;
        } else if (key == "ptmxmode") {
            options.ptmx_mode = static_cast<uint32_t>(TRY(parse_number(value, 8))) & 07777;
        } else if (key == "uid") {
            options.uid = static_cast<uid_t>(TRY(parse_number(value, 10)));
            options.has_uid = true;
        } else if (key == "gid") {
            options.gid = static_cast<gid_t>(TRY(parse_number(value, 10)));
            options.has_gid = true;
        } else if (key == "max") {
            options.max = static_cast<uint32_t>(std::min<uint64_t>(TRY(parse_number(value, 10)), Pty::max_count));
        } else if (!key.empty() && key != "newinstance") {
            return Errno::inval;
        }
    }
    return options;
}

class DevptsMount final : public Mount {
public:
    static constexpr const char* zone_name = "devpts_mounts";
    void dispose() override { zone_delete(this); }
    FsStat fs_stat() override {
        FsStat st;
        st.magic = 0x1cd1;
        return st;
    }
    bool in_use() override { return nodes_in_use(nodes); }
    void teardown() override { root.reset(); }
    size_t describe_options(std::span<char> buffer) override {
        size_t n = 0;
        const auto add = [&](std::string_view format, auto value) {
            n += format_to(buffer.subspan(n), format, value).size();
        };
        if (options.has_uid)
            add(",uid={}", options.uid);
        if (options.has_gid)
            add(",gid={}", options.gid);
        add(",mode={:o}", options.mode);
        add(",ptmxmode={:03o}", options.ptmx_mode);
        if (options.max != Pty::max_count)
            add(",max={}", options.max);
        return n;
    }
    Result<void> remount(std::string_view text) override {
        options = TRY(parse(text, options));
        return {};
    }
    Result<RefPtr<Pty>> make_pty() {
        const Options now = options;
        RefPtr<Pty> pty = TRY(Pty::create(table, now.max));
        const RefPtr<const Cred> cred = current_proc().cred();
        pty->mode = now.mode;
        pty->uid = now.has_uid ? now.uid : cred->fsuid;
        pty->gid = now.has_gid ? now.gid : cred->fsgid;
        const nanos_t made = realtime_ns();
        pty->atime = made;
        pty->mtime = made;
        pty->ctime = made;
        return pty;
    }

    Options options;
    RefPtr<PtyTable> table;
    nanos_t born = 0;
    std::atomic<uint64_t> nodes{0};
};

/// The directory, ptmx, or the slave of `pty`. Made at lookup; what can be changed lies in the pty.
class DevptsNode final : public Vnode {
public:
    static constexpr const char* zone_name = "devpts_nodes";
    DevptsNode(VnodeType node_type, DevptsMount& fs, RefPtr<Pty> node_pty)
        : Vnode(node_type, fs), pty(std::move(node_pty)) {
        fs.nodes.fetch_add(1, std::memory_order_relaxed);
    }
    ~DevptsNode() override { fs().nodes.fetch_sub(1, std::memory_order_relaxed); }
    void dispose() override { zone_delete(this); }
    DevptsMount& fs() const { return static_cast<DevptsMount&>(*mount); }
    bool is_directory() const { return type == VnodeType::directory; }

    Result<FileStat> stat() override {
        const NodeOwner mine = owner();
        FileStat st;
        st.device = mount->device;
        st.inode = pty ? pty->number() + 3 : is_directory() ? 1 : 2;
        st.rdevice = pty ? pty->device_number() : is_directory() ? 0 : make_device(5, 2);
        st.links = is_directory() ? 2 : 1;
        st.mode = mine.mode;
        st.uid = mine.uid;
        st.gid = mine.gid;
        st.block_size = 1024;
        st.atime = st.mtime = st.ctime = st.btime = fs().born;
        if (pty) {
            st.atime = pty->atime.load(std::memory_order_relaxed);
            st.mtime = pty->mtime.load(std::memory_order_relaxed);
            st.ctime = st.btime = pty->ctime.load(std::memory_order_relaxed);
        }
        return st;
    }
    NodeOwner owner() override {
        if (pty)
            return {pty->mode.load(std::memory_order_relaxed) | file_mode::character,
                    pty->uid.load(std::memory_order_relaxed), pty->gid.load(std::memory_order_relaxed)};
        if (is_directory())
            return {file_mode::directory | 0755, 0, 0};
        return {file_mode::character | fs().options.ptmx_mode, 0, 0};
    }
    Result<void> change(const AttributeChange& wanted) override {
        if (wanted.set_size)
            return {}; // shells open with O_TRUNC
        if (!pty) {
            if (!wanted.set_mode || wanted.set_uid || wanted.set_gid || is_directory())
                return Errno::perm;
            fs().options.ptmx_mode = wanted.mode & 07777;
            return {};
        }
        if (wanted.set_mode)
            pty->mode.store(wanted.mode & 07777, std::memory_order_relaxed);
        if (wanted.set_uid)
            pty->uid.store(wanted.uid, std::memory_order_relaxed);
        if (wanted.set_gid)
            pty->gid.store(wanted.gid, std::memory_order_relaxed);
        if (wanted.set_atime)
            pty->atime.store(wanted.atime, std::memory_order_relaxed);
        if (wanted.set_mtime)
            pty->mtime.store(wanted.mtime, std::memory_order_relaxed);
        pty->ctime.store(realtime_ns(), std::memory_order_relaxed);
        return {};
    }
    Result<RefPtr<File>> open(uint32_t flags, Vnode& as) override {
        if (is_directory())
            return vnode_file_open(as, flags);
        if (as.mount->has(mount_flags::no_dev))
            return Errno::acces;
        if (!pty)
            return ptmx_open(as, flags);
        RefPtr<File> file = TRY(TtyFile::open(as, flags, *pty, TtyName::own));
        pty->opened(flags);
        return file;
    }
    Result<RefPtr<Vnode>> lookup(std::string_view name) override {
        if (!is_directory())
            return Errno::notdir;
        if (name == "ptmx")
            return RefPtr<Vnode>(TRY(make_ref<DevptsNode>(VnodeType::character, fs(), nullptr)));
        const Result<uint64_t> number = parse_number(name, 10);
        if (!number || *number >= Pty::max_count || (name.size() > 1 && name[0] == '0'))
            return Errno::noent;
        return slave(fs().table->find(static_cast<unsigned>(*number)));
    }
    Result<RefPtr<Vnode>> slave(RefPtr<Pty> of) {
        if (!of)
            return Errno::noent;
        return RefPtr<Vnode>(TRY(make_ref<DevptsNode>(VnodeType::character, fs(), std::move(of))));
    }
    Result<RefPtr<Vnode>> parent() override {
        if (!is_directory())
            return Errno::notdir;
        return RefPtr<Vnode>(this);
    }
    Result<RefPtr<Vnode>> create(std::string_view, const NewNode&) override { return Errno::perm; }
    Result<void> read_directory(off_t& position, DirectorySink& sink) override {
        if (!is_directory())
            return Errno::notdir;
        for (; position < 2; position++)
            if (!sink.put({position == 0 ? "." : "..", 1, entry_type_of(VnodeType::directory), position + 1}))
                return {};
        if (position == 2) {
            if (!sink.put({"ptmx", 2, entry_type_of(VnodeType::character), 3}))
                return {};
            position++;
        }
        for (int number = 0; (number = fs().table->next(static_cast<unsigned>(position - 3))) >= 0;
             position = number + 4) {
            char name[12];
            const auto text = format_to(name, "{}", number);
            if (!sink.put({text, static_cast<uint64_t>(number) + 3, entry_type_of(VnodeType::character), number + 4}))
                return {};
        }
        return {};
    }
    Result<Name> name(std::span<char> buffer) override {
        if (is_directory() || (pty && fs().table->find(pty->number()) != pty) || !fs().root)
            return Errno::noent;
        char digits[12];
        const std::string_view text = pty ? std::string_view(format_to(digits, "{}", pty->number())) : "ptmx";
        if (text.size() > buffer.size())
            return Errno::range;
        __builtin_memcpy(buffer.data(), text.data(), text.size());
        return Name{fs().root, text.size()};
    }

    const RefPtr<Pty> pty;
};

/// Where a master that was opened as `node` belongs: the devpts that this is in, or the one on "pts" beside it. nodev.
Result<RefPtr<DevptsMount>> devpts_of(Vnode& node) {
    const auto is_devpts = [](const Mount& mount) { return std::string_view(mount.type_name) == "devpts"; };
    RefPtr<Vnode> inside = ref(node);
    if (!is_devpts(*node.mount)) {
        char text[name_max + 1];
        const Result<Vnode::Name> name = node.name(text);
        const Result<RefPtr<Vnode>> beside = name ? name->directory->lookup("pts") : Errno::nodev;
        if (!beside)
            return Errno::nodev;
        inside = mount_cross_down(*beside);
        if (!is_devpts(*inside->mount) || inside != inside->mount->root ||
            &inside->real() != inside->mount->super().root.get())
            return Errno::nodev;
    }
    return RefPtr<DevptsMount>(static_cast<DevptsMount*>(&inside->mount->super()));
}

class MasterFile final : public DeviceFile {
public:
    static constexpr const char* zone_name = "pty_masters";
    MasterFile(Vnode& node, uint32_t flags_value, RefPtr<Pty> pty)
        : DeviceFile(node, flags_value), pty_(std::move(pty)) {}
    ~MasterFile() override { pty_->master_closed(); }
    void dispose() override { zone_delete(this); }
    Result<size_t> read(Uio& uio) override { return pty_->master_read(uio, nonblocking()); }
    Result<size_t> write(Uio& uio) override { return pty_->master_write(uio, nonblocking()); }
    bool can_send_sigio() override { return true; }
    uint32_t poll(uint32_t events, PollTable* table) override { return pty_->master_poll(events, table); }
    Result<uint64_t> ioctl(uint32_t command, uint64_t argument) override {
        constexpr uint32_t tiocgptpeer = 0x5441;
        if (command == tiocgptpeer)
            return open_peer(static_cast<uint32_t>(argument));
        return pty_->master_ioctl(command, argument);
    }

private:
    /// The slave as a new descriptor, without its path.
    Result<uint64_t> open_peer(uint32_t how) {
        const RefPtr<DevptsMount> fs = TRY(devpts_of(*node_));
        if (fs->table.get() != &pty_->table())
            return Errno::nodev;
        const RefPtr<Vnode> node(TRY(make_ref<DevptsNode>(VnodeType::character, *fs, pty_)));
        constexpr uint32_t kept = open_flags::access_mode | open_flags::nonblock | open_flags::noctty;
        RefPtr<File> file = TRY(node->open(how & kept));
        file->flags.fetch_and(~open_flags::noctty, std::memory_order_relaxed);
        Proc& self = current_proc();
        return static_cast<uint64_t>(
            TRY(self.fd_table()->install(std::move(file), how & open_flags::cloexec, self.limit(Limit::nofile).soft)));
    }

    const RefPtr<Pty> pty_;
};

} // namespace

Result<RefPtr<File>> ptmx_open(Vnode& node, uint32_t flags) {
    const RefPtr<DevptsMount> fs = TRY(devpts_of(node));
    RefPtr<Pty> pty = TRY(fs->make_pty());
    return RefPtr<File>(TRY(make_ref<MasterFile>(node, flags, std::move(pty))));
}

Result<RefPtr<Mount>> devpts_mount(const MountRequest& request) {
    const Options options = TRY(parse(request.options, {}));
    RefPtr<DevptsMount> mount = TRY(make_ref<DevptsMount>());
    mount->options = options;
    mount->table = TRY(make_ref<PtyTable>());
    mount->born = realtime_ns();
    mount->device = mount_new_device();
    mount->root = TRY(make_ref<DevptsNode>(VnodeType::directory, *mount, nullptr));
    return RefPtr<Mount>(std::move(mount));
}

} // namespace lentil
