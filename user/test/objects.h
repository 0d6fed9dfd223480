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
    struct object_count list[64];
};

static struct object_counts read_objects(void) {
    static char text[8192];
    struct object_counts counts = {0};
    if (check_read_file("/proc/lentil/objects", text, sizeof text) < 0)
        return counts; // not Lentil
    for (char* line = strtok(text, "\n"); line && counts.size < 64; line = strtok(NULL, "\n"))
        if (sscanf(line, "%31s %ld", counts.list[counts.size].name, &counts.list[counts.size].value) == 2)
            ++counts.size;
    return counts;
}

// Caches may keep some pages; everything else is exact.
static long object_slack(const char* name) {
    return strncmp(name, "pages", 5) == 0 ? 512 : 0;
}

// Fails the case unless every count comes back to what it was; what is freed late gets some seconds.
static __attribute__((unused)) void objects_are_back(const struct object_counts* before) {
    if (check_on_linux())
        return;
    CHECK(before->size > 0);
    for (int attempt = 0;; ++attempt) {
        struct object_counts after = read_objects();
        const struct object_count* differs = NULL;
        long now = 0;
        CHECK_EQ(after.size, before->size);
        for (int i = 0; i < before->size && !differs; ++i) {
            now = after.list[i].value;
            if (labs(now - before->list[i].value) > object_slack(before->list[i].name))
                differs = &before->list[i];
        }
        if (!differs)
            return;
        if (attempt == 100)
            check_fail("%s were %ld, are %ld", differs->name, differs->value, now);
        check_sleep_ms(100);
    }
}
