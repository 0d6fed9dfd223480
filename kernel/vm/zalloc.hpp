// SPDX-License-Identifier: BSD-2-Clause
// Zones: typed allocators with per-hart caches. Every kernel object comes from one, so that /proc/lentil/objects can
// count what is alive.
#pragma once

#include <new>
#include <span>
#include <utility>

#include <libkern/intrusive.hpp>
#include <libkern/refptr.hpp>
#include <libkern/result.hpp>
#include <sync/spinlock.hpp>
#include <vm/poison.hpp>

namespace lentil {

/// Objects of one size. Constant-initialised; registers itself at the first allocation.
class Zone {
public:
    constexpr Zone(const char* name, size_t size, size_t alignment) : name_(name), size_(size), alignment_(alignment) {}
    Zone(const Zone&) = delete;
    Zone& operator=(const Zone&) = delete;

    void* allocate(); ///< nullptr if memory is out
    void free(void* object);
    /// For objects that stay constructed between lives: `kept` says whether this one was given to free_kept(), and is as it
    /// was then. Checked builds keep none.
    void* allocate_kept(bool& kept);
    void free_kept(void* object); ///< which owns nothing: it may also be lost
    uint64_t in_use() const;
    const char* name() const { return name_; }
    size_t size() const { return size_; }

    struct Slab;
    struct HartCache;

private:
    friend struct ZoneInternals;
    const char* name_;
    size_t size_, alignment_;
    SpinLock<Rank::zone> lock_;
    Slab* partial_ = nullptr;               ///< slabs with free objects, empty ones last
    uint32_t empty_slabs_ = 0;              ///< how many of them hold no object
    uint32_t stride_ = 0, cache_limit_ = 0; ///< bytes from object to object; objects a hart may keep
    std::atomic<HartCache*> caches_{nullptr};
    std::atomic<int64_t> in_use_{0}; ///< what was not counted in a hart's cache
    std::atomic<uint32_t> registered_{0};
    Zone* next_ = nullptr; ///< list of all zones
};

/// The zone of a type, named by `T::zone_name`. Types of one template instantiation each have their own.
template<class T>
inline constinit Zone zone_of{T::zone_name, sizeof(T), alignof(T)};

/// Constructs a T in its zone; nomem if there is no memory. Constructors cannot fail.
template<class T, class... A>
Result<T*> zone_new(A&&... args) {
    void* memory = zone_of<T>.allocate();
    if (!memory)
        return Errno::nomem;
    return new (memory) T(std::forward<A>(args)...);
}
template<class T>
void zone_delete(T* object) {
    object->~T();
    zone_of<T>.free(object);
}

/// Memory of any size (size classes up to a page, whole pages above). For buffers and tables of variable size.
void* kmalloc(size_t size);
void kfree(void* memory, size_t size);

[[noreturn]] void zone_report_stale(const char* zone, size_t at);
/// Whether two objects of `size` bytes look the same, but for bytes where `blank_a` and `blank_b` (new ones, made in memory full of
/// 0 and of 1 bits) tell that a constructor leaves them alone; what points into an object counts by its place in there. Returns
/// the first offset that differs, or `size`.
size_t zone_first_difference(const void* object, const void* blank_a, const void* blank_b, size_t size);
/// Two new ones to compare with, made once in a checked build.
template<class T>
struct Blanks {
    alignas(T) static inline unsigned char storage[2][sizeof(T)];
    static inline constinit std::atomic<uint32_t> state{0}; ///< 2 once they are made
};
/// Panics unless renew() left `object` as a new one.
template<class T>
void zone_check_renewed(T* object) {
    using B = Blanks<T>;
    uint32_t none = 0;
    if (B::state.compare_exchange_strong(none, 1)) {
        for (int i = 0; i < 2; i++) {
            __builtin_memset(B::storage[i], i == 0 ? 0 : 0xff, sizeof(T));
            new (B::storage[i]) T;
        }
        B::state.store(2);
    }
    if (B::state.load() != 2)
        return;
    const size_t at = zone_first_difference(object, B::storage[0], B::storage[1], sizeof(T));
    if (at != sizeof(T))
        zone_report_stale(T::zone_name, at);
}

/// A new T, or one that zone_keep() took: `T::renew()` left that like a new one. nomem.
template<class T>
Result<T*> zone_new_or_kept() {
    bool kept = false;
    void* memory = zone_of<T>.allocate_kept(kept);
    if (!memory)
        return Errno::nomem;
    return kept ? static_cast<T*>(memory) : new (memory) T;
}
template<class T>
void zone_keep(T* object) {
    object->renew();
    if constexpr (checks_enabled || has_poison) {
        zone_check_renewed(object);
        zone_delete(object); // whoever still uses it is found
    } else {
        zone_of<T>.free_kept(object);
    }
}

/// Base for counted objects that live in their own zone: `struct Thing : ZonedRefCounted<Thing>`.
template<class T>
class ZonedRefCounted : public RefCounted<T> {
public:
    void last_unref() { zone_delete(static_cast<T*>(this)); }
};

/// Base for polymorphic counted objects: the destructor runs virtually, `dispose()` knows the zone. A concrete type
/// says `void dispose() override { zone_delete(this); }`.
template<class Root>
class PolymorphicRefCounted : public RefCounted<Root> {
public:
    virtual void dispose() = 0;
    void last_unref() { dispose(); }

protected:
    PolymorphicRefCounted() = default;
    ~PolymorphicRefCounted() = default; // dispose() knows the type
};

template<class T, class... A>
Result<RefPtr<T>> make_ref(A&&... args) {
    T* object = TRY(zone_new<T>(std::forward<A>(args)...));
    return RefPtr<T>::adopt(object);
}

/// An owned buffer of trivially copyable elements from kmalloc.
template<class T>
class Buffer {
public:
    Buffer() = default;
    Buffer(Buffer&& o) noexcept : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)) {}
    Buffer& operator=(Buffer&& o) noexcept {
        std::swap(data_, o.data_);
        std::swap(size_, o.size_);
        return *this;
    }
    ~Buffer() {
        if (data_)
            kfree(data_, size_ * sizeof(T));
    }
    /// Zero-initialised.
    static Result<Buffer> create(size_t count) {
        Buffer b = TRY(create_uninitialized(count));
        if (count > 0)
            __builtin_memset(static_cast<void*>(b.data_), 0, count * sizeof(T));
        return b;
    }
    /// For who writes each element before it is read.
    static Result<Buffer> create_uninitialized(size_t count) {
        Buffer b;
        if (count == 0)
            return b;
        if (count > SIZE_MAX / sizeof(T))
            return Errno::nomem;
        b.data_ = static_cast<T*>(kmalloc(count * sizeof(T)));
        if (!b.data_)
            return Errno::nomem;
        b.size_ = count;
        return b;
    }
    T* data() { return data_; }
    const T* data() const { return data_; }
    size_t size() const { return size_; }
    T& operator[](size_t i) { return data_[i]; }
    const T& operator[](size_t i) const { return data_[i]; }
    std::span<T> span() { return {data_, size_}; }
    T* begin() { return data_; }
    T* end() { return data_ + size_; }

private:
    T* data_ = nullptr;
    size_t size_ = 0;
};

/// Drops unused clean pages of file caches, gives empty slabs and what the caches of this hart hold back to the page allocator. No lock of Rank::zone or above
/// may be held.
void zone_reclaim();

/// Calls `visit(name, object_size, in_use)` for every zone.
void for_each_zone(void (*visit)(const char* name, size_t size, uint64_t in_use, void* context), void* context);

} // namespace lentil
