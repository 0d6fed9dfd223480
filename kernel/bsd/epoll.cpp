// SPDX-License-Identifier: BSD-2-Clause
// Each item stands in its file's wait queues all the time; a wake-up there puts it on the ready list. epoll_wait asks the
// files on that list: level-triggered items stay on it while they are ready, edge-triggered ones until the next wake-up.
#include <bsd/anonymous_file.hpp>
#include <bsd/epoll.hpp>
#include <libkern/dlist.hpp>
#include <libkern/format.hpp>
#include <sched/clock.hpp>
#include <sched/waitq.hpp>

namespace lentil {
namespace {

struct Item;

struct Place : Waiter {
    Item* item = nullptr;
    Waitq* at = nullptr;
};

/// One watched (file, descriptor). w: watch_lock, e: the epoll's lock, r: its ready lock.
struct Item {
    static constexpr const char* zone_name = "epoll_items";
    static constexpr unsigned place_max = 4;

    Epoll* epoll = nullptr;
    File* file = nullptr; ///< not counted: the file's end removes the item
    int fd = -1;
    uint32_t events = 0;         ///< e
    uint64_t data = 0;           ///< e
    bool ready = false;          ///< r; on the ready list
    DlistLinks<Item> ready_link; ///< r
    DlistLinks<Item> item_link;  ///< e and w
    DlistLinks<Item> watch_link; ///< w
    Place places[place_max];     ///< e
    unsigned place_count = 0;    ///< e
};

/// Registers an item for good where a file's readiness shows.
class Registration final : public PollTable {
public:
    explicit Registration(Item& item) : item_(item) {}
    void add(Waitq& queue) override;

private:
    Item& item_;
};

constexpr size_t watch_chains = 64;
using WatchChain = Dlist<Item, &Item::watch_link>;
constinit Mutex<Rank::epoll_watch> watch_lock;
constinit WatchChain watched_files[watch_chains];
WatchChain& chain_of(const File& file) { return watched_files[reinterpret_cast<uintptr_t>(&file) / 64 % watch_chains]; }

} // namespace

class Epoll final : public AnonymousFile {
public:
    static constexpr const char* zone_name = "epoll_files";
    Epoll() : AnonymousFile(open_flags::read_write, "eventpoll") {}
    ~Epoll() override {
        MutexGuard watch(watch_lock);
        while (Item* item = items_.first())
            remove(*item);
    }
    void dispose() override { zone_delete(this); }

    Result<size_t> read(Uio&) override { return Errno::inval; }
    Result<size_t> write(Uio&) override { return Errno::inval; }
    uint32_t poll(uint32_t events, PollTable* table) override {
        if (table)
            table->add(queue_);
        return has_ready() ? events & (poll_events::in | poll_events::rdnorm) : 0;
    }
    void describe_state(const FormatSink& out) override;
    Epoll* epoll() override { return this; }

    Result<void> add(File& file, int fd, uint32_t events, uint64_t data);
    Result<void> modify(File& file, int fd, uint32_t events, uint64_t data);
    Result<void> remove(File& file, int fd);
    /// watch_lock held.
    void remove(Item& item);
    /// Whether `target` is watched by this one, at any depth. watch_lock held.
    bool reaches(const Epoll& target, unsigned depth);

    struct Collected {
        size_t count = 0;
        bool more = false; ///< some of the ready list was not looked at
    };
    Collected collect(std::span<EpollResult> out);
    bool has_ready() {
        SpinGuard guard(ready_lock_);
        return !ready_.empty();
    }
    Waitq& queue() { return queue_; }

    /// A watched file's queue was woken: the queue's lock is held, interrupts are off.
    static void notify(Waiter& waiter) {
        Item& item = *static_cast<Place&>(waiter).item;
        item.epoll->mark_ready(item);
        item.epoll->queue_.wake_all_nested();
    }

private:
    Item* find(const File& file, int fd) {
        for (Item* i = items_.first(); i; i = items_.next(*i))
            if (i->file == &file && i->fd == fd)
                return i;
        return nullptr;
    }
    void mark_ready(Item& item) {
        SpinGuard guard(ready_lock_);
        if (item.ready)
            return;
        item.ready = true;
        ready_.push_back(item);
    }
    Item* take_ready() {
        SpinGuard guard(ready_lock_);
        Item* item = ready_.pop_front();
        if (item)
            item->ready = false;
        return item;
    }
    static constexpr uint32_t modes =
        epoll_events::exclusive | epoll_events::wakeup | epoll_events::one_shot | epoll_events::edge;
    static uint32_t wanted(const Item& item) { return (item.events & ~modes) | poll_events::err | poll_events::hup; }

