// SPDX-License-Identifier: BSD-2-Clause
// Counted ownership: RefCounted<T> is the count inside an object, RefPtr<T> an owner of one count.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <libkern/assert.hpp>

namespace lentil {

/// Base of every shared object. Starts with one reference, which RefPtr::adopt takes over. When the last goes,
/// `T::last_unref()` is called; the default in `Zoned<T>` (vm/zalloc.hpp) destroys the object and returns it to its zone.
template<class T>
class RefCounted {
public:
    RefCounted() = default;
    RefCounted(const RefCounted&) = delete;
    RefCounted& operator=(const RefCounted&) = delete;

    void ref() const { refs_.fetch_add(1, std::memory_order_relaxed); }

    void unref() const {
        if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1)
            const_cast<T*>(static_cast<const T*>(this))->last_unref();
    }

    /// Takes a reference unless the count is zero already: for look-ups in tables that own none.
    bool try_ref() const {
        uint32_t n = refs_.load(std::memory_order_relaxed);
        while (n != 0)
            if (refs_.compare_exchange_weak(n, n + 1, std::memory_order_acquire, std::memory_order_relaxed))
                return true;
        return false;
    }

    uint32_t ref_count() const { return refs_.load(std::memory_order_acquire); }

protected:
    ~RefCounted() = default;
    /// Of an object that lives again: the one reference of a new one.
    void renew_count() { refs_.store(1, std::memory_order_relaxed); }

private:
    mutable std::atomic<uint32_t> refs_{1};
};

/// Owns one reference to a T, or nothing.
template<class T>
class RefPtr {
public:
    constexpr RefPtr() = default;
    constexpr RefPtr(std::nullptr_t) {}
    explicit RefPtr(T* p) : p_(p) {
        if (p_)
            p_->ref();
    }
    RefPtr(const RefPtr& o) : RefPtr(o.p_) {}
    constexpr RefPtr(RefPtr&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
    template<class U>
    requires std::is_convertible_v<U*, T*> RefPtr(const RefPtr<U>& o) : RefPtr(o.get()) {}
    template<class U>
    requires std::is_convertible_v<U*, T*> RefPtr(RefPtr<U>&& o)
    noexcept : p_(o.release()) {}
    ~RefPtr() {
        if (p_)
            p_->unref();
    }

    RefPtr& operator=(RefPtr o) noexcept {
        std::swap(p_, o.p_);
        return *this;
    }

    /// Takes over a reference that the caller holds.
    static RefPtr adopt(T* p) {
        RefPtr r;
        r.p_ = p;
        return r;
    }
    /// Gives the reference to the caller.
    [[nodiscard]] T* release() { return std::exchange(p_, nullptr); }
    void reset() { *this = RefPtr(); }

    T* get() const { return p_; }
    T* operator->() const { return p_; }
    T& operator*() const { return *p_; }
    explicit operator bool() const { return p_ != nullptr; }
    friend bool operator==(const RefPtr& a, const RefPtr& b) { return a.p_ == b.p_; }

private:
    T* p_ = nullptr;
};

/// Uses an object for a while: with a reference of its own, or with that of somebody who keeps it meanwhile.
template<class T>
class [[nodiscard]] Hold {
public:
    constexpr Hold() = default;
    Hold(RefPtr<T> own) : p_(own.release()), counted_(true) {}
    static Hold borrowed(T* p) {
        Hold h;
        h.p_ = p;
        return h;
    }
    Hold(Hold&& o) noexcept : p_(std::exchange(o.p_, nullptr)), counted_(o.counted_) {}
    Hold& operator=(Hold&& o) noexcept {
        std::swap(p_, o.p_);
        std::swap(counted_, o.counted_);
        return *this;
    }
    ~Hold() {
        if (counted_ && p_)
            p_->unref();
    }
    T* get() const { return p_; }
    T* operator->() const { return p_; }
    T& operator*() const { return *p_; }
    explicit operator bool() const { return p_ != nullptr; }
    /// A reference to keep.
    operator RefPtr<T>() const { return RefPtr<T>(p_); }

private:
    T* p_ = nullptr;
    bool counted_ = false;
};

template<class T>
RefPtr<T> ref(T& object) {
    return RefPtr<T>(&object);
}
template<class T>
RefPtr<T> ref(T* object) {
    return RefPtr<T>(object);
}

} // namespace lentil
