// SPDX-License-Identifier: BSD-2-Clause
// Zones, kmalloc, the kernel's window and stacks.
#include "glue.hpp"
#include "vm_support.hpp"

#include <cstring>
#include <doctest/doctest.h>
#include <random>
#include <vector>

#include <libkern/uninitialized.hpp>
#include <machine/machine.hpp>
#include <vm/kernel_pmap.hpp>

namespace lentil {
namespace {

struct Machine {
    Machine() {
        const machine::MemoryRange memory[] = {{0x80000000, 32 << 20}};
        test::start_vm(memory);
    }
};

struct Small {
    uint64_t a = 1, b = 2;
    static constexpr const char* zone_name = "small things";
};
struct alignas(64) Large {
    char bytes[1500] = {};
    static constexpr const char* zone_name = "large things";
};

TEST_CASE_FIXTURE(Machine, "a zone counts its objects exactly, whichever hart allocates and frees") {
    std::minstd_rand random(3);
    std::vector<Small*> objects;
    for (int step = 0; step < 30000; step++) {
        const host::OnHart on(random() % test::harts);
        if (objects.empty() || random() % 9 < 5) {
            objects.push_back(*zone_new<Small>());
            objects.back()->a = reinterpret_cast<uint64_t>(objects.back());
        } else {
            std::swap(objects[random() % objects.size()], objects.back());
            REQUIRE(objects.back()->a == reinterpret_cast<uint64_t>(objects.back()));
            zone_delete(objects.back());
            objects.pop_back();
        }
        if (step % 1000 == 0)
            REQUIRE(zone_of<Small>.in_use() == objects.size());
    }
    for (Small* object : objects)
        zone_delete(object);
    CHECK(zone_of<Small>.in_use() == 0);
}

struct Reborn {
    uint64_t life = 0;
    Reborn* self = this;
    uint32_t colour = 7; // and four bytes that belong to nobody
    Reborn* other = nullptr;
    Uninitialized<uint64_t> room;
    static constexpr const char* zone_name = "reborn things";
    Reborn() {}
};

TEST_CASE("what an object would keep of its former life is found to the byte, and what a constructor leaves alone does "
          "not count") {
    alignas(Reborn) unsigned char memory[3][sizeof(Reborn)];
    Reborn* made[3];
    for (int i = 0; i < 3; i++) {
        std::memset(memory[i], i == 0 ? 0 : i == 1 ? 0xff : 0xa5, sizeof(Reborn));
        made[i] = new (memory[i]) Reborn;
    }
    Reborn& object = *made[2];
    const auto difference = [&] { return zone_first_difference(&object, made[0], made[1], sizeof(Reborn)); };
    CHECK(difference() == sizeof(Reborn));
    object.room.value = 5;
    CHECK(difference() == sizeof(Reborn));
    object.life = 0x100;
    CHECK(difference() == offsetof(Reborn, life) + 1);
    object.life = 0;
    object.colour = 8;
    CHECK(difference() == offsetof(Reborn, colour));
    object.colour = 7;
    object.self = nullptr;
    CHECK(difference() == offsetof(Reborn, self));
    object.self = made[0];
    CHECK(difference() == offsetof(Reborn, self));
    object.self = &object;
    object.other = reinterpret_cast<Reborn*>(0x1001); // no address of the machine's: its lowest byte may be 0
    CHECK(difference() == offsetof(Reborn, other));
    object.other = nullptr;
    CHECK(difference() == sizeof(Reborn));
}

TEST_CASE_FIXTURE(Machine, "objects are aligned as their type asks") {
    std::vector<Large*> objects;
    for (int i = 0; i < 50; i++) {
        objects.push_back(*zone_new<Large>());
        CHECK(reinterpret_cast<uintptr_t>(objects.back()) % alignof(Large) == 0);
    }
    for (Large* object : objects)
        zone_delete(object);
}

TEST_CASE_FIXTURE(Machine, "empty slabs go back to the page allocator") {
    (void)test::Counts::now();
    const PageCounts before = page_counts();
    std::vector<Large*> objects;
    for (int i = 0; i < 1000; i++)
        objects.push_back(*zone_new<Large>());
    CHECK(page_counts().kernel > before.kernel + 300);
    for (Large* object : objects)
        zone_delete(object);
    (void)test::Counts::now(); // reclaims
    CHECK(page_counts().kernel == before.kernel);
    CHECK(page_counts().free == before.free);
}

TEST_CASE_FIXTURE(Machine, "an object freed twice, or to the wrong zone, is found at once") {
    Small* object = *zone_new<Small>();
    zone_delete(object);
    CHECK_THROWS_AS(zone_of<Small>.free(object), Panicked);
    Large* other = *zone_new<Large>();
    CHECK_THROWS_AS(zone_of<Small>.free(other), Panicked);
    zone_delete(other);
}

TEST_CASE_FIXTURE(Machine, "kmalloc gives distinct memory of every size and takes it back") {
    const test::Counts before = test::Counts::now();
    std::minstd_rand random(5);
    struct Piece {
        char* data;
        size_t size;
        char fill;
    };
    std::vector<Piece> pieces;
    auto check_and_free = [&](Piece piece) {
        for (size_t i = 0; i < piece.size; i++)
            if (piece.data[i] != piece.fill)
                FAIL("memory of ", piece.size, " bytes was overwritten");
        kfree(piece.data, piece.size);
    };
    for (int step = 0; step < 3000; step++) {
        const host::OnHart on(random() % test::harts);
        if (pieces.size() < 60 && random() % 2 == 0) {
            const size_t size = size_t{1} + random() % (size_t{1} << (random() % 18));
            char* data = static_cast<char*>(kmalloc(size));
            REQUIRE(data != nullptr);
            const char fill = static_cast<char>(step);
            std::memset(data, fill, size);
            pieces.push_back({data, size, fill});
        } else if (!pieces.empty()) {
            std::swap(pieces[random() % pieces.size()], pieces.back());
            check_and_free(pieces.back());
            pieces.pop_back();
        }
    }
    for (const Piece& piece : pieces)
        check_and_free(piece);
    CHECK(test::Counts::now().objects == before.objects);
    CHECK(test::Counts::now().user_pages == before.user_pages);
}

TEST_CASE_FIXTURE(Machine, "kmem is zero, and its address range is used again with other pages") {
    const size_t size = 200 * page_size;
    char* first = static_cast<char*>(*kmem_alloc(size));
    for (size_t i = 0; i < size; i++)
        REQUIRE(first[i] == 0);
    std::memset(first, 7, size);
    kmem_free(first, size);
    char* second = static_cast<char*>(*kmem_alloc(size - page_size));
    CHECK(second == first);
    for (size_t i = 0; i < size - page_size; i++)
        REQUIRE(second[i] == 0); // a translation that was not shot down would show 7
    kmem_free(second, size - page_size);
}

TEST_CASE_FIXTURE(Machine, "kmem ends with nomem, not earlier, and everything comes back") {
    auto use_up = [] {
        std::vector<void*> blocks;
        while (auto block = kmem_alloc(1 << 20))
            blocks.push_back(*block);
        CHECK(blocks.size() >= 29); // of 32 MiB
        CHECK(page_counts().free < 300);
        for (void* block : blocks)
            kmem_free(block, 1 << 20);
    };
    const uint64_t kernel = test::Counts::now().kernel_pages;
    use_up();
    const test::Counts before = test::Counts::now();
    CHECK(before.kernel_pages <= kernel + 16); // the window's tables stay: 2 MiB each
    use_up();
    CHECK(test::Counts::now() == before);
    CHECK(kmem_alloc(uint64_t{1} << 40).error() == Errno::inval);
}

TEST_CASE_FIXTURE(Machine, "a kernel stack has an unmapped page below it") {
    void* const top = *kernel_stack_allocate();
    CHECK(kernel_stacks_in_use() == 1);
    const vaddr_t bottom = reinterpret_cast<vaddr_t>(top) - kernel_stack_size;
    std::memset(reinterpret_cast<void*>(bottom), 1, kernel_stack_size);
    const machine::Pte* table = static_cast<const machine::Pte*>(machine::direct_map(machine::kernel_space().root));
    for (unsigned level = machine::Pte::levels - 1; level > 0; level--)
        table = static_cast<const machine::Pte*>(
            machine::direct_map(table[machine::Pte::index(bottom - page_size, level)].address()));
    CHECK(!table[machine::Pte::index(bottom - page_size, 0)].valid());
    CHECK(table[machine::Pte::index(bottom, 0)].valid());
    kernel_stack_free(top);
    CHECK(kernel_stacks_in_use() == 0);
}

TEST_CASE_FIXTURE(Machine, "stacks are counted, kept for the next thread, and given back when there are many") {
    const uint64_t created = kernel_stacks_created();
    std::vector<void*> stacks;
    for (int i = 0; i < 100; i++)
        stacks.push_back(*kernel_stack_allocate());
    const uint64_t kernel = page_counts().kernel;
    for (void* stack : stacks)
        kernel_stack_free(stack);
    CHECK(page_counts().kernel <= kernel - 90 * kernel_stack_size / page_size);
    CHECK(kernel_stacks_created() == created + 100);
    CHECK(kernel_stacks_in_use() == 0);
}

TEST_CASE_FIXTURE(Machine, "whatever allocation fails, stacks and buffers fail cleanly") {
    const test::Counts before = test::Counts::now();
    for (unsigned n = 1; n < 20; n++) {
        const test::FailNth fail(n);
        auto memory = kmem_alloc(5 * page_size);
        if (memory)
            kmem_free(*memory, 5 * page_size);
        else
            CHECK(memory.error() == Errno::nomem);
        auto stack = kernel_stack_allocate();
        if (stack)
            kernel_stack_free(*stack);
        if (void* data = kmalloc(100))
            kfree(data, 100);
        if (void* data = kmalloc(100000))
            kfree(data, 100000);
    }
    CHECK(test::Counts::now().objects == before.objects);
    CHECK(test::Counts::now().user_pages == before.user_pages);
}

} // namespace
} // namespace lentil
