// SPDX-License-Identifier: BSD-2-Clause
// The few Boost.Intrusive containers that the kernel uses, behind aliases. They never allocate and never own.
#pragma once

#define BOOST_ENABLE_ASSERT_HANDLER 1
#include <boost/intrusive/list.hpp>
#include <boost/intrusive/rbtree.hpp>
#include <boost/intrusive/set.hpp>

namespace lentil {

namespace bi = boost::intrusive;

/// A link that asserts, when destroyed, that its object left every list.
using ListHook = bi::list_member_hook<bi::link_mode<bi::safe_link>>;
using TreeHook = bi::set_member_hook<bi::link_mode<bi::safe_link>>;

/// Doubly linked list of T through the member hook H; constant-time insert, erase and splice. `size()` counts in
/// linear time.
template<class T, ListHook T::*H>
using List = bi::list<T, bi::member_hook<T, ListHook, H>, bi::constant_time_size<false>>;

/// Red-black tree ordered by `Key` (a type with `operator()(const T&)` giving the key).
template<class T, TreeHook T::*H, class Key>
using Tree = bi::set<T, bi::member_hook<T, TreeHook, H>, bi::key_of_value<Key>, bi::constant_time_size<false>>;

} // namespace lentil