    Mutex<Rank::epoll> lock_;
    Dlist<Item, &Item::item_link> items_; ///< changed with watch_lock and lock_ held
    SpinLock<Rank::epoll_ready> ready_lock_;
    Dlist<Item, &Item::ready_link> ready_;
    Waitq queue_;
};

void Epoll::describe_state(const FormatSink& out) {
    MutexGuard watch(watch_lock); // the files stay as long as their items
    for (Item* i = items_.first(); i; i = items_.next(*i)) {
        const Result<FileStat> st = i->file->stat();
        // What can be watched has no position.
        out.add("tfd: {:8} events: {:8x} data: {:16x}  pos:0 ino:{:x} sdev:{:x}\n", i->fd,
                i->events | poll_events::err | poll_events::hup, i->data, st ? st->inode : 0, st ? st->device : 0);
    }
}

void Registration::add(Waitq& queue) {
    // More queues than any kind of file has; one left out would mean a lost event.
    ASSERT(item_.place_count < Item::place_max);
    Place& place = item_.places[item_.place_count++];
    place.item = &item_;
    place.at = &queue;
    place.notify = &Epoll::notify;
    queue.add(place);
}

Result<void> Epoll::add(File& file, int fd, uint32_t events, uint64_t data) {
    Item* item = TRY(zone_new<Item>());
    item->epoll = this;
    item->file = &file;
    item->fd = fd;
    item->events = events;
    item->data = data;
    MutexGuard watch(watch_lock);
    Errno failure{};
    if (find(file, fd))
        failure = Errno::exist;
    else if (Epoll* inner = file.epoll(); inner && inner->reaches(*this, 0))
        failure = Errno::loop;
    if (failure != Errno{}) {
        zone_delete(item);
        return failure;
    }
    file.watched.fetch_or(File::watched_by_epoll, std::memory_order_relaxed);
    chain_of(file).push_back(*item);
    MutexGuard guard(lock_);
    items_.push_back(*item);
    Registration registration(*item);
    if (file.poll(wanted(*item), &registration) != 0) {
        mark_ready(*item);
        queue_.wake_all();
    }
    return {};
}

Result<void> Epoll::modify(File& file, int fd, uint32_t events, uint64_t data) {
    MutexGuard watch(watch_lock);
    MutexGuard guard(lock_);
    Item* item = find(file, fd);
    if (!item)
        return Errno::noent;
    if ((events | item->events) & epoll_events::exclusive)
        return Errno::inval;
    item->events = events;
    item->data = data;
    if (file.poll_now(wanted(*item)) != 0) {
        mark_ready(*item);
        queue_.wake_all();
    }
    return {};
}

Result<void> Epoll::remove(File& file, int fd) {
    MutexGuard watch(watch_lock);
    Item* item = find(file, fd);
    if (!item)
        return Errno::noent;
    remove(*item);
    return {};
}

void Epoll::remove(Item& item) {
    {
        MutexGuard guard(lock_);
        for (unsigned i = 0; i < item.place_count; i++)
            item.places[i].at->remove(item.places[i]); // after this no notify runs
        items_.erase(item);
        SpinGuard ready(ready_lock_);
        if (item.ready)
            ready_.erase(item);
    }
    chain_of(*item.file).erase(item);
    zone_delete(&item);
}

bool Epoll::reaches(const Epoll& target, unsigned depth) {
    constexpr unsigned max_depth = 5;
    if (this == &target || depth == max_depth)
        return true;
    for (Item* i = items_.first(); i; i = items_.next(*i))
        if (Epoll* inner = i->file->epoll(); inner && inner->reaches(target, depth + 1))
            return true;
    return false;
}

Epoll::Collected Epoll::collect(std::span<EpollResult> out) {
    constexpr size_t batch = 32;
    RefPtr<File> seen[batch]; // dropped after the lock: the last reference may go here
    Item* again[batch];
    size_t count = 0, levels = 0;
    MutexGuard guard(lock_);
    for (size_t looked = 0; looked < batch && count < out.size(); looked++) {
        Item* item = take_ready();
        if (!item)
            break;
        if (!item->file->try_ref())
            continue; // about to be removed
        seen[looked] = RefPtr<File>::adopt(item->file);
        // A one-shot item that fired has no events left.
        if ((item->events & epoll_events::one_shot) && !(item->events & ~modes))
            continue;
        const uint32_t revents = item->file->poll_now(wanted(*item)) & wanted(*item);
        if (revents == 0)
            continue;
        out[count++] = {revents, item->data};
        if (item->events & epoll_events::one_shot)
            item->events &= modes;
        else if (!(item->events & epoll_events::edge))
            again[levels++] = item;
    }
    const bool more = has_ready();
    for (size_t i = 0; i < levels; i++)
        mark_ready(*again[i]);
    return {count, more};
}

Result<RefPtr<File>> epoll_create() { return make_ref<Epoll>(); }

Result<void> epoll_control(File& epoll_file, EpollOperation operation, File& file, int fd, uint32_t events,
                           uint64_t data) {
    Epoll* epoll = epoll_file.epoll();
    if (!epoll || &epoll_file == &file)
        return Errno::inval;
    switch (operation) {
    case EpollOperation::add: {
        constexpr uint32_t type_mask = 0170000, regular = 0100000, directory = 0040000;
        const uint32_t type = TRY(file.stat()).mode & type_mask;
        if ((type == regular || type == directory) && !file.message_queue()) // those are always ready
            return Errno::perm;
        return epoll->add(file, fd, events, data);
    }
    case EpollOperation::remove: return epoll->remove(file, fd);
    case EpollOperation::modify: return epoll->modify(file, fd, events, data);
    }
    return Errno::inval;
}

Result<size_t> epoll_wait(File& epoll_file, std::span<EpollResult> out, nanos_t deadline_ns) {
    Epoll* epoll = epoll_file.epoll();
    if (!epoll)
        return Errno::inval;
    for (;;) {
        const auto [count, more] = epoll->collect(out);
        if (count > 0)
            return count;
        if (more)
            continue;
        if (deadline_ns <= 0 || (deadline_ns != no_deadline && deadline_ns <= monotonic_ns()))
            return size_t{0};
        const WaitResult result = wait_until(
            epoll->queue(), "epoll", [&] { return epoll->has_ready(); }, Interruptible::yes, deadline_ns);
        if (result == WaitResult::interrupted)
            return Errno::restart_nohand;
    }
}

void epoll_forget(File& file) {
    MutexGuard watch(watch_lock);
    WatchChain& chain = chain_of(file);
    for (Item *i = chain.first(), *next; i; i = next) {
        next = WatchChain::next(*i);
        if (i->file == &file)
            i->epoll->remove(*i);
    }
}

} // namespace lentil
