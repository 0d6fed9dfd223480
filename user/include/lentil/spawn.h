// SPDX-License-Identifier: BSD-2-Clause
// A child that starts with a program, by the native call spawn. Manual pages: docs/man/spawn.2, docs/man/posix_spawn.3.
#ifndef LENTIL_SPAWN_H
#define LENTIL_SPAWN_H
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

// Flags of struct lentil_spawn; where POSIX has one, with the value of POSIX_SPAWN_* in <spawn.h>.
#define LENTIL_SPAWN_RESETIDS 0x01          // effective ids become the real ones
#define LENTIL_SPAWN_SETPGROUP 0x02         // group 0: one of its own
#define LENTIL_SPAWN_SETSIGDEF 0x04         // `defaults` are not ignored any more
#define LENTIL_SPAWN_SETSIGMASK 0x08        // `mask`
#define LENTIL_SPAWN_SETSCHEDPARAM 0x10     // `priority`
#define LENTIL_SPAWN_SETSCHEDULER 0x20      // `policy` and `priority`
#define LENTIL_SPAWN_SETSID 0x80            // a session of its own
#define LENTIL_SPAWN_SETUMASK 0x1000        // `umask`
#define LENTIL_SPAWN_CLOEXEC_DEFAULT 0x4000 // only what the actions open, duplicate or inherit stays open

enum {
    LENTIL_SPAWN_OPEN = 1,      // path, flags, mode: becomes fd
    LENTIL_SPAWN_CLOSE = 2,     // fd
    LENTIL_SPAWN_DUP2 = 3,      // fd becomes to as well; fd == to: stays open in the program
    LENTIL_SPAWN_INHERIT = 4,   // fd stays open in the program
    LENTIL_SPAWN_CHDIR = 5,     // path
    LENTIL_SPAWN_FCHDIR = 6,    // fd
    LENTIL_SPAWN_CLOSEFROM = 7, // fd and all above
};

struct lentil_spawn_action {
    uint32_t kind;
    int32_t fd, to;
    uint32_t flags, mode;
    uint32_t reserved; // 0
    uint64_t path;     // const char*
};

// What the kernel is handed. Its size is its version.
struct lentil_spawn {
    uint64_t path, argv, envp; // const char*, char* const*, char* const*
    uint64_t actions;          // const struct lentil_spawn_action*, done in order
    uint32_t action_count;
    uint32_t flags;
    uint64_t mask, defaults; // bit n-1 is signal n
    int32_t group;
    int32_t policy, priority;
    uint32_t umask;
};

// The call itself: the child's pid once its program is in place, or -1 with errno; then there was no child.
pid_t lentil_spawn(const struct lentil_spawn* what, size_t size);

// ---- posix_spawn's interface over it: functions return 0 or an error number ------------------------------------------

typedef struct {
    struct lentil_spawn_action* list;
    size_t count, room;
} lentil_posix_spawn_file_actions_t;

typedef struct {
    short flags; // POSIX_SPAWN_*, or LENTIL_SPAWN_*
    pid_t group;
    sigset_t mask, defaults;
    int policy;
    struct sched_param param;
    mode_t umask;
} lentil_posix_spawnattr_t; // zero it, then set its members

int lentil_posix_spawn(pid_t* pid, const char* path, const lentil_posix_spawn_file_actions_t* actions,
                       const lentil_posix_spawnattr_t* attributes, char* const argv[], char* const envp[]);
// The same, but a name without a slash is looked for in PATH.
int lentil_posix_spawnp(pid_t* pid, const char* name, const lentil_posix_spawn_file_actions_t* actions,
                        const lentil_posix_spawnattr_t* attributes, char* const argv[], char* const envp[]);

int lentil_posix_spawn_file_actions_init(lentil_posix_spawn_file_actions_t* actions);
int lentil_posix_spawn_file_actions_destroy(lentil_posix_spawn_file_actions_t* actions);
int lentil_posix_spawn_file_actions_addopen(lentil_posix_spawn_file_actions_t* actions, int fd, const char* path,
                                            int flags, mode_t mode);
int lentil_posix_spawn_file_actions_addclose(lentil_posix_spawn_file_actions_t* actions, int fd);
int lentil_posix_spawn_file_actions_adddup2(lentil_posix_spawn_file_actions_t* actions, int fd, int to);
int lentil_posix_spawn_file_actions_addinherit(lentil_posix_spawn_file_actions_t* actions, int fd);
int lentil_posix_spawn_file_actions_addchdir(lentil_posix_spawn_file_actions_t* actions, const char* path);
int lentil_posix_spawn_file_actions_addfchdir(lentil_posix_spawn_file_actions_t* actions, int fd);
int lentil_posix_spawn_file_actions_addclosefrom(lentil_posix_spawn_file_actions_t* actions, int fd);

#ifdef __cplusplus
}
#endif
#endif
