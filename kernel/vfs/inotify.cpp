// SPDX-License-Identifier: BSD-2-Clause
// inotify. A watch is on the list of its inotify and on that of its node; both lists, and all queues, are guarded by one
// spin lock. A watch keeps its node as long as that has a name: after that it only waits for the node's end, which is what
// IN_DELETE_SELF tells.
#include <algorithm>
#include <cstring>

#include <bsd/anonymous_file.hpp>
#include <bsd/proc.hpp>
#include <libkern/dlist.hpp>
#include <libkern/format.hpp>
#include <vfs/inotify.hpp>
#include <vfs/lookup.hpp>
#include <vfs/mount.hpp>

namespace lentil {

constinit std::atomic<uint32_t> inotify_max_instances{128}, inotify_max_watches{65536}, inotify_max_events{16384};
constinit std::atomic<uint32_t> fs_watches{0};

using namespace inotify_events;

struct FsWatch {
    static constexpr const char* zone_name = "inotify_watches";
    class Inotify* owner = nullptr;
    Vnode* node = nullptr;
    int number = 0;
    uint32_t mask = 0;
    bool keeps = false;  ///< has a reference to the node
    bool paused = false; ///< had one (InotifyPause)
    FsWatch* next_of_node = nullptr;
    DlistLinks<FsWatch> owner_link, all_link;
};

namespace {

constinit SpinLock<Rank::file_lock> watch_lock;
constinit Dlist<FsWatch, &FsWatch::all_link> all_watches;
constinit std::atomic<uint32_t> last_cookie{0};

struct Event {
    DlistLinks<Event> link;
    int32_t watch = 0;
    uint32_t mask = 0, cookie = 0, length = 0;
    char name[]; // `length` bytes, no terminator

    static constexpr size_t head_bytes = 16; ///< struct inotify_event without its name
    /// As user mode sees it: the name ends with zeros, aligned for the next event.
    size_t padded_name() const { return length == 0 ? 0 : align_up(size_t{length} + 1, head_bytes); }
    size_t size() const { return head_bytes + padded_name(); }
    std::string_view text() const { return {name, length}; }
};

Event* event_create(int watch, uint32_t mask, uint32_t cookie, std::string_view name) {
    auto* event = static_cast<Event*>(kmalloc(sizeof(Event) + name.size()));
    if (!event)
        return nullptr;
    new (event) Event;
    event->watch = watch;
    event->mask = mask;
    event->cookie = cookie;
    event->length = static_cast<uint32_t>(name.size());
    memcpy(event->name, name.data(), name.size());
    return event;
}
void event_delete(Event* event) { kfree(event, sizeof(Event) + event->length); }

} // namespace

class Inotify final : public AnonymousFile {
public:
    static constexpr const char* zone_name = "inotifies";
    explicit Inotify(uint32_t flags_value)
        : AnonymousFile(open_flags::read_only | flags_value, "inotify"), uid_(current_proc().real_uid()),
          most_events_(inotify_max_events.load(std::memory_order_relaxed)) {}
    ~Inotify() override;
    void dispose() override { zone_delete(this); }

    Result<size_t> read(Uio& uio) override;
    Result<size_t> write(Uio&) override { return Errno::badf; }
    Result<off_t> seek(off_t, Whence) override { return 0; } // does nothing, as on Linux
    uint32_t poll(uint32_t events, PollTable* table) override {
        if (table)
            table->add(waitq_);
        return (count_.load(std::memory_order_acquire) != 0 ? poll_events::in | poll_events::rdnorm : 0) & events;
    }
    Result<uint64_t> ioctl(uint32_t command, uint64_t argument) override {
        constexpr uint32_t bytes_readable = 0x541b; // FIONREAD
        if (command != bytes_readable)
            return Errno::notty;
        size_t bytes = 0;
        {
            SpinGuard guard(watch_lock);
            for (const Event* e = events_.first(); e; e = events_.next(*e))
                bytes += e->size();
        }
        TRY(UserPtr<int32_t>(argument).write(static_cast<int32_t>(bytes)));
        return uint64_t{0};
    }
    void describe_state(const FormatSink& out) override;
    Inotify* inotify() override { return this; }

    Result<int> add(Vnode& node, uint32_t mask);
    Result<void> remove(int number);

