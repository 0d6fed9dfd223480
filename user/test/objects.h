// SPDX-License-Identifier: BSD-2-Clause
// The kernel's own counts of its objects, from /proc/lentil/objects: the same before and after, or something
// leaked.
#pragma once
#include "check.h"

struct object_count {
    char name[32];
    long value;
};
struct object_counts {
    int size;
    struct object_count list[128];
};

static struct object_counts read_objects(void) {
    static char text[8192];
    struct object_counts counts;
    memset(&counts, 0, sizeof counts);
    if (check_read_file("/proc/lentil/objects", text, sizeof text) < 0)
        return counts; // not Lentil
    for (char* line = strtok(text, "\n"); line && counts.size < 128; line = strtok(NULL, "\n"))
        if (sscanf(line, "%31s %ld", counts.list[counts.size].name, &counts.list[counts.size].value) == 2)
            ++counts.size;
    return counts;
}

// The counts once they no longer change: what ended just before is freed by then.
static __attribute__((unused)) struct object_counts settled_objects(void) {
    // A child of fork shares the records of what is mapped with its parent until one of them maps something.
    munmap(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
    struct object_counts now = read_objects();
    for (int same = 0, budget = 50; now.size > 0 && same < 3 && budget > 0; --budget) {
        check_sleep_ms(100);
        struct object_counts next = read_objects();
        same = next.size == now.size && memcmp(next.list, now.list, sizeof now.list) == 0 ? same + 1 : 0;
        now = next;
    }
    return now;
}

// Caches may keep some pages, and each hart some kernel stacks with their address ranges; what is known of programs' earlier
// runs goes when memory is short, and comes with the next run; everything else is exact.
static long object_slack(const char* name) {
    return strncmp(name, "pages", 5) == 0                                           ? 512
           : strcmp(name, "kmem_ranges") == 0 || strcmp(name, "touched_pages") == 0 ? 64
                                                                                    : 0;
}

// What was not listed before had not been made yet.
static long count_of(const struct object_counts* counts, const char* name) {
    for (int i = 0; i < counts->size; ++i)
        if (strcmp(counts->list[i].name, name) == 0)
            return counts->list[i].value;
    return 0;
}

// Fails the case unless every count comes back to what it was; what is freed late gets some seconds.
static __attribute__((unused)) void objects_are_back(const struct object_counts* before) {
    if (check_on_linux())
        return;
    CHECK(before->size > 0);
    for (int attempt = 0;; ++attempt) {
        struct object_counts after = read_objects();
        const struct object_count* differs = NULL;
        for (int i = 0; i < after.size && !differs; ++i)
            if (labs(after.list[i].value - count_of(before, after.list[i].name)) > object_slack(after.list[i].name))
                differs = &after.list[i];
        if (!differs)
            return;
        if (attempt == 100)
            check_fail("%s were %ld, are %ld", differs->name, count_of(before, differs->name), differs->value);
        check_sleep_ms(100);
    }
}
