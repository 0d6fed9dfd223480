// SPDX-License-Identifier: BSD-2-Clause
// System V shared memory: who sees what, when a segment goes, and how attachments are counted through fork, exec, exit and
// vfork.
#include "check.h"

#include <sys/shm.h>
#include <sys/stat.h>

static int segment(size_t size) {
    int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
    CHECK(id >= 0);
    return id;
}

static struct shmid_ds status(int id) {
    struct shmid_ds s;
    CHECK(shmctl(id, IPC_STAT, &s) == 0);
    return s;
}

static char* attach(int id, int flags) {
    char* at = shmat(id, NULL, flags);
    CHECK(at != (void*)-1);
    return at;
}

static void shared(void) {
    int id = segment(10000);
    struct shmid_ds s = status(id);
    CHECK_EQ(s.shm_segsz, 10000);
    CHECK_EQ(s.shm_nattch, 0);
    CHECK_EQ(s.shm_cpid, getpid());
    CHECK_EQ(s.shm_lpid, 0);
    CHECK_EQ(s.shm_atime, 0);
    CHECK_EQ(s.shm_perm.mode, 0600);
    char* a = attach(id, 0);
    char* b = attach(id, 0);
    CHECK(a != b);
    CHECK_EQ(a[0], 0);
    a[9999] = 'x';
    a[12000] = 'y'; // up to the page's end
    CHECK_EQ(b[9999], 'x');
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(status(id).shm_nattch, 4);
        b[1] = 'c';
        CHECK(shmdt(b) == 0);
        CHECK_EQ(status(id).shm_nattch, 3);
        _exit(0);
    }
    CHECK_EQ(check_reap(pid), 0);
    CHECK_EQ(a[1], 'c');
    s = status(id);
    CHECK_EQ(s.shm_nattch, 2);
    CHECK(s.shm_atime != 0 && s.shm_dtime != 0);
    CHECK(shmdt(a) == 0 && shmdt(b) == 0);
    CHECK_ERRNO(shmdt(a), EINVAL);
    CHECK_ERRNO(shmdt(a + 1), EINVAL);
    s = status(id);
    CHECK_EQ(s.shm_nattch, 0);
    CHECK_EQ(s.shm_lpid, getpid());
    a = attach(id, 0); // what was written stays
    CHECK_EQ(a[9999], 'x');
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);
}

static void removal(void) {
    int key = 0x4c000000 + getpid();
    int id = shmget(key, 4096, IPC_CREAT | IPC_EXCL | 0600);
    CHECK(id >= 0);
    char* a = attach(id, 0);
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);
    struct shmid_ds s = status(id);
    CHECK(s.shm_perm.mode & SHM_DEST);
    CHECK_EQ(s.shm_perm.__key, IPC_PRIVATE);
    CHECK_ERRNO(shmget(key, 0, 0), ENOENT);
    char* b = attach(id, 0); // by its id it is still there
    a[0] = 1;
    CHECK_EQ(b[0], 1);
    CHECK(shmdt(a) == 0);
    CHECK_EQ(status(id).shm_nattch, 1);
    CHECK(shmdt(b) == 0);
    CHECK_ERRNO(shmctl(id, IPC_STAT, &s), EINVAL);
    CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EINVAL);
    CHECK(shmat(id, NULL, 0) == (void*)-1 && errno == EINVAL);
    id = segment(4096);
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);
    CHECK_ERRNO(shmctl(id, IPC_STAT, &s), EINVAL);
    CHECK(segment(4096) != id); // ids are not used again soon
}

static void the_end_of_a_process(void) {
    int id = segment(4096);
    for (int how = 0; how < 3; how++) {
        pid_t pid = fork();
        if (pid == 0) {
            char* at = attach(id, 0);
            at[how] = 1;
            if (how == 0)
                _exit(0);
            if (how == 1)
                raise(SIGKILL);
            char* arguments[] = {check_self, "no such case", NULL};
            close(1); // it says nothing
            execv("/proc/self/exe", arguments);
        }
        check_reap(pid);
        CHECK_SOON(status(id).shm_nattch == 0, 5);
        CHECK_EQ(status(id).shm_lpid, pid);
    }
    pid_t pid = fork(); // the last who has a removed one
    if (pid == 0) {
        attach(id, 0);
        CHECK(shmctl(id, IPC_RMID, NULL) == 0);
        _exit(0);
    }
    CHECK_EQ(check_reap(pid), 0);
    struct shmid_ds s;
    CHECK_SOON(shmctl(id, IPC_STAT, &s) < 0, 5);
}

