// SPDX-License-Identifier: BSD-2-Clause
// What test/boot/test_tracing.py debugs and traces: a child made by fork, or (argument "vfork") by vfork, calls one function,
// its parent two others.
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int counter;
__attribute__((noinline)) static void debug_child(int n) { counter += n; }
__attribute__((noinline)) static void debug_wait(void) { __asm__ volatile(""); }
__attribute__((noinline)) static void debug_parent(int n) {
    counter += n;
    printf("counter %d\n", counter);
}
static int debug(bool lends) {
    pid_t pid = lends ? vfork() : fork();
    if (pid == 0) {
        debug_child(7);
        _exit(3);
    }
    debug_wait();
    int status;
    waitpid(pid, &status, 0);
    usleep(300000); // a gdb that runs both hears of the child's end first, or forgets what the parent hit meanwhile
    debug_parent(WEXITSTATUS(status));
    return 5;
}

int main(int argc, char** argv) { return debug(argc > 1 && argv[1][0] == 'v'); }
