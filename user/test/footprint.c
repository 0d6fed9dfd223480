// SPDX-License-Identifier: BSD-2-Clause
// What a process, a thread and a loan cost in memory while they wait: prints bytes of each, for test/boot/test_memory.py.
#include "check.h"

#include <pthread.h>

static long free_bytes(void) { return check_value_in("/proc/meminfo", "MemFree") * 1024; }

static void print(const char* what, long bytes) {
    char line[100];
    int length = snprintf(line, sizeof line, "%s %ld\n", what, bytes);
    if (write(1, line, (size_t)length) < 0)
        _exit(1);
}

static int gate[2], ready[2];

static void wait_at_gate(void) {
    char c = 0;
    if (write(ready[1], &c, 1) < 0 || read(gate[0], &c, 1) < 0)
        _exit(1);
}

static void all_ready(int count) {
    char c;
    for (int i = 0; i < count; ++i)
        if (read(ready[0], &c, 1) != 1)
            _exit(1);
}

static long with_children(int count) {
    if (pipe(gate) < 0 || pipe(ready) < 0)
        _exit(1);
    const long before = free_bytes();
    for (int i = 0; i < count; ++i)
        if (fork() == 0) {
            close(gate[1]);
            wait_at_gate();
            _exit(0);
        }
    all_ready(count);
    const long after = free_bytes();
    close(gate[1]);
    while (wait(NULL) > 0) {
    }
    close(gate[0]), close(ready[0]), close(ready[1]);
    return (before - after) / count;
}

static void* thread(void* argument) {
    wait_at_gate();
    return argument;
}

static long with_threads(int count) {
    static pthread_t threads[500];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    if (pipe(gate) < 0 || pipe(ready) < 0)
        _exit(1);
    const long before = free_bytes();
    for (int i = 0; i < count; ++i)
        if (pthread_create(&threads[i], &small, thread, NULL) != 0)
            _exit(1);
    all_ready(count);
    const long after = free_bytes();
    close(gate[1]);
    for (int i = 0; i < count; ++i)
        pthread_join(threads[i], NULL);
    close(gate[0]), close(ready[0]), close(ready[1]);
    return (before - after) / count;
}

static volatile long deepest;

static __attribute__((noinline)) void lend(int depth) {
    if (depth == 0) {
        deepest = free_bytes();
        return;
    }
    pid_t pid = vfork();
    if (pid == 0) {
        lend(depth - 1);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, NULL, 0) != pid)
        _exit(1);
}

int main(void) {
    lend(4); // what is made once
    // Before there are children: the records of those that ended would serve for loans.
    const long before = free_bytes();
    lend(64);
    print("loan", (before - deepest) / 64);
    with_children(8), with_threads(8);
    print("child", with_children(200));
    print("thread", with_threads(400));
    return 0;
}
