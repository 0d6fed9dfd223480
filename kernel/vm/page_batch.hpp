// SPDX-License-Identifier: BSD-2-Clause
// Single pages, many at a time.
#pragma once

#include <span>

#include <vm/page.hpp>

namespace lentil {

/// As many single pages as page_alloc_raw() would give, at most the span's size, each with a reference; how many.
size_t page_alloc_some(std::span<VmPage*> out);
/// page_unref() of each.
void page_unref_all(std::span<VmPage* const> pages);

} // namespace lentil
