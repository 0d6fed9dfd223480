// SPDX-License-Identifier: BSD-2-Clause
// Who may trace whom, and what orders to a tracee leave alone.
#include "tracee.h"

#include <linux/capability.h>
#include <sys/prctl.h>

enum { user = 4242 };
static volatile int* shared;

static void become_user(void) {
    CHECK_EQ(setresgid(user, user, user), 0);
    CHECK_EQ(setresuid(user, user, user), 0);
}

// ---- who may attach ----------------------------------------------------------------------------------------------------
static void keep_capability(void) {
    CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), 0);
    become_user();
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0, 1 << CAP_CHOWN, 0}, {0, 0, 0}};
    CHECK_EQ(syscall(SYS_capset, &header, data), 0);
}
static void (*target_becomes)(void);
static int target_dumpable;
static void target(void) {
    target_becomes();
    CHECK_EQ(prctl(PR_SET_DUMPABLE, target_dumpable, 0, 0, 0), 0);
    shared[0] = 1;
    for (;;)
        pause();
}
static pid_t target_pid;
static void try_to_attach(void) {
    become_user();
    errno = 0;
    shared[1] = order(PTRACE_SEIZE, target_pid, 0, 0) == 0 ? 1 : errno;
}
// As an unprivileged user: 1, or what attaching to this target fails with.
static int attached(void (*becomes)(void), int dumpable) {
    target_becomes = becomes;
    target_dumpable = dumpable;
    shared[0] = shared[1] = 0;
    target_pid = spawn(target);
    CHECK_SOON(shared[0], 10);
    CHECK_EXITED(check_reap(spawn(try_to_attach)), 0);
    kill(target_pid, SIGKILL);
    CHECK_SIGNALED(check_reap(target_pid), SIGKILL);
    return shared[1];
}
static void rights(void) {
    shared = shared_memory(4096);
    CHECK_EQ(attached(become_user, 1), 1);
    CHECK_EQ(attached(become_user, 0), EPERM);
    CHECK_EQ(attached(keep_capability, 1), EPERM);
    // Who has the capability attaches to anybody's.
    target_becomes = become_user;
    shared[0] = target_dumpable = 0;
    target_pid = spawn(target);
    CHECK_SOON(shared[0], 10);
    ORDER(PTRACE_SEIZE, target_pid, 0, 0);
    kill(target_pid, SIGKILL);
    CHECK_KILLED(target_pid, SIGKILL);
}

static const struct check_case cases[] = {
    {"a user attaches to an own process, but not to one that is not dumpable or has a capability more", rights, 0,
     false},
};
int main(int argc, char** argv) { return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]); }
