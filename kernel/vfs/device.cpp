// SPDX-License-Identifier: BSD-2-Clause
// The table of character devices, and devfs: a tmpfs with a node for each.
#include <vfs/device.hpp>
#include <vfs/lookup.hpp>
#include <vfs/tmpfs.hpp>

namespace lentil {

namespace {
constinit CharDevice* devices = nullptr; // grows at boot, before anyone looks
}

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

size_t DeviceFile::describe(std::span<char> buffer) { return describe_node(*node_, buffer); }

Result<RefPtr<Mount>> devfs_mount(const MountRequest& request) {
    TmpfsMount::Options base = TmpfsMount::defaults();
    base.mode = 0755;
    const TmpfsMount::Options options = TRY(TmpfsMount::parse(request.options, base));
    RefPtr<TmpfsMount> mount = TRY(TmpfsMount::create(options, base));
    const auto fill = [&]() -> Result<void> {
        for (CharDevice* d = devices; d; d = d->next)
            TRY(mount->root->create(d->name, {VnodeType::character, d->mode, 0, d->gid, d->number}));
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
