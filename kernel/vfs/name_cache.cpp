// SPDX-License-Identifier: BSD-2-Clause
// The name cache: its table, and how entries come and go.
#include <algorithm>
#include <bit>

#include <machine/boot_info.hpp>
#include <vfs/mount.hpp>
#include <vfs/name_cache.hpp>
#include <vm/page.hpp>

namespace lentil {

namespace name_cache {

constinit HartWord hart_words[max_harts];
constinit std::atomic<NameEntry*> table{nullptr};
constinit size_t index_mask = 0;

namespace {

/// Entries come and go with it. Whoever takes an entry out of the table does these in turn: clears its key, waits for the
/// readers, takes it off its node's list. So a free entry has no reader, and a node without entries has none that came
/// through one.
constinit SpinLock<Rank::name_cache> lock;
constinit uint64_t last_id = 0;     // lock
constinit uint32_t next_victim = 0; // lock
constexpr uint64_t one_change = 1, one_change_ended = (1 << 16) - 1, under_way = (1 << 16) - 1;

/// The table, made at the first need; nullptr if there is no memory for it.
NameEntry* made_table() {
    if (NameEntry* made = table.load(std::memory_order_acquire))
        return made;
    // An entry for 256 KiB of memory: 32 KiB of table where there are 128 MiB.
    const size_t entries = std::bit_floor(std::clamp<size_t>(page_counts().total / 64, 64, 4096));
    void* const memory = kmalloc(entries * sizeof(NameEntry));
    if (!memory)
        return nullptr;
    auto* const fresh = static_cast<NameEntry*>(memory);
    for (size_t i = 0; i < entries; i++)
        new (fresh + i) NameEntry;
    {
        SpinGuard guard(lock);
        if (!table.load(std::memory_order_relaxed)) {
            index_mask = entries - 2;
            table.store(fresh, std::memory_order_release);
            return fresh;
        }
    }
    kfree(memory, entries * sizeof(NameEntry));
    return table.load(std::memory_order_acquire);
}

// ---- lock held -----------------------------------------------------------------------------------------------------

void leave_list(NameEntry& entry) {
    if (!entry.node)
        return;
    std::atomic<NameEntry*>& first = entry.node->first_name;
    NameEntry* at = first.load(std::memory_order_relaxed);
    if (at == &entry) {
        first.store(entry.next, std::memory_order_release); // who sees an empty list lets the node go
        return;
    }
    while (at->next != &entry)
        at = at->next;
    at->next = entry.next;
}

void take_out(NameEntry& entry) {
    entry.key.store(0, std::memory_order_relaxed);
    wait_for_readers();
    leave_list(entry);
    entry.node = nullptr;
}

NameEntry* find_entry(uint64_t directory, const Name& name) {
    NameEntry* const pair = name.pair();
    for (NameEntry* at : {pair, pair + 1})
        if (at->key.load(std::memory_order_relaxed) == name.key() && at->is(directory, name))
            return at;
    return nullptr;
}

/// The directory has an id.
void put(Vnode& directory, const Name& name, Vnode* node) {
    const uint64_t id = directory.names_id.load(std::memory_order_relaxed);
    if (find_entry(id, name))
        return;
    NameEntry* const pair = name.pair();
    NameEntry* entry = pair;
    if (pair->key.load(std::memory_order_relaxed) != 0)
        entry = pair[1].key.load(std::memory_order_relaxed) == 0 ? pair + 1 : pair + (next_victim++ & 1);
    if (entry->key.load(std::memory_order_relaxed) != 0)
        take_out(*entry);
    entry->directory = id;
    entry->node = node;
    for (size_t i = 0; i * 8 < name.length; i++)
        entry->words[i] = name.word(i);
    if (node) {
        entry->next = node->first_name.load(std::memory_order_relaxed);
        node->first_name.store(entry, std::memory_order_release);
    }
    entry->key.store(name.key(), std::memory_order_release);
}

bool may_keep(const Vnode& directory, Vnode* node) {
    return directory.mount->keeps_names && (!node || node->is_named_once()) && made_table();
}

} // namespace

void wait_for_readers() {
    // With the reader's exchange: either its look-up sees what was changed before this, or this sees it reading.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (unsigned i = 0; i < machine::boot_info.hart_count; i++)
        while (hart_words[i].reading.load(std::memory_order_acquire) != 0)
            machine::cpu_relax();
}

void enter(Vnode& directory, std::string_view text, Vnode* node, uint64_t before) {
    if ((before & under_way) != 0 || !may_keep(directory, node))
        return;
    SpinGuard guard(lock);
    if (directory.name_changes.load(std::memory_order_relaxed) != before)
        return;
    if (directory.names_id.load(std::memory_order_relaxed) == 0)
        directory.names_id.store(++last_id, std::memory_order_relaxed);
    Name::More more;
    Name name(more);
    if (name.read(directory.names_id.load(std::memory_order_relaxed), text.data(), text.data() + text.size()))
        put(directory, name, node);
}

void forget(Vnode& node) {
    if (!node.first_name.load(std::memory_order_acquire))
        return;
    SpinGuard guard(lock);
    while (NameEntry* entry = node.first_name.load(std::memory_order_relaxed))
        take_out(*entry);
}

} // namespace name_cache

using namespace name_cache;

void Vnode::forget_names() { forget(*this); }

NameChange::NameChange(Vnode& directory, std::string_view text) : directory_(directory) {
    begun_ = directory.name_changes.fetch_add(one_change, std::memory_order_seq_cst) + one_change;
    if (!directory.mount->keeps_names)
        return;
    SpinGuard guard(lock); // whoever looked at the count of changes before has put his entry where it is found now
    const uint64_t id = directory.names_id.load(std::memory_order_relaxed);
    if (id == 0)
        return;
    kept_ = name_.read(id, text.data(), text.data() + text.size());
    if (!kept_)
        return;
    if (NameEntry* entry = find_entry(id, name_))
        take_out(*entry);
}

NameChange::~NameChange() {
    if (!ended_)
        directory_.name_changes.fetch_add(one_change_ended, std::memory_order_seq_cst);
}

void NameChange::now(Vnode* node) {
    ended_ = true;
    if (!kept_ || !may_keep(directory_, node)) {
        directory_.name_changes.fetch_add(one_change_ended, std::memory_order_seq_cst);
        return;
    }
    SpinGuard guard(lock);
    // What other changes did meanwhile came before or after this one: only if there were none it is known.
    if (directory_.name_changes.fetch_add(one_change_ended, std::memory_order_seq_cst) == begun_ &&
        (begun_ & under_way) == 1)
        put(directory_, name_, node);
}

} // namespace lentil
