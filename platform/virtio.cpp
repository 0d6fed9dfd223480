// SPDX-License-Identifier: BSD-2-Clause
#include <platform/virtio.hpp>
#include <vm/page.hpp>

namespace lentil::platform {

namespace {

/// Registers (4.2.2 and, for the legacy interface, 4.2.4).
enum Register : uint64_t {
    magic = 0x000,
    version = 0x004,
    device_id = 0x008,
    device_features = 0x010,
    device_features_select = 0x014,
    driver_features = 0x020,
    driver_features_select = 0x024,
    legacy_page_size = 0x028,
    queue_select = 0x030,
    queue_size_max = 0x034,
    queue_size = 0x038,
    legacy_queue_align = 0x03c,
    legacy_queue_page = 0x040,
    queue_ready = 0x044,
    queue_notify = 0x050,
    interrupt_status = 0x060,
    interrupt_ack = 0x064,
    status_register = 0x070,
    queue_descriptors = 0x080,
    queue_driver = 0x090,
    queue_device = 0x0a0,
    config_generation = 0x0fc,
};
constexpr uint32_t status_acknowledge = 1, status_driver = 2, status_driver_ok = 4, status_features_ok = 8,
                   status_failed = 128;
constexpr uint32_t magic_value = 0x74726976; // "virt"

/// Orders memory against the device's registers and the device's own view of memory.
void fence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

} // namespace

VirtioId VirtioDevice::identify(const Mmio& registers) {
    if (registers.read32(magic) != magic_value)
        return VirtioId::none;
    const uint32_t v = registers.read32(version);
    return v == 1 || v == 2 ? static_cast<VirtioId>(registers.read32(device_id)) : VirtioId::none;
}

void VirtioDevice::set_status(uint32_t status) {
    registers_.write32(status_register, registers_.read32(status_register) | status);
}

bool VirtioDevice::negotiate(uint64_t wanted) {
    legacy_ = registers_.read32(version) == 1;
    registers_.write32(status_register, 0);
    set_status(status_acknowledge);
    set_status(status_driver);
    uint64_t offered = 0;
    for (uint32_t i = 0; i < 2; i++) {
        registers_.write32(device_features_select, i);
        offered |= uint64_t{registers_.read32(device_features)} << (32 * i);
    }
    features_ = offered & (legacy_ ? wanted & 0xffffffff : wanted | virtio_features::version_1);
    for (uint32_t i = 0; i < 2; i++) {
        registers_.write32(driver_features_select, i);
        registers_.write32(driver_features, static_cast<uint32_t>(features_ >> (32 * i)));
    }
    if (legacy_) {
        registers_.write32(legacy_page_size, page_size);
        return true;
    }
    if (!has(virtio_features::version_1))
        return false;
    set_status(status_features_ok);
    return registers_.read32(status_register) & status_features_ok;
}

void VirtioDevice::write_address(uint64_t offset, paddr_t address) {
    registers_.write32(offset, static_cast<uint32_t>(address));
    registers_.write32(offset + 4, static_cast<uint32_t>(address >> 32));
}

const char* VirtioDevice::set_queue(uint32_t index, VirtioQueue& queue) {
    registers_.write32(queue_select, index);
    const uint32_t limit = registers_.read32(queue_size_max);
    if (limit == 0)
        return "no such queue";
    queue.size_ = limit < VirtioQueue::max_size ? limit : VirtioQueue::max_size;
    // As the legacy interface lays it out: descriptors and available ring, then the used ring on a page of its own.
    static_assert(VirtioQueue::max_size * sizeof(VirtioDescriptor) + 6 + 2 * VirtioQueue::max_size <= page_size);
    static_assert(6 + 8 * VirtioQueue::max_size <= page_size);
    const auto pages = page_alloc_order(1);
    if (!pages)
        return "no memory";
    uint8_t* memory = static_cast<uint8_t*>(page_data(*pages));
    __builtin_memset(memory, 0, 2 * page_size);
    queue.descriptors_ = reinterpret_cast<VirtioDescriptor*>(memory);
    queue.available_ = reinterpret_cast<uint16_t*>(memory + queue.size_ * sizeof(VirtioDescriptor));
    queue.used_ = memory + page_size;
    const paddr_t start = page_pa(*pages);
    registers_.write32(queue_size, queue.size_);
    fence();
    if (legacy_) {
        registers_.write32(legacy_queue_align, page_size);
        registers_.write32(legacy_queue_page, static_cast<uint32_t>(start >> page_shift));
    } else {
        write_address(queue_descriptors, start);
        write_address(queue_driver, start + queue.size_ * sizeof(VirtioDescriptor));
        write_address(queue_device, start + page_size);
        registers_.write32(queue_ready, 1);
    }
    return nullptr;
}

void VirtioDevice::go() { set_status(status_driver_ok); }
void VirtioDevice::give_up() { set_status(status_failed); }
void VirtioDevice::reset() { registers_.write32(status_register, 0); }

void VirtioDevice::notify(uint32_t queue) {
    fence();
    registers_.write32(queue_notify, queue);
}

bool VirtioDevice::take_interrupt() {
    const uint32_t why = registers_.read32(interrupt_status);
    registers_.write32(interrupt_ack, why);
    fence();
    return why & 1;
}

uint64_t VirtioDevice::config64(uint64_t offset) const {
    for (;;) {
        const uint32_t before = legacy_ ? 0 : registers_.read32(config_generation);
        const uint64_t value = config32(offset) | uint64_t{config32(offset + 4)} << 32;
        if (legacy_ || registers_.read32(config_generation) == before)
            return value;
    }
}

void VirtioQueue::push(uint16_t head) {
    available_[2 + next_available_ % size_] = head;
    next_available_++;
    fence(); // the entry before the index
    *static_cast<volatile uint16_t*>(&available_[1]) = next_available_;
}

std::optional<VirtioQueue::Done> VirtioQueue::pop_used() {
    const auto* index = reinterpret_cast<const volatile uint16_t*>(used_ + 2);
    if (*index == next_used_)
        return std::nullopt;
    fence(); // the index before the entry
    Used entry;
    __builtin_memcpy(&entry, used_ + 4 + next_used_ % size_ * sizeof entry, sizeof entry);
    next_used_++;
    return Done{static_cast<uint16_t>(entry.id), entry.length};
}

const char* virtio_mmio_probe(Node node) {
    const auto mmio = registers_of(node, 0, 0x200);
    if (!mmio)
        return "bad device tree node (reg)";
    switch (VirtioDevice::identify(*mmio)) {
    case VirtioId::block: return virtio_block_start(node, *mmio);
    case VirtioId::console: return virtio_console_start(node, *mmio);
    case VirtioId::entropy: return virtio_entropy_start(node, *mmio);
    default: return nullptr; // an empty place, or nothing for us
    }
}

} // namespace lentil::platform