    // -- watch_lock held --------------------------------------------------------------------------------------------
    void queue_locked(int watch, uint32_t mask, uint32_t cookie, std::string_view name);
    /// Takes `watch` off everything; the caller drops its reference to the node and deletes it.
    void unlink_locked(FsWatch& watch);
    /// Something in the watch's mask happened. True: it was the only one that was asked for, and the watch ended.
    bool tell_locked(FsWatch& watch, uint32_t event, uint32_t cookie, std::string_view name);

    const uid_t uid_;
    DlistLinks<Inotify> link;

private:
    FsWatch* find_locked(int number) {
        FsWatch* w = watches_.first();
        while (w && w->number != number)
            w = watches_.next(*w);
        return w;
    }

    const uint32_t most_events_;
    std::atomic<uint32_t> count_{0};    ///< length of events_
    bool overflowed_ = false;           ///< the event that says so is queued
    int last_number_ = 0;               ///< numbers grow; one that ended is not used again soon
    uint32_t watch_count_ = 0;          ///< length of watches_
    Dlist<Event, &Event::link> events_; ///< oldest first
    Dlist<FsWatch, &FsWatch::owner_link> watches_;
    Waitq waitq_;
    friend uint32_t watches_of_locked(uid_t uid);
};

namespace {
constinit Dlist<Inotify, &Inotify::link> all_inotifies; // watch_lock

/// Drops what watches that were taken off leave behind; linked by next_of_node.
void bury(FsWatch* first) {
    while (FsWatch* watch = first) {
        first = watch->next_of_node;
        if (watch->keeps)
            watch->node->unref();
        zone_delete(watch);
    }
}
} // namespace

uint32_t watches_of_locked(uid_t uid) {
    uint32_t n = 0;
    for (const Inotify* i = all_inotifies.first(); i; i = all_inotifies.next(*i))
        n += i->uid_ == uid ? i->watch_count_ : 0;
    return n;
}

// ---- the queue -------------------------------------------------------------------------------------------------------

void Inotify::queue_locked(int watch, uint32_t mask, uint32_t cookie, std::string_view name) {
    Event* event = nullptr;
    if (count_.load(std::memory_order_relaxed) < most_events_) {
        if (const Event* last = events_.last();
            last && !(last->mask & ignored) && last->watch == watch && last->mask == mask && last->text() == name)
            return; // told already, and nobody could tell them apart
        event = event_create(watch, mask, cookie, name);
    }
    if (!event) { // too many, or no memory
        if (overflowed_)
            return;
        event = event_create(-1, overflow, 0, {});
        if (!event)
            return;
        overflowed_ = true;
    }
    events_.push_back(*event);
    count_.fetch_add(1, std::memory_order_release);
    waitq_.wake_all();
}

Result<size_t> Inotify::read(Uio& uio) {
    size_t done = 0;
    for (;;) {
        Event* event = nullptr;
        {
            SpinGuard guard(watch_lock);
            event = events_.first();
            if (event && event->size() > uio.left())
                return done > 0 ? Result<size_t>(done) : Errno::inval;
            if (event) {
                events_.erase(*event);
                count_.fetch_sub(1, std::memory_order_relaxed);
                if (event->mask & overflow)
                    overflowed_ = false;
            }
        }
        if (!event) {
            if (done > 0)
                return done;
            if (nonblocking())
                return Errno::again;
            if (wait_until(waitq_, "inotify_read", [this] { return count_.load(std::memory_order_acquire) != 0; }) !=
                WaitResult::awoken)
                return Errno::restart_sys;
            continue;
        }
        char text[align_up(name_max + 1, Event::head_bytes)] = {};
        const uint32_t head[] = {static_cast<uint32_t>(event->watch), event->mask, event->cookie,
                                 static_cast<uint32_t>(event->padded_name())};
        static_assert(sizeof head == Event::head_bytes);
        memcpy(text, event->name, std::min<size_t>(event->length, name_max));
        const size_t size = event->size();
        event_delete(event);
        if (const Result<size_t> put = uio.put(head, sizeof head); !put || *put < sizeof head)
            return Errno::fault;
        if (const Result<size_t> put = uio.put(text, size - sizeof head); !put || *put < size - sizeof head)
            return Errno::fault;
        done += size;
    }
}

void Inotify::describe_state(const FormatSink& out) {
    for (int from = 0;;) { // one at a time: looking at a node may sleep
        RefPtr<Vnode> node;
        uint32_t mask = 0;
        {
            SpinGuard guard(watch_lock);
            FsWatch* w = watches_.first();
            while (w && (w->number <= from || !w->node->try_ref()))
                w = watches_.next(*w);
            if (!w)
                return;
            node = RefPtr<Vnode>::adopt(w->node);
            from = w->number;
            mask = w->mask;
        }
        const Result<FileStat> st = node->stat();
        out.add("inotify wd:{:x} ino:{:x} sdev:{:x} mask:{:x} ignored_mask:0\n", from, st ? st->inode : 0,
                st ? st->device : 0, mask & ~one_shot);
    }
}

// ---- watches ---------------------------------------------------------------------------------------------------------

Result<int> Inotify::add(Vnode& node, uint32_t mask) {
    const bool named = TRY(node.stat()).links != 0;
    FsWatch* fresh = TRY(zone_new<FsWatch>());
    const uint32_t kept = mask & (all | excl_unlink | one_shot);
    int number = 0;
    Errno error{};
    {
        SpinGuard guard(watch_lock);
        FsWatch* there = watches_.first();
        while (there && there->node != &node)
            there = watches_.next(*there);
        if (there) {
            if (mask & mask_create)
                error = Errno::exist;
            else
                there->mask = mask & mask_add ? there->mask | kept : kept;
            number = there->number;
        } else if (watches_of_locked(uid_) >= inotify_max_watches.load(std::memory_order_relaxed)) {
            error = Errno::nospc;
        } else {
            number = fresh->number = ++last_number_;
            fresh->owner = this;
            fresh->node = &node;
            fresh->mask = kept;
            fresh->keeps = named;
            if (named)
                node.ref();
            fresh->next_of_node = node.watches.load(std::memory_order_relaxed);
            node.watches.store(fresh, std::memory_order_release);
            watches_.push_back(*fresh);
            all_watches.push_back(*fresh);
            watch_count_++;
            fs_watches.fetch_add(1, std::memory_order_release);
            fresh = nullptr;
        }
    }
    if (fresh)
        zone_delete(fresh);
    else if (const Result<FileStat> now = node.stat(); now && now->links == 0) // it lost its name meanwhile
        inotify_detail::lost_name(node);
    if (error != Errno{})
        return error;
    return number;
}

void Inotify::unlink_locked(FsWatch& watch) {
    FsWatch* before = watch.node->watches.load(std::memory_order_relaxed);
    if (before == &watch) {
        watch.node->watches.store(watch.next_of_node, std::memory_order_relaxed);
    } else {
        while (before->next_of_node != &watch)
            before = before->next_of_node;
        before->next_of_node = watch.next_of_node;
    }
    watch.next_of_node = nullptr;
    watches_.erase(watch);
    all_watches.erase(watch);
    watch_count_--;
    fs_watches.fetch_sub(1, std::memory_order_relaxed);
}

bool Inotify::tell_locked(FsWatch& watch, uint32_t event, uint32_t cookie, std::string_view name) {
    queue_locked(watch.number, event, cookie, name);
    if (!(watch.mask & one_shot))
        return false;
    queue_locked(watch.number, ignored, 0, {});
    unlink_locked(watch);
    return true;
}

Result<void> Inotify::remove(int number) {
    FsWatch* watch = nullptr;
    {
        SpinGuard guard(watch_lock);
        watch = find_locked(number);
        if (!watch)
            return Errno::inval;
        queue_locked(number, ignored, 0, {});
        unlink_locked(*watch);
    }
    bury(watch);
    return {};
}

Inotify::~Inotify() {
    for (;;) {
        FsWatch* watch = nullptr;
        {
            SpinGuard guard(watch_lock);
            watch = watches_.first();
            if (!watch) {
                all_inotifies.erase(*this);
                break;
            }
            unlink_locked(*watch);
        }
        bury(watch);
    }
    while (Event* event = events_.pop_front()) // nobody adds to it any more
        event_delete(event);
}

Result<RefPtr<File>> inotify_create(uint32_t flags) {
    RefPtr<Inotify> made = TRY(make_ref<Inotify>(flags & open_flags::nonblock));
    const bool privileged = current_proc().cred()->capable(Capability::sys_resource);
    bool too_many = false;
    {
        SpinGuard guard(watch_lock);
        uint32_t n = 0;
        for (const Inotify* i = all_inotifies.first(); i; i = all_inotifies.next(*i))
            n += i->uid_ == made->uid_;
        too_many = !privileged && n >= inotify_max_instances.load(std::memory_order_relaxed);
        all_inotifies.push_back(*made);
    }
    if (too_many)
        return Errno::mfile;
    return RefPtr<File>(std::move(made));
}

Result<int> inotify_add(File& file, Vnode& node, uint32_t mask) {
    Inotify* const inotify = file.inotify();
    return inotify ? inotify->add(node.real(), mask) : Errno::inval;
}

Result<void> inotify_remove(File& file, int watch) {
    Inotify* const inotify = file.inotify();
    return inotify ? inotify->remove(watch) : Errno::inval;
}

// ---- what happens ------------------------------------------------------------------------------------------------------

namespace {

/// Tells the watches of `node`; `removed`: the file that it is about has no name any more. watch_lock held; watches that
/// ended are put on `dead`.
void tell_node_locked(Vnode& node, uint32_t event, uint32_t cookie, std::string_view name, bool removed,
                      FsWatch*& dead) {
    for (FsWatch *w = node.watches.load(std::memory_order_relaxed), *next = nullptr; w; w = next) {
        next = w->next_of_node;
        if (!(w->mask & event & all) || (removed && (w->mask & excl_unlink)))
            continue;
        if (w->owner->tell_locked(*w, event, cookie, name)) {
            w->next_of_node = dead;
            dead = w;
        }
    }
}

/// The directory and name that an event of an open (or looked at) node is reported with.
struct Place {
    RefPtr<Vnode> directory;
    std::string_view name;
    bool removed = false; ///< the node has no name any more; this is its last known one
};

Place place_of(Vnode& node, const OpenedName* opened, std::span<char> buffer) {
    if (opened) { // by which of its names it was opened, if it still has that
        Vnode& directory = as_vnode(*opened->directory);
        if (const Result<RefPtr<Vnode>> there = directory.lookup(opened->text()); there && there->get() == &node)
            return {ref(directory), opened->text()};
    }
    if (node.mount->root.get() == &node)
        return {};
    if (Result<Vnode::Name> found = node.name(buffer))
        return {std::move(found->directory), {buffer.data(), found->length}};
    const Result<FileStat> st = node.stat();
    const bool removed = st && (st->links == 0 || node.type == VnodeType::directory);
    if (opened && removed)
        return {ref(as_vnode(*opened->directory)), opened->text(), true};
    return {nullptr, {}, removed};
}

} // namespace

void inotify_detail::entry(Vnode& directory, std::string_view name, uint32_t event, uint32_t cookie) {
    if (!directory.watches.load(std::memory_order_relaxed))
        return;
    FsWatch* dead = nullptr;
    {
        SpinGuard guard(watch_lock);
        tell_node_locked(directory, event, cookie, name, false, dead);
    }
    bury(dead);
}

void inotify_detail::node_alone(Vnode& node, uint32_t event) {
    if (node.type == VnodeType::directory && !(event & (move_self | remove_self)))
        event |= is_dir;
    FsWatch* dead = nullptr;
    {
        SpinGuard guard(watch_lock);
        tell_node_locked(node, event, 0, {}, false, dead);
    }
    bury(dead);
}

void inotify_detail::node_and_place(Vnode& seen, const OpenedName* opened, uint32_t event) {
    Vnode& node = seen.real();
    char buffer[name_max + 1];
    const Place place = place_of(node, opened, buffer);
    const bool directory_listens = place.directory && place.directory->watches.load(std::memory_order_relaxed);
    if (!directory_listens && !node.watches.load(std::memory_order_relaxed))
        return;
    const bool of_file = event & (access | modify | open | close_write | close_nowrite);
    if (node.type == VnodeType::directory)
        event |= is_dir;
    FsWatch* dead = nullptr;
    {
        SpinGuard guard(watch_lock);
        if (directory_listens)
            tell_node_locked(*place.directory, event, 0, place.name, place.removed && of_file, dead);
        tell_node_locked(node, event, 0, {}, place.removed && of_file, dead);
    }
    bury(dead);
}

void inotify_detail::opened(File& file, Vnode* directory, std::string_view name) {
    FsNode* const node = file.node();
    if (!node)
        return;
    directory = directory ? &directory->real() : nullptr;
    if (directory && name.size() <= name_max && !file.opened_as) {
        if (auto* record = static_cast<OpenedName*>(kmalloc(sizeof(OpenedName) + name.size()))) {
            new (record) OpenedName{ref(*directory), static_cast<uint32_t>(name.size())};
            memcpy(record->name, name.data(), name.size());
            file.opened_as = record;
            file.watched.fetch_or(File::knows_its_name, std::memory_order_relaxed);
        }
    }
    node_and_place(as_vnode(*node), file.opened_as, open);
}

void inotify_detail::lost_name(Vnode& node) {
    const Result<FileStat> st = node.stat();
    if (!st || (st->links != 0 && node.type != VnodeType::directory))
        return;
    unsigned references = 0;
    {
        SpinGuard guard(watch_lock);
        for (FsWatch* w = node.watches.load(std::memory_order_relaxed); w; w = w->next_of_node)
            references += std::exchange(w->keeps, false);
    }
    while (references-- > 0) // the caller has one more
        node.unref();
}

uint32_t inotify_next_cookie() { return last_cookie.fetch_add(1, std::memory_order_relaxed) + 1; }

void Vnode::file_ended(File& file) {
    const uint32_t flags = file.flags.load(std::memory_order_relaxed);
    if (!(flags & open_flags::path) && !(file.watched.load(std::memory_order_relaxed) & File::opened_by_kernel) &&
        inotify_in_use())
        inotify_detail::node_and_place(*this, file.opened_as, file.writable() ? close_write : close_nowrite);
    if (OpenedName* record = std::exchange(file.opened_as, nullptr)) {
        const size_t size = sizeof(OpenedName) + record->length;
        record->~OpenedName();
        kfree(record, size);
    }
}

void Vnode::watched_ended() {
    FsWatch* dead = nullptr;
    {
        SpinGuard guard(watch_lock);
        while (FsWatch* w = watches.load(std::memory_order_relaxed)) {
            if (w->mask & remove_self)
                w->owner->queue_locked(w->number, remove_self, 0, {});
            w->owner->queue_locked(w->number, ignored, 0, {});
            w->owner->unlink_locked(*w);
            w->next_of_node = dead;
            dead = w;
        }
    }
    bury(dead); // none of them keeps the node, or it would not end
}

// ---- unmounting --------------------------------------------------------------------------------------------------------

InotifyPause::InotifyPause(const Mount& mount) : mount_(mount) {
    while (inotify_in_use()) {
        Vnode* node = nullptr;
        {
            SpinGuard guard(watch_lock);
            FsWatch* w = all_watches.first();
            while (w && !(w->keeps && w->node->mount == &mount))
                w = all_watches.next(*w);
            if (!w)
                return;
            w->keeps = false;
            w->paused = true;
            node = w->node;
        }
        node->unref();
    }
}

InotifyPause::~InotifyPause() {
    if (!inotify_in_use())
        return;
    SpinGuard guard(watch_lock);
    for (FsWatch* w = all_watches.first(); w; w = all_watches.next(*w))
        if (w->paused && w->node->mount == &mount_) {
            w->paused = false;
            w->keeps = w->node->try_ref();
        }
}

void inotify_unmounted(const Mount& mount) {
    if (!inotify_in_use())
        return;
    FsWatch* dead = nullptr;
    {
        SpinGuard guard(watch_lock);
        for (FsWatch *w = all_watches.first(), *next = nullptr; w; w = next) {
            next = all_watches.next(*w);
            if (w->node->mount != &mount)
                continue;
            w->owner->queue_locked(w->number, unmount | (w->node->type == VnodeType::directory ? is_dir : 0), 0, {});
            w->owner->queue_locked(w->number, ignored, 0, {});
            w->owner->unlink_locked(*w);
            w->next_of_node = dead;
            dead = w;
        }
    }
    bury(dead);
}

} // namespace lentil
