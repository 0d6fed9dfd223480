// SPDX-License-Identifier: BSD-2-Clause
// Room for a value that is assigned before it is read, in objects that are made too often to clear what nobody looks at.
#pragma once

namespace lentil {

template<class T>
union Uninitialized {
    T value;
    Uninitialized() {}
};

} // namespace lentil
