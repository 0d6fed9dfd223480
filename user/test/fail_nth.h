// SPDX-License-Identifier: BSD-2-Clause
// Making the n-th allocation of a call fail (/proc/self/fail-nth, checked kernels), for every n there is.
#pragma once
#include "lend.h"
#include "objects.h"

// ---- arming ---------------------------------------------------------------------------------------------------------

struct arm {
    int fd;
};

// Opened by whoever arms itself: the file stands for its opener.
static struct arm armoury(void) {
    struct arm arm = {open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC)};
    char text[16];
    CHECK(arm.fd >= 0);
    CHECK(pread(arm.fd, text, sizeof text, 0) > 0); // its buffer is there from now on
    return arm;
}

static void set(struct arm arm, long n) {
    char text[16];
    int length = 0;
    char digits[16];
    do
        digits[length++] = (char)('0' + n % 10);
    while (n /= 10);
    for (int i = 0; i < length; ++i)
        text[i] = digits[length - 1 - i];
    while (write(arm.fd, text, (size_t)length) != length) { // disarming may be what fails
        if (errno != ENOMEM)
            check_fail("fail-nth cannot be set, errno %d", errno);
    }
}

// What is left of the count: 0 once an allocation failed.
static long disarm(struct arm arm) {
    char text[16] = "";
    if (pread(arm.fd, text, sizeof text - 1, 0) <= 0)
        check_fail("fail-nth cannot be read, errno %d", errno);
    set(arm, 0);
    return atol(text);
}

// ---- the sweep ------------------------------------------------------------------------------------------------------

struct sweep {
    const char* name;
    long (*call)(void);      // negative if it failed, with errno
    void (*undo)(long made); // of a call that succeeded
    int also;                // an errno besides ENOMEM that one of the allocations gives: EAGAIN for an id
};

static char open_descriptors[128];
static void note_descriptors(char* list) {
    for (int fd = 0; fd < 128; ++fd)
        list[fd] = fcntl(fd, F_GETFD) >= 0;
}

// Returns how many allocations there were to fail.
static int sweep_one(struct arm arm, const struct sweep* sweep) {
    int fired = 0, others = 0;
    for (long n = 1;; ++n) {
        if (n > 2000)
            check_fail("%s: allocation %ld still fails", sweep->name, n);
        errno = 0;
        set(arm, n);
        const long made = sweep->call();
        const int error = errno;
        const long left = disarm(arm);
        if (made < 0 && left != 0)
            check_fail("%s failed with errno %d, but nothing was made to fail (n = %ld, %ld left)", sweep->name, error,
                       n, left);
        if (made < 0 && error != ENOMEM && (error != sweep->also || (error == EAGAIN && ++others > 1)))
            check_fail("%s: allocation %ld fails with errno %d", sweep->name, n, error);
        if (made >= 0 && sweep->undo)
            sweep->undo(made);
        fired += left == 0;
        if (left != 0)
            return fired;
    }
}

static void sweep_all(const struct sweep* sweeps, size_t count) {
    const struct arm arm = armoury();
    for (size_t i = 0; i < count; ++i) { // each one once, so that what stays cached is there
        const long made = sweeps[i].call();
        if (made < 0)
            check_fail("%s does not work at all: errno %d", sweeps[i].name, errno);
        if (sweeps[i].undo)
            sweeps[i].undo(made);
    }
    note_descriptors(open_descriptors);
    const struct object_counts before = settled_objects();
    for (size_t i = 0; i < count; ++i) {
        const int fired = sweep_one(arm, &sweeps[i]);
        char now[128];
        note_descriptors(now);
        for (int fd = 0; fd < 128; ++fd)
            if (now[fd] != open_descriptors[fd])
                check_fail("%s: descriptor %d is %s", sweeps[i].name, fd, now[fd] ? "left open" : "gone");
        (void)fired;
    }
    objects_are_back(&before);
}
#define SWEEP(list) sweep_all(list, sizeof list / sizeof *list)
