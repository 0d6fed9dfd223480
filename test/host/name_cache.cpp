// SPDX-License-Identifier: BSD-2-Clause
// The name cache against directories that are maps: whatever it says is what they say at that moment.
#include "vm_support.hpp"

#include <doctest/doctest.h>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <vfs/mount.hpp>
#include <vfs/name_cache.hpp>

namespace lentil {

// Of mount.cpp, which knows every file system.
Vnode::Vnode(VnodeType node_type, Mount& node_mount) : type(node_type), mount(&node_mount) { mount->ref(); }
Vnode::~Vnode() { mount->unref(); }
Result<FsStat> Vnode::fs_stat() { return Errno::nosys; }
void Vnode::file_ended(File&) {}
void Vnode::watched_ended() {}
// Of bsd/file.cpp; no file is opened here.
void File::last_unref() { dispose(); }

namespace {

struct Machine {
    Machine() {
        static bool started = false;
        if (!started)
            test::start_vm();
        started = true;
    }
};

class PlainMount final : public Mount {
public:
    explicit PlainMount(bool keeps) { keeps_names = keeps; }
    void dispose() override { delete this; }
    FsStat fs_stat() override { return {}; }
    bool in_use() override { return false; }
    void teardown() override {}
};

class PlainNode final : public Vnode {
public:
    using Vnode::Vnode;
    void dispose() override { delete this; }
    Result<FileStat> stat() override { return FileStat{}; }
    NodeOwner owner() override { return {}; }
    Result<RefPtr<File>> open(uint32_t, Vnode&) override { return Errno::nosys; }
    bool is_named_once() override { return names_of_it == 1; }

