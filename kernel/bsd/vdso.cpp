// SPDX-License-Identifier: BSD-2-Clause
#include <vdso_image.hpp>

#include <bsd/vdso.hpp>
#include <sched/clock.hpp>

namespace lentil {

static_assert(sizeof vdso_image <= LENTIL_VDSO_FREE && LENTIL_VDSO_CLOCK_PAGE == page_size &&
              sizeof(lentil_clock_page) <= page_size);

namespace {
constinit VmObject* object = nullptr; // for ever
constinit std::atomic<lentil_clock_page*> page{nullptr};
} // namespace

void vdso_init() {
    object = MUST(VmObject::create(vdso_bytes)).release();
    MUST(object->write_kernel(0, vdso_image, sizeof vdso_image));
    VmPage* const clocks = MUST(object->page(1));
    clock_publish(*static_cast<lentil_clock_page*>(page_data(clocks)));
    page.store(static_cast<lentil_clock_page*>(page_data(clocks)), std::memory_order_release);
}

lentil_clock_page* vdso_page() { return page.load(std::memory_order_acquire); }

VmObject* vdso_object() { return object; }

} // namespace lentil
