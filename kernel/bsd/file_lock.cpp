// SPDX-License-Identifier: BSD-2-Clause
// One table of all locks, hashed by node. Locks are rare and short-lived, so one spin lock guards it.
#include <algorithm>

#include <bsd/file_lock.hpp>
#include <libkern/dlist.hpp>
#include <sched/waitq.hpp>

namespace lentil {
namespace {

/// One held lock. The node is not counted: every owner keeps it open, and its locks go before it does.
struct Record {
    static constexpr const char* zone_name = "file_locks";
    DlistLinks<Record> link;
    const FsNode* node = nullptr;
    LockRequest lock;
};

/// A sleeping request, for finding circles.
struct Waiting {
    DlistLinks<Waiting> link;
    const void* owner = nullptr;
    const void* blocked_by = nullptr;
};

using Chain = Dlist<Record, &Record::link>;
constexpr size_t chain_count = 64;

constinit SpinLock<Rank::file_lock> table_lock;
constinit Chain chains[chain_count];
constinit Dlist<Waiting, &Waiting::link> sleepers;

Waitq& released() {
    static constinit Waitq queue;
    return queue;
}

Chain& chain_of(const FsNode* node) { return chains[reinterpret_cast<uintptr_t>(node) / 64 % chain_count]; }

bool overlap(const LockRequest& a, const LockRequest& b) { return a.start <= b.end && b.start <= a.end; }

const Record* find_conflict(const FsNode* node, const LockRequest& request) {
    for (const Record* h = chain_of(node).first(); h; h = Chain::next(*h))
        if (h->node == node && h->lock.kind == request.kind && h->lock.owner != request.owner &&
            overlap(h->lock, request) && (h->lock.type == LockType::write || request.type == LockType::write))
            return h;
    return nullptr;
}

/// Whether waiting for `owner` means waiting for `self` in the end.
bool waits_for(const void* owner, const void* self) {
    for (unsigned depth = 0; owner && depth < 32; depth++) {
        if (owner == self)
            return true;
        const void* next = nullptr;
        for (const Waiting* w = sleepers.first(); w; w = w->link.next)
            if (w->owner == owner)
                next = w->blocked_by;
        owner = next;
    }
    return false;
}

/// Records for one change: at most two new ones. Whatever is left over goes back.
struct Spare {
    Record* records[2] = {};
    Chain dead;
    ~Spare() {
        for (Record* r : records)
            if (r)
                zone_delete(r);
        while (Record* r = dead.pop_front())
            zone_delete(r);
    }
    Result<void> fill() {
        for (Record*& r : records) {
            Result<Record*> made = zone_new<Record>();
            if (!made.ok())
                return Errno::nolck;
            r = *made;
        }
        return {};
    }
    Record* take() {
        for (Record*& r : records)
            if (r)
                return std::exchange(r, nullptr);
        panic("file locks: no record left");
    }
};

/// Makes `request` true for its owner: nothing is in the way. Own locks in the range are cut, joined or removed.
void apply(const FsNode* node, const LockRequest& request, Spare& spare) {
    Chain& chain = chain_of(node);
    LockRequest wanted = request;
    for (Record *h = chain.first(), *next; h; h = next) {
        next = Chain::next(*h);
        LockRequest& own = h->lock;
        if (h->node != node || own.kind != wanted.kind || own.owner != wanted.owner)
            continue;
        if (own.type == wanted.type) {
            // Joins what touches; `+ 1` cannot overflow where it matters.
            const bool apart = (own.end != UINT64_MAX && own.end + 1 < wanted.start) ||
                               (wanted.end != UINT64_MAX && wanted.end + 1 < own.start);
            if (apart)
                continue;
            wanted.start = std::min(wanted.start, own.start);
            wanted.end = std::max(wanted.end, own.end);
        } else {
            if (!overlap(own, wanted))
                continue;
            const LockRequest before = own;
            if (before.start < wanted.start && before.end > wanted.end) { // a hole in the middle
                own.end = wanted.start - 1;
                Record* rest = spare.take();
                rest->node = node;
                rest->lock = before;
                rest->lock.start = wanted.end + 1;
                chain.push_back(*rest);
                continue;
            }
            if (before.start < wanted.start) {
                own.end = wanted.start - 1;
                continue;
            }
            if (before.end > wanted.end) {
                own.start = wanted.end + 1;
                continue;
            }
        }
        chain.erase(*h);
        spare.dead.push_back(*h);
    }
    if (wanted.type == LockType::unlock)
        return;
    Record* fresh = spare.take();
    fresh->node = node;
    fresh->lock = wanted;
    chain.push_back(*fresh);
}

template<class Match>
unsigned remove_all(Match match, Chain& dead) {
    unsigned n = 0;
    for (Chain& chain : chains)
        for (Record *h = chain.first(), *next; h; h = next) {
            next = Chain::next(*h);
            if (!match(*h))
                continue;
            chain.erase(*h);
            dead.push_back(*h);
            n++;
        }
    return n;
}

} // namespace

namespace {
const FsNode* node_of(File& file) {
    FsNode* const node = file.node();
    return node ? &node->shared() : nullptr;
}
} // namespace

Result<void> file_lock_set(File& file, const LockRequest& request, bool wait) {
    const FsNode* node = node_of(file);
    if (!node)
        return Errno::inval;
    Spare spare;
    TRY(spare.fill());
    Waiting waiting;
    waiting.owner = request.owner;
    Errno failure = Errno::again;
    bool queued = false;
    // One attempt; true ends the wait. Leaves `failure` at 0 where the lock was set.
    auto attempt = [&] {
        SpinGuard guard(table_lock);
        if (queued)
            sleepers.erase(waiting);
        queued = false;
        const Record* conflict = request.type == LockType::unlock ? nullptr : find_conflict(node, request);
        if (!conflict) {
            apply(node, request, spare);
            failure = Errno{};
            return true;
        }
        if (!wait)
            return true;
        if (request.kind == LockKind::record && waits_for(conflict->lock.owner, request.owner)) {
            failure = Errno::deadlk;
            return true;
        }
        waiting.blocked_by = conflict->lock.owner;
        sleepers.push_back(waiting);
        queued = true;
        return false;
    };
    const WaitResult result = wait_until(released(), "file lock", attempt);
    if (queued) {
        SpinGuard guard(table_lock);
        sleepers.erase(waiting);
    }
    if (result == WaitResult::interrupted)
        return Errno::restart_sys;
    if (failure != Errno{})
        return failure;
    released().wake_all(); // an unlock or a weaker lock lets others in
    return {};
}

LockRequest file_lock_test(File& file, const LockRequest& request) {
    LockRequest none = request;
    none.type = LockType::unlock;
    const FsNode* node = node_of(file);
    if (!node)
        return none;
    SpinGuard guard(table_lock);
    const Record* conflict = find_conflict(node, request);
    return conflict ? conflict->lock : none;
}

bool file_lock_at(size_t index, HeldFileLock& out) {
    const RefPtr<FsNode> before = std::move(out.node); // may be its last: not under the lock
    SpinGuard guard(table_lock);
    for (Chain& chain : chains)
        for (const Record* h = chain.first(); h; h = Chain::next(*h))
            if (index-- == 0) {
                out.lock = h->lock;
                out.node =
                    RefPtr<FsNode>(const_cast<FsNode*>(h->node)); // its owner keeps it as long as the lock is there
                return true;
            }
    return false;
}

void file_locks_closed(FdTable& table, File& file) {
    const FsNode* node = node_of(file);
    if (!node)
        return;
    Spare spare;
    {
        SpinGuard guard(table_lock);
        remove_all(
            [&](const Record& h) {
                return h.node == node && h.lock.owner == &table && h.lock.kind == LockKind::record;
            },
            spare.dead);
    }
    released().wake_all();
}

void file_locks_forget(const void* owner) {
    Spare spare;
    {
        SpinGuard guard(table_lock);
        remove_all([&](const Record& h) { return h.lock.owner == owner; }, spare.dead);
    }
    released().wake_all();
}

} // namespace lentil
