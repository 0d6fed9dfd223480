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

namespace lentil {

/// Objects of one size. Constant-initialised; registers itself at the first allocation.
class Zone {
public:
    constexpr Zone(const char* name, size_t size, size_t alignment) : name_(name), size_(size), alignment_(alignment) {}
    Zone(const Zone&) = delete;
    Zone& operator=(const Zone&) = delete;

    void* allocate(); ///< nullptr if memory is out
    void free(void* object);
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

/// Memory of any size (size classes up to a page, whole pages above). For buffers and tables of variable size.
void* kmalloc(size_t size);
void kfree(void* memory, size_t size);

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
