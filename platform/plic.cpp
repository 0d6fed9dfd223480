// SPDX-License-Identifier: BSD-2-Clause
// The platform-level interrupt controller (RISC-V PLIC specification 1.0). Every interrupt goes to one hart's supervisor
// context: the boot hart's, or another one's that has such a context (a hart without a supervisor has none).
#include <algorithm>
#include <atomic>
#include <iterator>

#include <platform/interrupts.hpp>

namespace lentil::platform {

namespace {

constexpr uint64_t enable_base = 0x2000, enable_stride = 0x80;
constexpr uint64_t context_base = 0x200000, context_stride = 0x1000, claim_offset = 4;

class Plic final : public InterruptController {
public:
    const char* init(Node tree_node);
    bool enable(uint32_t number, uint32_t trigger) override;
    void handle() override;
    void hart_is_up() override;

private:
    uint64_t context_register(uint64_t offset) const { return context_base + context_ * context_stride + offset; }
    /// Two harts may do so at a time: whoever writes last sees whether it was not the newest.
    void tell_sources(uint32_t word) {
        uint32_t told = 0;
        do
            registers_.write32(enable_base + context_ * enable_stride + 4 * word, told = enabled_[word].load());
        while (told != enabled_[word].load());
    }

    Mmio registers_;
    uint32_t sources_ = 0;
    unsigned context_ = 0;
    std::atomic<uint32_t> enabled_[most_sources / 32] = {}; ///< a bit for each source
};

const char* Plic::init(Node tree_node) {
    const auto mmio = registers_of(tree_node, 0, context_base + context_stride);
    const auto count = tree_node.cell("riscv,ndev");
    if (!mmio || !tree_node.phandle() || !count)
        return "bad device tree node (reg, phandle or riscv,ndev)";
    const auto context =
        supervisor_context(tree_node, static_cast<unsigned>((mmio->size() - context_base) / context_stride));
    if (!context)
        return "no supervisor context for any hart of ours";
    node = tree_node;
    hart = context->hart;
    registers_ = *mmio;
    sources_ = std::min(*count, most_sources - 1);
    context_ = context->number;
    for (uint32_t i = 1; i <= sources_; i++)
        registers_.write32(4 * i, 0);
    hart_is_up();
    interrupt_controller_add(*this);
    return nullptr;
}

bool Plic::enable(uint32_t number, uint32_t) {
    if (number == 0 || number > sources_)
        return false;
    registers_.write32(4 * number, 1);
    enabled_[number / 32].fetch_or(1u << number % 32);
    tell_sources(number / 32);
    return true;
}

/// OpenSBI resets the context of a hart that it starts (plic_warm_irqchip_init): nothing enabled, the threshold at its highest.
void Plic::hart_is_up() {
    for (uint32_t word = 0; word <= sources_ / 32; word++)
        tell_sources(word);
    registers_.write32(context_register(0), 0); // threshold: everything with a priority
}

void Plic::handle() {
    while (const uint32_t number = registers_.read32(context_register(claim_offset))) {
        dispatch(number);
        registers_.write32(context_register(claim_offset), number);
    }
}

constinit Plic plics[8];
constinit unsigned plic_count = 0;

} // namespace

const char* plic_probe(Node node) {
    return plic_count == std::size(plics) ? "too many interrupt controllers; not used" : plics[plic_count++].init(node);
}

} // namespace lentil::platform
