// SPDX-License-Identifier: BSD-2-Clause
// The few Boost.Intrusive containers that the kernel uses, behind aliases. They never allocate and never own.
#pragma once

#include <libkern/assert.hpp>

// That a hook is in no list twice, and in none when it ends, is checked always; what only a mistake in Boost could break is not.
#define BOOST_INTRUSIVE_SAFE_HOOK_DEFAULT_ASSERT ASSERT
#define BOOST_INTRUSIVE_SAFE_HOOK_DESTRUCTOR_ASSERT ASSERT
#define BOOST_INTRUSIVE_INVARIANT_ASSERT DEBUG_ASSERT
#define BOOST_ENABLE_ASSERT_HANDLER 1
#include <boost/intrusive/list.hpp>
#include <boost/intrusive/rbtree.hpp>
#include <boost/intrusive/rbtree_algorithms.hpp>
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
