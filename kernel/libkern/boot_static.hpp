// SPDX-License-Identifier: BSD-2-Clause
// A global whose type has no constant constructor (Boost's lists): storage now, construction by a boot step.
#pragma once

#include <new>

namespace lentil {

/// `construct()` once at boot, before any use; never destroyed. There is no order of constructors to get wrong.
template<class T>
class BootStatic {
public:
    void construct() { new (storage_) T(); }
    T& operator*() { return *reinterpret_cast<T*>(storage_); }
    T* operator->() { return reinterpret_cast<T*>(storage_); }

private:
    alignas(T) unsigned char storage_[sizeof(T)] = {};
};

} // namespace lentil
