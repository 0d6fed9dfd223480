// SPDX-License-Identifier: BSD-2-Clause
// Virtio's source of random bytes (Virtual I/O Device 1.2, section 5.4). One request is under way at a time.
#include <platform/virtio.hpp>
#include <vm/page.hpp>

namespace lentil::platform {

namespace {

constexpr uint32_t request_bytes = 64;

constinit VirtioDevice transport;
constinit VirtioQueue queue;
constinit void* bytes = nullptr; ///< a page; the device's while `busy`
constinit std::atomic<uint32_t> busy{0};

void ask() {
    if (busy.exchange(1, std::memory_order_acq_rel))
        return;
    queue.descriptor(0) = {machine::direct_map_pa(bytes), request_bytes, virtio_device_writes, 0};
    queue.push(0);
    transport.notify(0);
}

void interrupt(void*) {
    if (!transport.take_interrupt() || !queue.pop())
        return;
    // All of it, whatever the device says that it wrote: what it left alone does no harm.
    entropy_received(bytes, request_bytes);
    __builtin_memset(bytes, 0, request_bytes);
    busy.store(0, std::memory_order_release);
}

} // namespace

const char* virtio_entropy_start(Node node, const Mmio& registers) {
    if (bytes)
        return nullptr; // one is enough
    transport = VirtioDevice(registers);
    if (!transport.negotiate(0))
        return "the source of random bytes refuses our features";
    if (const char* complaint = transport.set_queue(0, queue))
        return complaint;
    const auto page = page_alloc_zeroed();
    if (!page)
        return "no memory";
    bytes = page_data(*page);
    if (!irq_attach(node, interrupt, nullptr))
        return "no interrupt";
    transport.go();
    entropy_offer(ask);
    return nullptr;
}

} // namespace lentil::platform
