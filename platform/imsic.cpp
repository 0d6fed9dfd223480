// SPDX-License-Identifier: BSD-2-Clause
// Interrupt files (incoming message-signalled interrupt controllers; RISC-V Advanced Interrupt Architecture 1.0, chapter 3):
// the boot hart's takes all messages.
#include <algorithm>
#include <bit>

#include <machine/message_interrupts.hpp>
#include <platform/interrupts.hpp>

namespace lentil::platform {

namespace {

constexpr uint64_t file_bytes = 0x1000;

class Imsic final : public InterruptController {
public:
    const char* init(Node tree_node);
    bool enable(uint32_t, uint32_t) override { return false; } // devices do not name it
    void handle() override;
    std::optional<Message> add(MessageSender& sender, uint32_t number);

private:
    struct Sender {
        MessageSender* sender = nullptr;
        uint32_t number = 0;
    };
    Sender senders_[64]; ///< by identity
    uint32_t identities_ = 0;
    uint32_t next_identity_ = 1;
    uint32_t hart_number_ = 0;
};

const char* Imsic::init(Node tree_node) {
    const auto context = supervisor_context(tree_node);
    const auto count = tree_node.cell("riscv,num-ids");
    if (!context || context->hart != machine::boot_info.boot_hart || !count)
        return "it has no interrupt file for the boot hart";
    // Files lie one behind the other, a group of them in each region; harts are numbered by group and place.
    const uint32_t guest_bits = tree_node.cell("riscv,guest-index-bits").value_or(0);
    const unsigned harts = tree_node.cell_count("interrupts-extended") / 2;
    const uint32_t hart_bits =
        tree_node.cell("riscv,hart-index-bits").value_or(static_cast<uint32_t>(std::bit_width(harts - 1)));
    if (guest_bits > 16 || hart_bits > 14)
        return "bad device tree node (riscv,guest-index-bits or riscv,hart-index-bits)";
    unsigned place = context->number, group = 0;
    for (;; group++) {
        const auto region = tree_node.reg(group);
        if (!region)
            return "bad device tree node (reg)";
        const uint64_t files = region->size / (file_bytes << guest_bits);
        if (place < files)
            break;
        place -= static_cast<unsigned>(files);
    }
    hart_number_ = group << hart_bits | place;
    node = tree_node;
    hart = context->hart;
    identities_ = *count;
    machine::message_interrupts_init();
    interrupt_controller_add(*this);
    return nullptr;
}

std::optional<Message> Imsic::add(MessageSender& sender, uint32_t number) {
    const uint32_t identity = next_identity_;
    if (identity > identities_ || identity >= std::size(senders_))
        return std::nullopt;
    next_identity_++;
    senders_[identity] = {&sender, number};
    machine::message_interrupt_enable(identity);
    return Message{identity, hart_number_};
}

void Imsic::handle() {
    while (const uint32_t identity = machine::message_interrupt_take())
        if (identity < std::size(senders_) && senders_[identity].sender)
            senders_[identity].sender->received(senders_[identity].number);
}

constinit Imsic the_imsic;
constinit bool found = false;

} // namespace

std::optional<Message> message_for(MessageSender& sender, uint32_t number) {
    return found ? the_imsic.add(sender, number) : std::nullopt;
}

const char* imsic_probe(Node node) {
    if (!serves_supervisors(node))
        return nullptr; // the machine level's
    if (found)
        return "a second set of interrupt files; not used";
    const char* const complaint = the_imsic.init(node);
    found = !complaint;
    return complaint;
}

} // namespace lentil::platform
