// SPDX-License-Identifier: BSD-2-Clause
// The table of character devices, and devfs: a tmpfs with a node for each.
#include <bsd/pipe.hpp>
#include <vfs/block.hpp>
#include <vfs/block_file.hpp>
#include <vfs/device.hpp>
#include <vfs/inotify.hpp>
#include <vfs/lookup.hpp>
#include <vfs/mount.hpp>
#include <vfs/tmpfs.hpp>

namespace lentil {

namespace {
constexpr gid_t disk_group = 6;          ///< Debian's
constinit CharDevice* devices = nullptr; // grows at boot, before anyone looks
} // namespace

void device_register(CharDevice& device) {
    device.next = devices;
    devices = &device;
}

CharDevice* device_first() { return devices; }

Result<RefPtr<File>> device_open(Vnode& node, uint64_t number, uint32_t flags) {
    for (CharDevice* d = devices; d; d = d->next)
        if (d->number == number)
            return d->open(node, flags);
    return Errno::nxio;
}

namespace {

/// An end of a named pipe: the pipe's data, the node's attributes.
class FifoFile final : public DeviceFile {
public:
    static constexpr const char* zone_name = "fifo_files";
    FifoFile(Vnode& node, uint32_t flags_value, PipeEnds ends) : DeviceFile(node, flags_value), ends_(std::move(ends)) {
        ready_now = ends_.pipe().ready_word(readable(), writable());
    }
    void dispose() override { zone_delete(this); }
    Result<size_t> read(Uio& uio) override {
        const size_t n = TRY(ends_.pipe().read(uio, nonblocking()));
        if (n > 0)
            inotify_file(*this, as_vnode(*node()), inotify_events::access);
        return n;
    }
    Result<size_t> write(Uio& uio) override {
        const size_t n = TRY(ends_.pipe().write(uio, nonblocking()));
        if (n > 0)
            inotify_file(*this, as_vnode(*node()), inotify_events::modify);
        return n;
    }
    Result<uint64_t> ioctl(uint32_t command, uint64_t argument) override {
        return ends_.pipe().ioctl(command, argument);
    }
    uint32_t poll(uint32_t events, PollTable* table) override {
        return ends_.pipe().poll(events, table, readable(), writable());
    }
    Pipe* pipe() override { return &ends_.pipe(); }

private:
    PipeEnds ends_;
};

} // namespace

Result<RefPtr<File>> special_open(Vnode& node, Fifo& fifo, uint64_t number, uint32_t flags) {
    if (node.type == VnodeType::fifo) {
        PipeEnds ends = TRY(fifo.open(flags));
        return RefPtr<File>(TRY(make_ref<FifoFile>(node, flags, std::move(ends))));
    }
    if (node.type != VnodeType::character && node.type != VnodeType::block)
        return Errno::nxio;
    if (node.mount->has(mount_flags::no_dev))
        return Errno::acces;
    if (node.type == VnodeType::block)
        return block_open(node, number, flags);
    return device_open(node, number, flags);
}

size_t DeviceFile::describe(std::span<char> buffer) { return describe_node(*node_, buffer); }

Result<RefPtr<Mount>> devfs_mount(const MountRequest& request) {
    TmpfsMount::Options base = TmpfsMount::defaults();
    base.mode = 0755;
    const TmpfsMount::Options options = TRY(TmpfsMount::parse(request.options, base));
    RefPtr<TmpfsMount> mount = TRY(TmpfsMount::create(options, base));
    const auto fill = [&]() -> Result<void> {
        for (CharDevice* d = devices; d; d = d->next)
            TRY(mount->root->create(d->name, {VnodeType::character, d->mode, 0, d->gid, d->number}));
        for (BlockVolume* v = block_first(); v; v = v->next)
            TRY(mount->root->create(v->name, {VnodeType::block, 0660, 0, disk_group, v->number}));
        constexpr struct {
            const char *name, *target;
        } links[] = {
            {"fd", "/proc/self/fd"},
            {"stdin", "/proc/self/fd/0"},
            {"stdout", "/proc/self/fd/1"},
            {"stderr", "/proc/self/fd/2"},
        };
        for (auto& l : links)
            TRY(mount->root->create(l.name, {VnodeType::symlink, 0777, 0, 0, 0, l.target}));
        for (const char* name : {"shm", "pts"})
            TRY(mount->root->create(name, {VnodeType::directory, name[0] == 's' ? 01777u : 0755u, 0, 0}));
        return {};
    };
    if (const Result<void> filled = fill(); !filled) {
        mount->teardown();
        return filled.error();
    }
    return RefPtr<Mount>(std::move(mount));
}

} // namespace lentil