static void borrowers(void) {
    static int id;
    static char* a;
    id = segment(4096);
    a = attach(id, 0);
    pid_t pid = vfork();
    if (pid == 0) { // the memory is the lender's: nothing is attached by that, and what is stays
        if (status(id).shm_nattch != 1)
            _exit(1);
        a[0] = 7;
        _exit(shmat(id, NULL, 0) == (void*)-1 ? 2 : 0);
    }
    CHECK_EQ(check_reap(pid), 0);
    CHECK_EQ(a[0], 7);
    CHECK_EQ(status(id).shm_nattch, 2);
    pid = vfork();
    if (pid == 0) {
        close(1); // it says nothing
        execl("/proc/self/exe", check_self, "no such case", (char*)NULL);
        _exit(3);
    }
    check_reap(pid);
    CHECK_EQ(status(id).shm_nattch, 2);
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);
}

static void places(void) {
    int id = segment(3 * 4096);
    char* room = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(shmat(id, room, 0) == (void*)-1 && errno == EINVAL); // something is there
    CHECK(shmat(id, room + 1, SHM_REMAP) == (void*)-1 && errno == EINVAL);
    CHECK(shmat(id, NULL, SHM_REMAP) == (void*)-1 && errno == EINVAL);
    room[0] = room[4 * 4096] = 'r';
    CHECK(shmat(id, room + 5, SHM_REMAP | SHM_RND) == room);
    CHECK_EQ(room[0], 0);
    CHECK_EQ(room[4 * 4096], 'r');
    CHECK(munmap(room + 4 * 4096, 4 * 4096) == 0);
    CHECK(shmat(id, room + 4 * 4096, 0) == room + 4 * 4096);
    room[4 * 4096] = 'a';
    CHECK_EQ(room[0], 'a');
    // A hole in the middle: what is left goes together.
    CHECK(munmap(room + 4096, 4096) == 0);
    CHECK_EQ(status(id).shm_nattch, 3);
    CHECK(shmdt(room) == 0);
    CHECK_EQ(status(id).shm_nattch, 1);
    unsigned char present;
    CHECK_ERRNO(mincore(room + 2 * 4096, 4096, &present), ENOMEM);
    CHECK_EQ(room[4 * 4096], 'a');
    CHECK(mprotect(room + 5 * 4096, 4096, PROT_READ) == 0);
    CHECK_EQ(room[5 * 4096], 0);
    CHECK(shmdt(room + 4 * 4096) == 0);
    CHECK_EQ(status(id).shm_nattch, 0);
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);
}

static void protections(void) {
    int id = segment(4096);
    char* r = attach(id, SHM_RDONLY);
    pid_t pid = fork();
    if (pid == 0) {
        r[0] = 1;
        _exit(0);
    }
    int status_of = check_reap(pid);
    CHECK(WIFSIGNALED(status_of) && WTERMSIG(status_of) == SIGSEGV);
    CHECK_ERRNO(mprotect(r, 4096, PROT_READ | PROT_WRITE), EACCES);
    uint32_t* x = (uint32_t*)attach(id, SHM_EXEC);
    x[0] = 0x02a00513; // li a0, 42
    x[1] = 0x00008067; // ret
    __builtin___clear_cache((char*)x, (char*)(x + 2));
    int (*function)(void);
    memcpy(&function, &x, sizeof x);
    CHECK_EQ(function(), 42);
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);
    // Of a stranger:
    id = shmget(IPC_PRIVATE, 4096, 0644);
    int closed = segment(4096);
    pid = fork();
    if (pid == 0) {
        CHECK(setgid(1234) == 0 && setuid(1234) == 0);
        struct shmid_ds s;
        attach(id, SHM_RDONLY);
        CHECK(shmat(id, NULL, 0) == (void*)-1 && errno == EACCES);
        CHECK(shmat(id, NULL, SHM_RDONLY | SHM_EXEC) == (void*)-1 && errno == EACCES);
        CHECK(shmat(closed, NULL, SHM_RDONLY) == (void*)-1 && errno == EACCES);
        CHECK_ERRNO(shmctl(closed, IPC_STAT, &s), EACCES);
        CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
        s = status(id);
        CHECK_ERRNO(shmctl(id, IPC_SET, &s), EPERM);
        _exit(0);
    }
    CHECK_EQ(check_reap(pid), 0);
    struct shmid_ds s = status(id);
    s.shm_perm.uid = 1234;
    s.shm_perm.mode = 0600;
    CHECK(shmctl(id, IPC_SET, &s) == 0);
    pid = fork();
    if (pid == 0) {
        CHECK(setgid(1234) == 0 && setuid(1234) == 0);
        attach(id, 0);
        _exit(shmctl(id, IPC_RMID, NULL) != 0);
    }
    CHECK_EQ(check_reap(pid), 0);
    CHECK(shmctl(closed, IPC_RMID, NULL) == 0);
}

