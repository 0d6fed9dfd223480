// SPDX-License-Identifier: BSD-2-Clause
// Virtio over MMIO (Virtual I/O Device 1.2, section 4.2), the legacy interface included, and the split virtqueue (2.7).
#pragma once

#include <atomic>

#include <platform/driver.hpp>

namespace lentil::platform {

enum class VirtioId : uint32_t { none = 0, network = 1, block = 2, console = 3, entropy = 4 };

namespace virtio_features {
inline constexpr uint64_t indirect = uint64_t{1} << 28, version_1 = uint64_t{1} << 32;
}

/// One descriptor (2.7.5).
struct VirtioDescriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};
static_assert(sizeof(VirtioDescriptor) == 16);
inline constexpr uint16_t virtio_next = 1, virtio_device_writes = 2, virtio_indirect = 4;

/// The rings of one queue. Who owns which descriptor is the driver's business. Calls are serialised by the driver.
class VirtioQueue {
public:
    static constexpr unsigned max_size = 128;

    VirtioDescriptor& descriptor(unsigned i) { return descriptors_[i]; }
    unsigned size() const { return size_; }
    /// Makes the chain that begins at descriptor `head` available.
    void push(uint16_t head);
    /// A chain that the device is done with: its head, and how many bytes the device wrote. Nothing if there is none.
    struct Done {
        uint16_t head;
        uint32_t length;
    };
    std::optional<Done> pop_used();
    /// Its head alone.
    std::optional<uint16_t> pop() {
        const auto done = pop_used();
        return done ? std::optional(done->head) : std::nullopt;
    }

private:
    friend class VirtioDevice;
    struct Used {
        uint32_t id, length;
    };
    VirtioDescriptor* descriptors_ = nullptr;
    uint16_t* available_ = nullptr; ///< flags, index, ring
    uint8_t* used_ = nullptr;       ///< flags, index, ring of Used
    unsigned size_ = 0;
    uint16_t next_available_ = 0, next_used_ = 0;
};

/// The transport of one device.
class VirtioDevice {
public:
    /// What sits at these registers; none if nothing or nothing that we can talk to.
    static VirtioId identify(const Mmio& registers);

    explicit VirtioDevice(const Mmio& registers) : registers_(registers) {}
    VirtioDevice() = default;
    /// Resets the device and agrees on features out of `wanted`. False: it refuses.
    bool negotiate(uint64_t wanted);
    bool has(uint64_t feature) const { return features_ & feature; }
    /// Gives queue `index` memory: nullptr, or what is wrong.
    const char* set_queue(uint32_t index, VirtioQueue& queue);
    /// After the queues: the device may work.
    void go();
    void notify(uint32_t queue);
    /// In the interrupt handler: acknowledges; whether a queue has news.
    bool take_interrupt();
    void give_up();
    /// The device forgets queues and buffers.
    void reset();

    uint32_t config32(uint64_t offset) const { return registers_.read32(config_base + offset); }
    uint64_t config64(uint64_t offset) const;

private:
    static constexpr uint64_t config_base = 0x100;
    void set_status(uint32_t status);
    void write_address(uint64_t offset, paddr_t address);

    Mmio registers_;
    uint64_t features_ = 0;
    bool legacy_ = false;
};

/// A block device: takes the transport over. Complaint or nullptr.
const char* virtio_block_start(Node node, const Mmio& registers);
/// The same for a console and a source of random bytes.
const char* virtio_console_start(Node node, const Mmio& registers);
const char* virtio_entropy_start(Node node, const Mmio& registers);

} // namespace lentil::platform