    Vnode* named(const std::string& name) {
        const auto at = names.find(name);
        return at == names.end() ? nullptr : at->second.get();
    }
    std::map<std::string, RefPtr<PlainNode>> names;
    int names_of_it = 0;
};

RefPtr<PlainNode> make(VnodeType type, Mount& mount) { return RefPtr<PlainNode>::adopt(new PlainNode(type, mount)); }

struct Answer {
    bool known = false;
    Vnode* node = nullptr;
};

Answer ask(Vnode& directory, const std::string& text) {
    if (!name_cache::table.load() || directory.names_id.load() == 0)
        return {};
    name_cache::Name::More more;
    name_cache::Name name(more);
    const uint64_t id = directory.names_id.load();
    if (!name.read(id, text.data(), text.data() + text.size()))
        return {};
    const name_cache::Reader reader;
    const NameEntry* const entry = reader.find(id, name);
    return entry ? Answer{true, entry->node} : Answer{};
}

/// What a walk does with one name; true if the cache knew it.
bool look_up(PlainNode& directory, const std::string& text) {
    if (const Answer answer = ask(directory, text); answer.known) {
        REQUIRE(answer.node == directory.named(text));
        return true;
    }
    const uint64_t before = name_cache::changes_of(directory);
    name_cache::enter(directory, text, directory.named(text), before);
    return false;
}

TEST_CASE_FIXTURE(Machine, "the name cache says what the directories say, after any calls in any order") {
    auto mount = RefPtr<PlainMount>::adopt(new PlainMount(true));
    std::minstd_rand random(11);
    const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
    std::vector<std::string> texts;
    for (size_t length : {1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 255}) // words, and more than is kept
        for (char c = 'a'; c < 'a' + 8; c++)
            texts.push_back(std::string(length - 1, 'x') + c);
    std::vector<RefPtr<PlainNode>> directories;
    for (int i = 0; i < 6; i++)
        directories.push_back(make(VnodeType::directory, *mount));
    size_t hits = 0, negative = 0;
    for (int step = 0; step < 60000; step++) {
        const host::OnHart on(static_cast<unsigned>(below(test::harts)));
        PlainNode& directory = *directories[below(directories.size())];
        const std::string& text = texts[below(texts.size())];
        const auto found = directory.names.find(text);
        const bool there = found != directory.names.end();
        switch (below(12)) {
        case 0: // creat
            if (!there) {
                NameChange change(directory, text);
                RefPtr<PlainNode> node = make(VnodeType::regular, *mount);
                node->names_of_it = 1;
                directory.names[text] = node;
                change.now(node.get());
            }
            break;
        case 1: // unlink; the node goes with its last name
            if (there) {
                NameChange change(directory, text);
                found->second->names_of_it--;
                directory.names.erase(found);
                if (below(2) == 0)
                    change.now(nullptr);
            }
            break;
        case 2: { // rename, over what is there
            PlainNode& to = *directories[below(directories.size())];
            const std::string& new_text = texts[below(texts.size())];
            if (there && to.named(new_text) != found->second.get()) {
                const NameChange leaves(directory, text), arrives(to, new_text);
                RefPtr<PlainNode> moved = found->second;
                directory.names.erase(found);
                if (const auto old = to.names.find(new_text); old != to.names.end())
                    old->second->names_of_it--;
                to.names[new_text] = moved;
            }
            break;
        }
        case 3: { // link
            const std::string& new_text = texts[below(texts.size())];
            if (there && !directory.names.contains(new_text)) {
                const NameChange change(directory, new_text);
                name_cache::forget(*found->second);
                found->second->names_of_it++;
                directory.names[new_text] = found->second;
            }
            break;
        }
        case 4: // a directory goes with all that it names, another comes, perhaps in its place in memory
            if (below(40) == 0) {
                RefPtr<PlainNode>& gone = directories[below(directories.size())];
                for (auto& [name, node] : gone->names)
                    node->names_of_it--;
                gone.reset();
                gone = make(VnodeType::directory, *mount);
            }
            break;
        case 5: { // a look-up that a change overtakes is not kept
            const uint64_t before = name_cache::changes_of(directory);
            Vnode* const then = directory.named(text);
            if (there) {
                NameChange change(directory, text);
                RefPtr<PlainNode> node = found->second; // the one who looked up has it
                node->names_of_it--;
                directory.names.erase(found);
                name_cache::enter(directory, text, then, before);
                CHECK_FALSE(ask(directory, text).known);
                if (below(2) == 0)
                    change.now(nullptr);
                name_cache::enter(directory, text, then, before);
                REQUIRE(ask(directory, text).node == nullptr);
            }
            break;
        }
        default:
            hits += look_up(directory, text);
            negative += ask(directory, text).known && !directory.names.contains(text);
        }
        if (step % 100 == 0)
            for (RefPtr<PlainNode>& d : directories)
                for (const std::string& t : texts)
                    if (const Answer answer = ask(*d, t); answer.known)
                        REQUIRE(answer.node == d->named(t));
    }
    CHECK(hits > 1000);
    CHECK(negative > 1000);
}

TEST_CASE_FIXTURE(Machine, "a name of 32 bytes is kept, one of 33 is not") {
    auto mount = RefPtr<PlainMount>::adopt(new PlainMount(true));
    auto directory = make(VnodeType::directory, *mount);
    for (size_t length : {31, 32, 33}) {
        const std::string text(length, 'n');
        CHECK_FALSE(look_up(*directory, text));
        CHECK(look_up(*directory, text) == (length <= 32));
    }
}

TEST_CASE_FIXTURE(Machine,
                  "nothing is kept for a file system that does not want it, nor of a node with several names") {
    auto plain = RefPtr<PlainMount>::adopt(new PlainMount(true)),
         changing = RefPtr<PlainMount>::adopt(new PlainMount(false));
    for (PlainMount* mount : {plain.get(), changing.get()}) {
        auto directory = make(VnodeType::directory, *mount);
        auto node = make(VnodeType::regular, *mount);
        node->names_of_it = mount == plain.get() ? 2 : 1;
        directory->names["name"] = node;
        CHECK_FALSE(look_up(*directory, "name"));
        CHECK_FALSE(look_up(*directory, "name"));
    }
}

TEST_CASE_FIXTURE(Machine, "a name is read the same at the end of a path and before a slash") {
    for (size_t length = 1; length <= 32; length++) {
        const std::string end(length, 'a'), before_slash = end + "/b";
        name_cache::Name::More more_of_one, more_of_other;
        name_cache::Name one(more_of_one), other(more_of_other);
        CHECK(one.read(7, end.data(), end.data() + end.size()) == end.data() + length);
        CHECK(other.read(7, before_slash.data(), before_slash.data() + before_slash.size()) ==
              before_slash.data() + length);
        CHECK(one.key() == other.key());
        CHECK(one.length == length);
    }
}

} // namespace
} // namespace lentil
