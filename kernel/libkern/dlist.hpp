// SPDX-License-Identifier: BSD-2-Clause
// A doubly linked list whose empty state is all zeros: for lists in constant-initialised objects, which Boost's cannot be.
#pragma once

namespace lentil {

/// A member's links; lives inside T. Zero while the member is in no list (a lone member's are zero too).
template<class T>
struct DlistLinks {
    T* next = nullptr;
    T* previous = nullptr;
};

/// List of T through the member `M`. Owns nothing, allocates nothing; every operation but iteration is O(1).
template<class T, DlistLinks<T> T::*M>
class Dlist {
public:
    constexpr Dlist() = default;
    Dlist(const Dlist&) = delete;
    Dlist& operator=(const Dlist&) = delete;

    bool empty() const { return first_ == nullptr; }
    T* first() const { return first_; }
    T* last() const { return last_; }
    static T* next(const T& member) { return (member.*M).next; }

    void push_back(T& member) {
        member.*M = {nullptr, last_};
        (last_ ? (last_->*M).next : first_) = &member;
        last_ = &member;
    }
    void push_front(T& member) {
        member.*M = {first_, nullptr};
        (first_ ? (first_->*M).previous : last_) = &member;
        first_ = &member;
    }
    /// In front of `place`; nullptr: at the end.
    void insert_before(T* place, T& member) {
        if (!place)
            return push_back(member);
        if (!(place->*M).previous)
            return push_front(member);
        member.*M = {place, (place->*M).previous};
        ((place->*M).previous->*M).next = &member;
        (place->*M).previous = &member;
    }
    /// `member` must be in this list.
    void erase(T& member) {
        DlistLinks<T>& links = member.*M;
        (links.previous ? (links.previous->*M).next : first_) = links.next;
        (links.next ? (links.next->*M).previous : last_) = links.previous;
        links = {};
    }
    /// erase() of the only member.
    void forget_only() { first_ = last_ = nullptr; }
    T* pop_front() {
        T* member = first_;
        if (member)
            erase(*member);
        return member;
    }

private:
    T* first_ = nullptr;
    T* last_ = nullptr;
};

} // namespace lentil
