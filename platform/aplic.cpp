// SPDX-License-Identifier: BSD-2-Clause
// The advanced platform-level interrupt controller (RISC-V Advanced Interrupt Architecture 1.0, chapter 4) of the supervisor.
// It delivers to a hart directly, or sends messages to interrupt files (imsic.cpp). All interrupts go to one hart.
#include <algorithm>
#include <iterator>

#include <platform/interrupts.hpp>

namespace lentil::platform {

namespace {

constexpr uint64_t domain_config = 0, source_config = 0x4, set_pending_number = 0x1cdc, inputs = 0x1d00,
                   set_enable_number = 0x1edc, clear_enable = 0x1f00, target = 0x3004;
constexpr uint64_t delivery_base = 0x4000, delivery_stride = 32;
enum Delivery : uint64_t { deliver = 0, threshold = 8, claim = 0x1c };
constexpr uint32_t domain_enabled = 1 << 8, domain_messages = 1 << 2;
constexpr uint32_t rising_edge = 4, falling_edge = 5, high_level = 6, low_level = 7;
constexpr unsigned hart_shift = 18;

class Aplic final : public InterruptController, public MessageSender {
public:
    const char* init(Node tree_node);
    bool enable(uint32_t number, uint32_t trigger) override;
    void handle() override;
    void received(uint32_t number) override;

private:
    void ask_again(uint32_t number);
    uint64_t delivery(Delivery r) const { return delivery_base + context_ * delivery_stride + r; }

    Mmio registers_;
    uint32_t sources_ = 0;
    bool messages_ = false;
    unsigned context_ = 0; ///< the hart, as this domain counts
};

/// What the device tree's second cell (1, 2: edges; 4, 8: levels) is here.
uint32_t mode_of(uint32_t trigger) {
    switch (trigger) {
    case 1: return rising_edge;
    case 2: return falling_edge;
    case 8: return low_level;
    default: return high_level;
    }
}

const char* Aplic::init(Node tree_node) {
    messages_ = tree_node.has("msi-parent");
    const auto count = tree_node.cell("riscv,num-sources");
    const unsigned contexts = tree_node.cell_count("interrupts-extended") / 2;
    const auto mmio = registers_of(tree_node, 0, delivery_base + contexts * delivery_stride);
    if (!mmio || !tree_node.phandle() || !count)
        return "bad device tree node (reg, phandle or riscv,num-sources)";
    if (!messages_) {
        const auto context = supervisor_context(tree_node);
        if (!context)
            return "it serves no hart of ours";
        hart = context->hart;
        context_ = context->number;
    } else {
        hart = ~0U; // whoever gets the messages calls us
    }
    node = tree_node;
    registers_ = *mmio;
    sources_ = std::min(*count, most_sources - 1);
    for (uint32_t i = 0; i <= sources_ / 32; i++)
        registers_.write32(clear_enable + 4 * i, ~uint32_t{0});
    for (uint32_t i = 0; i < sources_; i++)
        registers_.write32(source_config + 4 * i, 0);
    if (!messages_) {
        registers_.write32(delivery(threshold), 0);
        registers_.write32(delivery(deliver), 1);
    }
    registers_.write32(domain_config, domain_enabled | (messages_ ? domain_messages : 0));
    interrupt_controller_add(*this);
    return nullptr;
}

bool Aplic::enable(uint32_t number, uint32_t trigger) {
    if (number == 0 || number > sources_)
        return false;
    const uint64_t config = source_config + 4 * (number - 1);
    registers_.write32(config, mode_of(trigger));
    if (registers_.read32(config) == 0)
        return false;                            // the machine level keeps it
    uint32_t where = context_ << hart_shift | 1; // priority
    if (messages_) {
        const auto message = message_for(*this, number);
        if (!message)
            return false;
        where = message->hart << hart_shift | message->identity;
    }
    registers_.write32(target + 4 * (number - 1), where);
    registers_.write32(set_enable_number, number);
    ask_again(number); // a level that is there already makes no edge, and so no message
    return true;
}

void Aplic::handle() {
    while (const uint32_t top = registers_.read32(delivery(claim)))
        dispatch(top >> 16);
}

/// A source whose level is still there gets another message (4.9.2). Looked at first: not every APLIC does that itself
/// (QEMU 7.2 sends one in any case, and so without end).
void Aplic::ask_again(uint32_t number) {
    if (messages_ && (registers_.read32(inputs + 4 * (number / 32)) >> (number % 32) & 1) != 0)
        registers_.write32(set_pending_number, number);
}

void Aplic::received(uint32_t number) {
    dispatch(number);
    ask_again(number);
}

constinit Aplic aplics[8];
constinit unsigned aplic_count = 0;

} // namespace

const char* aplic_probe(Node node) {
    // The machine level's hands interrupts down to its children; ours is one that has none.
    if (node.has("riscv,children") || (!node.has("msi-parent") && !serves_supervisors(node)))
        return nullptr;
    return aplic_count == std::size(aplics) ? "too many interrupt controllers; not used"
                                            : aplics[aplic_count++].init(node);
}

} // namespace lentil::platform
