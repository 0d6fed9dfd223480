// SPDX-License-Identifier: BSD-2-Clause
// posix_spawn over the native call: all it does is fill in the kernel's structure.
#include "native.h"

#include <errno.h>
#include <lentil/spawn.h>
#include <stdlib.h>
#include <string.h>

static uint64_t address(const void* p) { return (uint64_t)(uintptr_t)p; }

pid_t lentil_spawn(const struct lentil_spawn* what, size_t size) {
    return (pid_t)lentil_result(native_call(NATIVE_spawn, (long)address(what), (long)size, 0, 0, 0, 0));
}

// ---- file actions ------------------------------------------------------------------------------------------------------

int lentil_posix_spawn_file_actions_init(lentil_posix_spawn_file_actions_t* actions) {
    memset(actions, 0, sizeof *actions);
    return 0;
}

int lentil_posix_spawn_file_actions_destroy(lentil_posix_spawn_file_actions_t* actions) {
    for (size_t i = 0; i < actions->count; ++i)
        free((void*)(uintptr_t)actions->list[i].path);
    free(actions->list);
    return lentil_posix_spawn_file_actions_init(actions);
}

static int add(lentil_posix_spawn_file_actions_t* actions, struct lentil_spawn_action action, const char* path) {
    if (action.fd < 0 || action.to < 0)
        return EBADF;
    if (actions->count == actions->room) {
        size_t room = actions->room ? actions->room * 2 : 8;
        void* list = realloc(actions->list, room * sizeof *actions->list);
        if (!list)
            return ENOMEM;
        actions->list = list;
        actions->room = room;
    }
    if (path) {
        char* copy = strdup(path);
        if (!copy)
            return ENOMEM;
        action.path = address(copy);
    }
    actions->list[actions->count++] = action;
    return 0;
}

int lentil_posix_spawn_file_actions_addopen(lentil_posix_spawn_file_actions_t* actions, int fd, const char* path,
                                            int flags, mode_t mode) {
    struct lentil_spawn_action action = {.kind = LENTIL_SPAWN_OPEN, .fd = fd, .flags = (uint32_t)flags, .mode = mode};
    return add(actions, action, path);
}
int lentil_posix_spawn_file_actions_addclose(lentil_posix_spawn_file_actions_t* actions, int fd) {
    return add(actions, (struct lentil_spawn_action){.kind = LENTIL_SPAWN_CLOSE, .fd = fd}, NULL);
}
int lentil_posix_spawn_file_actions_adddup2(lentil_posix_spawn_file_actions_t* actions, int fd, int to) {
    return add(actions, (struct lentil_spawn_action){.kind = LENTIL_SPAWN_DUP2, .fd = fd, .to = to}, NULL);
}
int lentil_posix_spawn_file_actions_addinherit(lentil_posix_spawn_file_actions_t* actions, int fd) {
    return add(actions, (struct lentil_spawn_action){.kind = LENTIL_SPAWN_INHERIT, .fd = fd}, NULL);
}
int lentil_posix_spawn_file_actions_addchdir(lentil_posix_spawn_file_actions_t* actions, const char* path) {
    return add(actions, (struct lentil_spawn_action){.kind = LENTIL_SPAWN_CHDIR}, path);
}
int lentil_posix_spawn_file_actions_addfchdir(lentil_posix_spawn_file_actions_t* actions, int fd) {
    return add(actions, (struct lentil_spawn_action){.kind = LENTIL_SPAWN_FCHDIR, .fd = fd}, NULL);
}
int lentil_posix_spawn_file_actions_addclosefrom(lentil_posix_spawn_file_actions_t* actions, int fd) {
    return add(actions, (struct lentil_spawn_action){.kind = LENTIL_SPAWN_CLOSEFROM, .fd = fd}, NULL);
}

// ---- spawning ----------------------------------------------------------------------------------------------------------

static uint64_t kernel_set(const sigset_t* set) {
    uint64_t bits;
    memcpy(&bits, set, sizeof bits); // the first 64 signals, in the kernel's order
    return bits;
}

int lentil_posix_spawn(pid_t* pid, const char* path, const lentil_posix_spawn_file_actions_t* actions,
                       const lentil_posix_spawnattr_t* attributes, char* const argv[], char* const envp[]) {
    enum { use_vfork = 0x40 }; // POSIX_SPAWN_USEVFORK means nothing here, as in glibc
    struct lentil_spawn what = {.path = address(path), .argv = address(argv), .envp = address(envp)};
    if (actions) {
        what.actions = address(actions->list);
        what.action_count = (uint32_t)actions->count;
    }
    if (attributes) {
        what.flags = (uint16_t)attributes->flags & ~(uint32_t)use_vfork;
        what.mask = kernel_set(&attributes->mask);
        what.defaults = kernel_set(&attributes->defaults);
        what.group = attributes->group;
        what.policy = attributes->policy;
        what.priority = attributes->param.sched_priority;
        what.umask = attributes->umask;
    }
    int before = errno;
    pid_t child = lentil_spawn(&what, sizeof what);
    int error = child < 0 ? errno : 0;
    errno = before;
    if (child >= 0 && pid)
        *pid = child;
    return error;
}

int lentil_posix_spawnp(pid_t* pid, const char* name, const lentil_posix_spawn_file_actions_t* actions,
                        const lentil_posix_spawnattr_t* attributes, char* const argv[], char* const envp[]) {
    if (strchr(name, '/'))
        return lentil_posix_spawn(pid, name, actions, attributes, argv, envp);
    const char* directories = getenv("PATH");
    if (!directories)
        directories = "/bin:/usr/bin";
    size_t name_length = strlen(name);
    char path[4096];
    int error = ENOENT, denied = 0;
    if (name_length == 0)
        return ENOENT;
    for (const char *next = directories, *end; next; next = *end ? end + 1 : NULL) {
        end = strchrnul(next, ':');
        size_t length = (size_t)(end - next);
        if (length + name_length + 2 > sizeof path)
            continue;
        memcpy(path, next, length);
        if (length)
            path[length++] = '/';
        memcpy(path + length, name, name_length + 1);
        error = lentil_posix_spawn(pid, path, actions, attributes, argv, envp);
        denied |= error == EACCES;
        if (error != ENOENT && error != ENOTDIR && error != EACCES)
            return error;
    }
    return denied ? EACCES : error;
}