static void keys(void) {
    int key = 0x4d000000 + getpid();
    CHECK_ERRNO(shmget(key, 4096, 0600), ENOENT);
    CHECK_ERRNO(shmget(key, 0, IPC_CREAT | 0600), EINVAL);
    int id = shmget(key, 5000, IPC_CREAT | 0600);
    CHECK(id >= 0);
    CHECK_EQ(shmget(key, 5000, IPC_CREAT), id);
    CHECK_EQ(shmget(key, 0, 0), id);
    CHECK_ERRNO(shmget(key, 5001, 0), EINVAL);
    CHECK_ERRNO(shmget(key, 5000, IPC_CREAT | IPC_EXCL), EEXIST);
    CHECK_ERRNO(shmctl(id, 999, NULL), EINVAL);
    CHECK_ERRNO(shmctl(-1, IPC_RMID, NULL), EINVAL);
    CHECK_ERRNO(shmctl(id, IPC_STAT, NULL), EFAULT);
    CHECK(shmat(-1, NULL, 0) == (void*)-1 && errno == EINVAL);
    struct shm_info totals;
    struct shmid_ds s;
    int last = shmctl(0, SHM_INFO, (void*)&totals);
    CHECK(last >= 0 && totals.used_ids >= 1 && totals.shm_tot >= 2);
    bool found = false;
    for (int i = 0; i <= last; i++)
        found |= shmctl(i, SHM_STAT, &s) == id && s.shm_segsz == 5000;
    CHECK(found);
    struct shminfo limits;
    CHECK(shmctl(0, IPC_INFO, (void*)&limits) >= 0);
    CHECK_EQ(limits.shmmni, 4096);
    CHECK_EQ(limits.shmmin, 1);
    char text[4096], line[120];
    CHECK(check_read_file("/proc/sysvipc/shm", text, sizeof text) > 0);
    CHECK(strncmp(text,
                  "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      "
                  "atime      dtime      ctime                   rss                  swap\n",
                  160) == 0);
    snprintf(line, sizeof line, "\n%10d %10d   600                  5000 %5u     0      0     0     0     0     0 ",
             key, id, (unsigned)getpid());
    CHECK(strstr(text, line) != NULL);
    char* at = attach(id, 0);
    at[0] = 1;
    CHECK(check_read_file("/proc/self/maps", text, sizeof text) > 0);
    snprintf(line, sizeof line, "/SYSV%08x (deleted)", key);
    CHECK(strstr(text, line) != NULL && strstr(text, " rw-s ") != NULL);
    CHECK(shmctl(id, IPC_RMID, NULL) == 0);
    FILE* f = fopen("/proc/sys/kernel/shmmax", "r+");
    CHECK(f && fprintf(f, "8192") > 0 && fclose(f) == 0);
    int small = shmget(IPC_PRIVATE, 8192, 0600), large = shmget(IPC_PRIVATE, 8193, 0600), why = errno;
    f = fopen("/proc/sys/kernel/shmmax", "r+");
    CHECK(f && fprintf(f, "18446744073692774399") > 0 && fclose(f) == 0);
    CHECK(small >= 0 && shmctl(small, IPC_RMID, NULL) == 0);
    CHECK(large < 0);
    CHECK_EQ(why, EINVAL);
}

static const struct check_case cases[] = {
    {"a segment is one memory for all who attach it, and is there until it is removed", shared, 0, false},
    {"a removed segment has no key, and goes when nobody has it any more", removal, 0, false},
    {"EC-102 exit, a signal and execve detach", the_end_of_a_process, 0, false},
    {"EC-102 a borrower attaches for its lender, and its exec detaches nothing", borrowers, 0, false},
    {"SHM_REMAP and SHM_RND say where, shmdt takes all that is left of one attachment", places, 0, false},
    {"SHM_RDONLY and SHM_EXEC hold, and so do owner and mode", protections, 0, false},
    {"keys, limits, /proc/sysvipc/shm and maps", keys, 0, false},
};
CHECK_MAIN(cases)
