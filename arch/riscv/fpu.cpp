// SPDX-License-Identifier: BSD-2-Clause
// Lazy floating point. The kernel never uses the registers, so they stay in the hart until another thread needs them:
// saved when a thread leaves the hart with sstatus.FS dirty, loaded before its next return to user mode if it was
// using them, else at its first floating-point instruction (FS off, illegal instruction).
#include <riscv/hart.hpp>

#include <machine/signal_frame.hpp>

namespace lentil::machine {

extern "C" void riscv_fp_save(FpState*);
extern "C" void riscv_fp_restore(const FpState*);
extern "C" bool riscv_fp_to_user(vaddr_t to);
extern "C" bool riscv_fp_from_user(vaddr_t from);

constinit bool has_fp = false;

namespace {

/// The hart's registers are this thread's newest. Two sides, so that neither a freed thread's address nor another
/// hart's older copy can be taken for it.
bool owns_registers(const ThreadArch& ta) { return ta.hart->fp_owner == &ta && ta.fp_hart == ta.hart->index; }

} // namespace

void fp_init(ThreadArch& ta) {
    ta.fp = {};
    ta.fp_changes++;
    ta.fp_hart = ThreadArch::no_hart;
    ta.frame->set_fs(riscv::fs_off);
}

void fp_save(ThreadArch& ta) {
    const bool irq = irq_save();
    if (ta.frame->fs() == riscv::fs_dirty && owns_registers(ta)) {
        riscv_fp_save(&ta.fp);
        ta.fp_changes++;
        ta.frame->set_fs(riscv::fs_clean);
    }
    irq_restore(irq);
}

void fp_load(ThreadArch& ta) {
    ta.fp_changes++; // by the caller
    ta.fp_hart = ThreadArch::no_hart;
    if (ta.frame->fs() == riscv::fs_off) // the first use loads them
        return;
    ta.frame->set_fs(riscv::fs_clean);
    ta.fp_pending = 1;
}

void fp_expect(ThreadArch& ta) {
    if (!has_fp)
        return;
    ta.frame->set_fs(riscv::fs_clean);
    ta.fp_pending = 1;
}

bool fp_to_user(ThreadArch& ta, vaddr_t to) {
    const bool irq = irq_save();
    const bool done = ta.frame->fs() != riscv::fs_off && owns_registers(ta) && riscv_fp_to_user(to);
    irq_restore(irq);
    if (done) [[likely]]
        return true;
    fp_save(ta);
    return user_write(to, &ta.fp, sizeof ta.fp) == sizeof ta.fp;
}

bool fp_from_user(ThreadArch& ta, vaddr_t from) {
    const bool irq = irq_save();
    const bool direct = ta.frame->fs() != riscv::fs_off && owns_registers(ta);
    const bool done = direct && riscv_fp_from_user(from);
    if (direct)
        ta.frame->set_fs(riscv::fs_dirty); // `fp` is older
    irq_restore(irq);
    if (done) [[likely]]
        return true;
    fp_save(ta); // what is in the hart's registers must not be saved over what comes now
    if (user_read(&ta.fp, from, sizeof ta.fp) != sizeof ta.fp)
        return false;
    ta.fp.fcsr &= 0xff;
    fp_load(ta);
    return true;
}

bool fp_unchanged(const ThreadArch& ta, uint32_t mark) {
    return ta.fp_changes == mark && ta.frame->fs() != riscv::fs_dirty;
}

void fp_leave(ThreadArch& ta) {
    if (!owns_registers(ta))
        return;
    if (ta.frame->fs() == riscv::fs_dirty) {
        fp_save(ta);
        ta.fp_pending = 1;
    } else // not used since it was loaded: next time wait for the first use
        ta.frame->set_fs(riscv::fs_off);
}

void fp_enter_user(ThreadArch& ta, Trapframe& frame) {
    ta.fp_pending = 0;
    if (owns_registers(ta)) {
        if (frame.fs() == riscv::fs_off)
            frame.set_fs(riscv::fs_clean);
    } else if (frame.fs() != riscv::fs_off) {
        riscv_fp_restore(&ta.fp);
        ta.hart->fp_owner = &ta;
        ta.fp_hart = ta.hart->index;
        frame.set_fs(riscv::fs_clean);
    }
}

bool fp_first_use(Trapframe& frame) {
    if (!has_fp || frame.fs() != riscv::fs_off)
        return false;
    frame.set_fs(riscv::fs_clean);
    arch_of(current_thread()).fp_pending = 1;
    return true;
}

} // namespace lentil::machine
