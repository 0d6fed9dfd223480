// SPDX-License-Identifier: BSD-2-Clause
// System V semaphores: operations happen all or none and in order, sleepers wake, and the end of a process takes back what
// it did with SEM_UNDO.
#include "check.h"

#include <sched.h>
#include <sys/ipc.h>
#include <sys/sem.h>

union semun {
    int value;
    struct semid_ds* status;
    unsigned short* array;
    struct seminfo* info;
};

static int make(int count) {
    int id = semget(IPC_PRIVATE, count, 0600);
    CHECK(id >= 0);
    return id;
}

static int value(int id, int number) { return semctl(id, number, GETVAL); }
static void set(int id, int number, int to) { CHECK(semctl(id, number, SETVAL, (union semun){.value = to}) == 0); }

static int op(int id, int number, int change, int flags) {
    struct sembuf o = {(unsigned short)number, (short)change, (short)flags};
    return semop(id, &o, 1);
}

static pid_t sleeper(int id, int number, int change, int flags) {
    int before = semctl(id, number, change == 0 ? GETZCNT : GETNCNT);
    pid_t pid = fork();
    if (pid == 0)
        _exit(op(id, number, change, flags) == 0 ? 0 : errno);
    CHECK_SOON(semctl(id, number, change == 0 ? GETZCNT : GETNCNT) == before + 1, 10);
    return pid;
}

