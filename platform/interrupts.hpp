// SPDX-License-Identifier: BSD-2-Clause
// What drivers of interrupt controllers share. A board may have several controllers (one for each socket); each of them
// sends all that it has to one hart.
#pragma once

#include <optional>

#include <platform/driver.hpp>

namespace lentil::platform {

inline constexpr uint32_t supervisor_external = 9; ///< interrupt number at the hart's own controller

class InterruptController {
public:
    static constexpr uint32_t most_sources = 256;

    /// Lets the source through from now on; `trigger` as the device tree has it. False: no such source.
    virtual bool enable(uint32_t number, uint32_t trigger) = 0;
    /// Dispatches all that pends. On its hart, interrupts off.
    virtual void handle() = 0;
    /// Its hart was started, by firmware that may have undone what was set up for it before. On that hart, interrupts off.
    virtual void hart_is_up() {}

    Node node;
    unsigned hart = 0; ///< dense index

    // For interrupts.cpp.
    uint8_t handlers[most_sources] = {}; ///< by source: place in the table of handlers, 0 if it has none
    InterruptController* next = nullptr;

protected:
    /// Calls the handler of a source.
    void dispatch(uint32_t number);
    ~InterruptController() = default;
};

/// From the probe of an interrupt controller that is ready; node and hart are set.
void interrupt_controller_add(InterruptController& controller);
/// Entry n of a controller's "interrupts-extended" names the interrupt of a hart that the controller's context n drives:
/// gives the n of the boot hart, or of another of ours, among the supervisors' of the first `limit`.
struct HartContext {
    unsigned number; ///< n
    unsigned hart;   ///< dense index
};
std::optional<HartContext> supervisor_context(Node controller, unsigned limit = ~0U);
/// Whether any entry is one of a supervisor, ours or not.
bool serves_supervisors(Node controller);

/// Messages to the boot hart's interrupt file, for controllers that send such.
class MessageSender {
public:
    /// The message has come.
    virtual void received(uint32_t number) = 0;

protected:
    ~MessageSender() = default;
};
struct Message {
    uint32_t identity; ///< what is to be sent
    uint32_t hart;     ///< as the interrupt files number harts
};
/// A message that `received(number)` will be called for; none if no interrupt files were found or all are in use.
std::optional<Message> message_for(MessageSender& sender, uint32_t number);

} // namespace lentil::platform
