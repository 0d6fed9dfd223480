// SPDX-License-Identifier: BSD-2-Clause
// Open terminals: the console, /dev/tty, the slaves of ptys.
#pragma once

#include <bsd/tty.hpp>
#include <vfs/device.hpp>

namespace lentil {

class TtyFile final : public DeviceFile {
public:
    static constexpr const char* zone_name = "tty_files";
    /// io if the terminal refuses (Tty::use). What opening means for the caller's session is the caller's business.
    static Result<RefPtr<File>> open(Vnode& node, uint32_t flags, Tty& tty, TtyName name) {
        RefPtr<TtyFile> file = TRY(make_ref<TtyFile>(node, flags, tty, name));
        TRY(tty.use());
        file->used_ = true;
        return RefPtr<File>(std::move(file));
    }
    TtyFile(Vnode& node, uint32_t flags_value, Tty& tty, TtyName name)
        : DeviceFile(node, flags_value), tty_(&tty), name_(name) {}
    ~TtyFile() override {
        if (used_)
            tty_->unuse();
    }
    void dispose() override { zone_delete(this); }
    Result<size_t> read(Uio& uio) override { return tty_->read(uio, nonblocking()); }
    Result<size_t> write(Uio& uio) override { return tty_->write(uio, nonblocking()); }
    Result<uint64_t> ioctl(uint32_t command, uint64_t argument) override { return tty_->ioctl(command, argument); }
    uint32_t poll(uint32_t events, PollTable* table) override { return tty_->poll(events, table); }
    Terminal terminal() override { return {tty_.get(), name_}; }

private:
    const RefPtr<Tty> tty_;
    const TtyName name_;
    bool used_ = false; ///< the terminal counts it
};

/// /dev/ptmx and /dev/pts/ptmx: a new pty's master.
Result<RefPtr<File>> ptmx_open(Vnode& node, uint32_t flags);

} // namespace lentil