static int result(pid_t pid) {
    int status = check_reap(pid);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void all_or_none(void) {
    int id = make(3);
    set(id, 0, 5);
    struct sembuf ops[] = {{0, -3, IPC_NOWAIT}, {1, 2, 0}, {0, -3, IPC_NOWAIT}};
    CHECK_ERRNO(semop(id, ops, 3), EAGAIN);
    CHECK_EQ(value(id, 0), 5);
    CHECK_EQ(value(id, 1), 0);
    CHECK_EQ(semctl(id, 1, GETPID), 0);
    CHECK(semop(id, ops, 2) == 0);
    CHECK_EQ(value(id, 0), 2);
    CHECK_EQ(value(id, 1), 2);
    CHECK_EQ(semctl(id, 1, GETPID), getpid());
    struct sembuf same[] = {{2, 1, 0}, {2, -1, 0}, {2, 0, 0}}; // in order
    CHECK(semop(id, same, 3) == 0);
    CHECK_ERRNO(op(id, 0, 0, IPC_NOWAIT), EAGAIN);
    CHECK(op(id, 2, 0, IPC_NOWAIT) == 0);
    set(id, 2, 32767);
    CHECK_ERRNO(op(id, 2, 1, 0), ERANGE);
    CHECK_ERRNO(semctl(id, 2, SETVAL, (union semun){.value = 32768}), ERANGE);
    CHECK_ERRNO(semctl(id, 2, SETVAL, (union semun){.value = -1}), ERANGE);
    CHECK_ERRNO(semctl(id, 3, GETVAL), EINVAL);
    CHECK_ERRNO(op(id, 3, 1, 0), EFBIG);
    CHECK_ERRNO(semop(id, ops, 0), EINVAL);
    CHECK_ERRNO(semop(id, ops, 501), E2BIG);
    CHECK_ERRNO(semop(id, NULL, 1), EFAULT);
    CHECK_ERRNO(semop(-1, ops, 1), EINVAL);
    unsigned short all[3];
    CHECK(semctl(id, 0, GETALL, (union semun){.array = all}) == 0);
    CHECK(all[0] == 2 && all[1] == 2 && all[2] == 32767);
    all[0] = 32768;
    CHECK_ERRNO(semctl(id, 0, SETALL, (union semun){.array = all}), ERANGE);
    all[0] = 9;
    CHECK(semctl(id, 0, SETALL, (union semun){.array = all}) == 0);
    CHECK_EQ(value(id, 0), 9);
    CHECK(semctl(id, 0, IPC_RMID) == 0);
    CHECK_ERRNO(value(id, 0), EINVAL);
}

static void waking(void) {
    int id = make(2);
    set(id, 1, 1);
    pid_t more = sleeper(id, 0, -2, 0), less = sleeper(id, 0, -1, 0), zero = sleeper(id, 1, 0, 0);
    CHECK(op(id, 0, 1, 0) == 0); // enough for the second only
    CHECK_EQ(result(less), 0);
    CHECK_EQ(semctl(id, 0, GETNCNT), 1);
    CHECK(op(id, 0, 2, 0) == 0);
    CHECK_EQ(result(more), 0);
    CHECK_EQ(value(id, 0), 0);
    CHECK_EQ(semctl(id, 0, GETPID), more);
    set(id, 1, 0); // SETVAL wakes too
    CHECK_EQ(result(zero), 0);
    // One that goes on lets the next go on.
    pid_t second = fork();
    if (second == 0) {
        struct sembuf chain[] = {{0, -1, 0}, {1, 1, 0}};
        _exit(semop(id, chain, 2) == 0 ? 0 : errno);
    }
    pid_t third = sleeper(id, 1, -1, 0);
    CHECK_SOON(semctl(id, 0, GETNCNT) == 1, 10);
    CHECK(op(id, 0, 1, 0) == 0);
    CHECK_EQ(result(second), 0);
    CHECK_EQ(result(third), 0);
    // Removed under sleepers:
    pid_t left = sleeper(id, 0, -1, 0);
    CHECK(semctl(id, 0, IPC_RMID) == 0);
    CHECK_EQ(result(left), EIDRM);
}

static void on_alarm(int number) { (void)number; }

static void limits_of_time(void) {
    int id = make(1);
    struct sembuf down = {0, -1, 0};
    struct timespec span = {0, 20000000}, bad = {0, 1000000000};
    double before = check_now();
    CHECK_ERRNO(semtimedop(id, &down, 1, &span), EAGAIN);
    CHECK(check_now() - before >= 0.02);
    CHECK_ERRNO(semtimedop(id, &down, 1, &bad), EINVAL);
    CHECK_EQ(semctl(id, 0, GETNCNT), 0);
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval soon = {{0, 0}, {0, 20000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK_ERRNO(semop(id, &down, 1), EINTR); // never started again
    CHECK(semctl(id, 0, IPC_RMID) == 0);
}

static void undone(void) {
    int id = make(2);
    set(id, 0, 5);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(op(id, 0, -3, SEM_UNDO) == 0);
        CHECK(op(id, 0, 1, SEM_UNDO) == 0);
        CHECK(op(id, 1, 4, SEM_UNDO) == 0);
        CHECK(op(id, 1, 1, 0) == 0); // this stays
        pid_t child = fork();        // has nothing to undo
        if (child == 0)
            _exit(0);
        CHECK_EQ(check_reap(child), 0);
        CHECK_EQ(value(id, 0), 3);
        char* arguments[] = {check_self, "no such case", NULL};
        close(1);                           // it says nothing
        execv("/proc/self/exe", arguments); // keeps it until the end
        _exit(9);
    }
    check_reap(pid);
    CHECK_EQ(value(id, 0), 5);
    CHECK_EQ(value(id, 1), 1);
    CHECK_EQ(semctl(id, 0, GETPID), pid);
    pid = fork();
    if (pid == 0) {
        CHECK(op(id, 0, -5, SEM_UNDO) == 0);
        pause();
    }
    CHECK_SOON(value(id, 0) == 0, 10);
    pid_t waits = sleeper(id, 0, -5, 0);
    kill(pid, SIGKILL);
    check_reap(pid);
    CHECK_EQ(result(waits), 0); // what it gave back woke who waited
    set(id, 0, 10);
    pid = fork();
    if (pid == 0) {
        CHECK(op(id, 0, -5, SEM_UNDO) == 0);
        set(id, 0, 1); // sets: nothing is undone any more
        CHECK(op(id, 1, 1, SEM_UNDO) == 0);
        CHECK(op(id, 1, -2, 0) == 0); // below what will be taken back
        _exit(0);
    }
    CHECK_EQ(check_reap(pid), 0);
    CHECK_EQ(value(id, 0), 1);
    CHECK_EQ(value(id, 1), 0); // not below zero
    pid = fork();
    if (pid == 0) { // the set goes first
        int own = make(1);
        CHECK(op(own, 0, 1, SEM_UNDO) == 0);
        CHECK(semctl(own, 0, IPC_RMID) == 0);
        _exit(0);
    }
    CHECK_EQ(check_reap(pid), 0);
    CHECK(semctl(id, 0, IPC_RMID) == 0);
}

static void borrowers(void) {
    static int id;
    id = make(1);
    CHECK(op(id, 0, 1, SEM_UNDO) == 0);
    pid_t pid = vfork();
    if (pid == 0)
        _exit(op(id, 0, 5, SEM_UNDO) != 0 || value(id, 0) != 6);
    CHECK_EQ(check_reap(pid), 0);
    CHECK_EQ(value(id, 0), 1); // its own was undone, the lender's was not
    pid = vfork();
    if (pid == 0) {
        if (op(id, 0, 7, SEM_UNDO) != 0)
            _exit(1);
        close(1); // it says nothing
        execl("/proc/self/exe", check_self, "no such case", (char*)NULL);
        _exit(2);
    }
    check_reap(pid);
    CHECK_EQ(value(id, 0), 1);
    CHECK(semctl(id, 0, IPC_RMID) == 0);
}

static void shared_undo(void) {
    int id = make(1);
    pid_t first = fork();
    if (first == 0) {
        CHECK(op(id, 0, 3, SEM_UNDO) == 0);
        pid_t second = (pid_t)syscall(SYS_clone, CLONE_SYSVSEM | SIGCHLD, NULL, NULL, NULL, NULL);
        if (second == 0) {
            CHECK(op(id, 0, 4, SEM_UNDO) == 0);
            _exit(0);
        }
        CHECK_EQ(check_reap(second), 0);
        CHECK_EQ(value(id, 0), 7); // the list lives on with us
        _exit(0);
    }
    CHECK_EQ(check_reap(first), 0);
    CHECK_EQ(value(id, 0), 0);
    CHECK(semctl(id, 0, IPC_RMID) == 0);
}

static void keys(void) {
    int key = 0x4e000000 + getpid();
    CHECK_ERRNO(semget(key, 1, 0600), ENOENT);
    CHECK_ERRNO(semget(key, 0, IPC_CREAT | 0600), EINVAL);
    CHECK_ERRNO(semget(key, -1, IPC_CREAT | 0600), EINVAL);
    CHECK_ERRNO(semget(key, 32001, IPC_CREAT | 0600), EINVAL);
    int id = semget(key, 4, IPC_CREAT | 0640);
    CHECK(id >= 0);
    CHECK_EQ(semget(key, 0, 0), id);
    CHECK_ERRNO(semget(key, 5, 0), EINVAL);
    CHECK_ERRNO(semget(key, 4, IPC_CREAT | IPC_EXCL), EEXIST);
    struct semid_ds s;
    CHECK(semctl(id, 0, IPC_STAT, (union semun){.status = &s}) == 0);
    CHECK_EQ(s.sem_nsems, 4);
    CHECK_EQ(s.sem_otime, 0);
    CHECK(s.sem_ctime != 0);
    CHECK_EQ(s.sem_perm.mode, 0640);
    CHECK(op(id, 3, 1, 0) == 0);
    CHECK(semctl(id, 0, IPC_STAT, (union semun){.status = &s}) == 0);
    CHECK(s.sem_otime != 0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(setgid(0) == 0 && setuid(1234) == 0); // of the group: may look
        CHECK_EQ(value(id, 3), 1);
        CHECK(op(id, 0, 0, 0) == 0);
        CHECK_ERRNO(op(id, 0, 1, 0), EACCES);
        CHECK_ERRNO(semctl(id, 0, SETVAL, (union semun){.value = 1}), EACCES);
        CHECK_ERRNO(semctl(id, 0, IPC_RMID), EPERM);
        CHECK_ERRNO(semget(key, 4, 0200), EACCES);
        _exit(0);
    }
    CHECK_EQ(check_reap(pid), 0);
    struct seminfo info;
    int last = semctl(0, 0, SEM_INFO, (union semun){.info = &info});
    CHECK(last >= 0 && info.semusz >= 1 && info.semaem >= 4);
    CHECK(semctl(0, 0, IPC_INFO, (union semun){.info = &info}) >= 0);
    CHECK_EQ(info.semmsl, 32000);
    CHECK_EQ(info.semopm, 500);
    CHECK_EQ(info.semvmx, 32767);
    char text[4096], line[80];
    CHECK(check_read_file("/proc/sysvipc/sem", text, sizeof text) > 0);
    CHECK(strncmp(text, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n", 85) ==
          0);
    snprintf(line, sizeof line, "\n%10d %10d   640          4     0     0     0     0 ", key, id);
    CHECK(strstr(text, line) != NULL);
    CHECK(check_read_file("/proc/sys/kernel/sem", text, sizeof text) > 0);
    CHECK(strcmp(text, "32000\t1024000000\t500\t32000\n") == 0);
    CHECK(semctl(id, 0, IPC_RMID) == 0);
}

static const struct check_case cases[] = {
    {"operations happen in order, all or none", all_or_none, 0, false},
    {"sleepers go on when there is enough for them, and hear of the end of the set", waking, 0, false},
    {"semtimedop gives up in time, and a signal ends a semop", limits_of_time, 0, false},
    {"the end of a process takes back what it did with SEM_UNDO, its exec does not", undone, 0, false},
    {"a borrower has an undo list of its own", borrowers, 0, false},
    {"processes with CLONE_SYSVSEM share one, which the last of them takes back", shared_undo, 0, false},
    {"keys, permissions, limits and /proc/sysvipc/sem", keys, 0, false},
};
CHECK_MAIN(cases)
