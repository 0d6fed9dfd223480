// SPDX-License-Identifier: BSD-2-Clause
// A serial peripheral bus with one device on it, as the protocol of SD cards needs it. Builds on the host too.
#pragma once

#include <libkern/types.hpp>

namespace lentil::platform {

class SpiBus {
public:
    /// At most this many bits a second; the hardware rounds down.
    virtual void set_clock(uint32_t hz) = 0;
    /// The device listens from now on, or no longer.
    virtual void select(bool on) = 0;
    /// Clocks out `bytes` times eight ones with the device not selected.
    virtual void idle(unsigned bytes) = 0;
    /// Sends n bytes (ones if `out` is null) and stores the n that came meanwhile, unless `in` is null.
    virtual void exchange(const uint8_t* out, uint8_t* in, size_t n) = 0;
    /// The time, and letting some of it pass (may sleep).
    virtual nanos_t now() = 0;
    virtual void pause(nanos_t ns) = 0;

protected:
    ~SpiBus() = default;
};

} // namespace lentil::platform
