// SPDX-License-Identifier: BSD-2-Clause
// The whole lock order of the kernel on one page. A lock may be taken only while every lock held has a smaller rank.
#pragma once

#include <cstdint>

namespace lentil {

/// Blocking locks (Mutex) lie below `spin_floor`, spin locks above it: so one comparison catches both a wrong order
/// and sleeping with a spin lock held. Two locks of one rank may be held together only where the entry says in which
/// order (`nested`).
enum class Rank : uint32_t {
    // -- blocking --------------------------------------------------------------------------------------------------
    epoll_watch = 0x02,   ///< which epoll watches which file; all kqueues (two locks, never together)
    epoll = 0x04,         ///< one epoll's items; held while its files are polled
    exec = 0x08,          ///< one execve or credential change at a time per proc
    mount_change = 0x0a,  ///< one change of the mount table at a time
    fs_background = 0x0b, ///< what the kernel itself does with a file system's nodes; unmounting waits for it
    rename = 0x0c,        ///< one directory rename at a time per file system
    file = 0x0e,          ///< offset of an open file: held around the vnode's own operation
    vnode = 0x10,         ///< contents of a directory or file; nested: parent before child, else by address
    writeback = 0x12,     ///< one file's pages on their way to the disk, or its end moved
    fs = 0x14,            ///< a file system's own tables; one change of its metadata at a time
    pipe = 0x18,          ///< pipe and tty buffers' readers and writers
    socket_rights = 0x19, ///< open files on their way through sockets
    tty = 0x1a,
    fd_table = 0x20,
    futex_pi = 0x30, ///< who waits for which lock that inherits priorities; held while user memory is touched
    vm_map = 0x38,   ///< nested: parent before child in fork
    fs_map = 0x3c,   ///< where a file's blocks are: taken by page faults
    vm_object = 0x40,
    // -- spinning --------------------------------------------------------------------------------------------------
    spin_floor = 0x80,
    proc_tree = 0x82,    ///< the process tree: parents, children, groups, sessions, ids, zombies, loans (bsd/proc.hpp)
    mount = 0x84,        ///< the mount table and what covers a directory
    vnode_link = 0x86,   ///< names and parents of nodes
    ipc = 0x87,          ///< all System V objects of a kind; all POSIX message queues
    signal = 0x88,       ///< one proc's signal state and that of its uthreads; nested: never
    socket = 0x8a,       ///< who is connected to whom, and the names of sockets
    socket_queue = 0x8b, ///< what waits in one socket
    cwd = 0x8c,          ///< directories, limits, credentials pointers of one proc
    file_lock = 0x8d,    ///< advisory locks, counters of eventfds
    tty_spin = 0x8e,     ///< input queue filled from interrupts
    pty = 0x8f,          ///< a pty's bytes on the way to its master, who is there; the table of ptys
    task = 0x90,         ///< a task's thread list
    thread_list = 0x92,  ///< list of all threads
    futex = 0x94,        ///< a futex bucket; nested: by address
    fs_buffer = 0x98,    ///< a file system's cache of metadata blocks, its table of nodes; counts of free blocks
    vm_sharers = 0x9c,   ///< which maps share their entries
    name_cache = 0x9e,   ///< entries of the name cache
    pmap = 0xa0,
    kmem = 0xa4,
    reclaim = 0xa6, ///< the list of caches that can give pages back
    zone = 0xa8,
    page_alloc = 0xac,
    waitq = 0xb0,       ///< nested: an epoll's own queue inside the queue that it watches (no circles: bsd/epoll.cpp)
    epoll_ready = 0xb2, ///< an epoll's or kqueue's list of what may be ready, filled by wake-ups
    callout = 0xb4,
    runq = 0xc0, ///< one hart's run queue, and the scheduling state of the threads there; never two
    device = 0xe0,
    console = 0xf0,
};

constexpr bool is_blocking(Rank r) { return r < Rank::spin_floor; }

} // namespace lentil
