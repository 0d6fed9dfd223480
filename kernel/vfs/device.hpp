// SPDX-License-Identifier: BSD-2-Clause
// Character devices: registered by name and number, opened through any node that carries the number.
#pragma once

#include <vfs/vnode.hpp>

namespace lentil {

class Fifo;

/// One device. `open` makes the File for a node; permission was checked. `node` is kept by the File (see DeviceFile).
struct CharDevice {
    const char* name; ///< of its node in devfs, static
    uint64_t number;  ///< make_device(major, minor)
    uint32_t mode;    ///< permission bits of that node
    gid_t gid;
    Result<RefPtr<File>> (*open)(Vnode& node, uint32_t flags);
    CharDevice* next = nullptr;
};

/// Registers for good; `device` must be static. Devices registered before devfs is mounted get a node there.
void device_register(CharDevice& device);
CharDevice* device_first();
/// nxio if there is no such device.
Result<RefPtr<File>> device_open(Vnode& node, uint64_t number, uint32_t flags);

/// What opening a FIFO, device or socket node of any file system gives; `fifo` is the node's.
Result<RefPtr<File>> special_open(Vnode& node, Fifo& fifo, uint64_t number, uint32_t flags);

/// Base of files behind device nodes: what concerns the node is answered by it.
class DeviceFile : public File {
public:
    DeviceFile(Vnode& node, uint32_t open_flags_value) : File(open_flags_value), node_(&node) {}
    Result<FileStat> stat() override { return node_->stat(); }
    size_t describe(std::span<char> buffer) override;
    FsNode* node() override { return node_.get(); }
    uint32_t poll(uint32_t events, PollTable*) override {
        return events & (poll_events::in | poll_events::out | poll_events::rdnorm | poll_events::wrnorm);
    }

protected:
    const RefPtr<Vnode> node_;
};

/// Registers the devices that the kernel itself has: null, zero, full, random, urandom, kmsg, console, tty.
void devices_init();

} // namespace lentil
