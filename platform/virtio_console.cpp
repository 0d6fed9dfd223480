// SPDX-License-Identifier: BSD-2-Clause
// Virtio's console (Virtual I/O Device 1.2, section 5.3), its first port: output by polling, a piece at a time, since a panic must get
// out too; input by interrupt.
#include <platform/virtio.hpp>
#include <vm/page.hpp>

namespace lentil::platform {

namespace {

constexpr uint32_t receive_queue = 0, transmit_queue = 1;
constexpr unsigned receive_buffers = 8, receive_bytes = 64, transmit_bytes = 256;
/// One page for all buffers: the device reads and writes them where they lie.
struct Buffers {
    char received[receive_buffers][receive_bytes];
    char to_send[transmit_bytes];
};
static_assert(sizeof(Buffers) <= page_size);

constinit VirtioDevice transport;
constinit VirtioQueue input, output;
constinit Buffers* buffers = nullptr;

void offer(unsigned i) {
    input.descriptor(i) = {machine::direct_map_pa(buffers->received[i]), receive_bytes, virtio_device_writes, 0};
    input.push(static_cast<uint16_t>(i));
}

/// The console calls one at a time. The device takes a piece before the next is put into the buffer.
void write_text(std::string_view text) {
    while (!text.empty()) {
        const size_t n = text.size() < transmit_bytes ? text.size() : transmit_bytes;
        __builtin_memcpy(buffers->to_send, text.data(), n);
        output.descriptor(0) = {machine::direct_map_pa(buffers->to_send), static_cast<uint32_t>(n), 0, 0};
        output.push(0);
        transport.notify(transmit_queue);
        while (!output.pop())
            machine::cpu_relax();
        text.remove_prefix(n);
    }
}

void interrupt(void*) {
    if (!transport.take_interrupt())
        return;
    bool any = false;
    while (const auto used = input.pop_used()) {
        if (used->head >= receive_buffers)
            continue; // not one of ours: the device is out of its mind
        const uint32_t n = used->length < receive_bytes ? used->length : receive_bytes;
        for (uint32_t i = 0; i < n; i++)
            console_received(buffers->received[used->head][i]);
        offer(used->head);
        any = true;
    }
    if (any)
        transport.notify(receive_queue);
}

} // namespace

const char* virtio_console_start(Node node, const Mmio& registers) {
    if (buffers)
        return nullptr; // one is enough
    transport = VirtioDevice(registers);
    if (!transport.negotiate(0))
        return "the console refuses our features";
    if (const char* complaint = transport.set_queue(receive_queue, input))
        return complaint;
    if (const char* complaint = transport.set_queue(transmit_queue, output))
        return complaint;
    const auto page = page_alloc_zeroed();
    if (!page)
        return "no memory";
    buffers = static_cast<Buffers*>(page_data(*page));
    if (!irq_attach(node, interrupt, nullptr))
        return "no interrupt";
    transport.go();
    if (!console_offer(node, {write_text, "hvc0"})) {
        transport.reset(); // nobody would read what it receives
        return nullptr;
    }
    for (unsigned i = 0; i < receive_buffers && i < input.size(); i++)
        offer(i);
    transport.notify(receive_queue);
    return nullptr;
}

} // namespace lentil::platform
