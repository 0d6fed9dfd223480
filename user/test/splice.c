// SPDX-License-Identifier: BSD-2-Clause
// splice, tee, vmsplice, and what lies beside them: membarrier and kcmp.
#include "check.h"

#include <linux/kcmp.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

static int file_with(const char* text) {
    int fd = memfd_create("file", 0);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static void expect(int fd, const char* text) {
    char buffer[256];
    ssize_t n = read(fd, buffer, sizeof buffer - 1);
    CHECK(n >= 0);
    buffer[n] = 0;
    if (strcmp(buffer, text) != 0)
        check_fail("\"%s\", expected \"%s\"", buffer, text);
}

static void file_and_pipe(void) {
    int p[2], file = file_with("0123456789"), to = file_with("");
    CHECK(pipe(p) == 0);
    CHECK_EQ(splice(file, NULL, p[1], NULL, 4, 0), 4);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 4);
    loff_t at = 7;
    CHECK_EQ(splice(file, &at, p[1], NULL, 100, 0), 3); // up to the end
    CHECK_EQ(at, 10);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 4);
    CHECK_EQ(splice(file, &at, p[1], NULL, 100, 0), 0);
    loff_t where = 2;
    CHECK_EQ(splice(p[0], NULL, to, &where, 5, 0), 5);
    CHECK_EQ(where, 7);
    CHECK_EQ(splice(p[0], NULL, to, NULL, 100, 0), 2); // what there is
    CHECK_EQ(lseek(to, 0, SEEK_SET), 0);
    char text[16] = "";
    CHECK_EQ(read(to, text, 16), 7);
    CHECK(memcmp(text,
                 "89"
                 "01237",
                 7) == 0);
    CHECK_ERRNO(splice(p[0], NULL, to, NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
    close(p[1]);
    CHECK_EQ(splice(p[0], NULL, to, NULL, 1, 0), 0);
    CHECK(pipe(p) == 0);
    signal(SIGPIPE, SIG_IGN);
    close(p[0]);
    CHECK_ERRNO(splice(file, NULL, p[1], NULL, 1, 0), EPIPE);
}

static void errors(void) {
    int p[2], q[2], file = file_with("0123456789");
    CHECK(pipe(p) == 0 && pipe(q) == 0);
    loff_t zero = 0, below = -1;
    CHECK_ERRNO(splice(file, NULL, file, NULL, 1, 0), EINVAL);
    CHECK_ERRNO(splice(p[0], NULL, p[1], NULL, 1, SPLICE_F_NONBLOCK), EINVAL);
    CHECK_ERRNO(splice(p[0], &zero, file, NULL, 1, 0), ESPIPE);
    CHECK_ERRNO(splice(file, NULL, p[1], &zero, 1, 0), ESPIPE);
    CHECK_ERRNO(splice(file, &below, p[1], NULL, 1, 0), EINVAL);
    CHECK_ERRNO(splice(p[1], NULL, q[1], NULL, 1, 0), EBADF);
    CHECK_ERRNO(splice(file, NULL, p[0], NULL, 1, 0), EBADF);
    CHECK_ERRNO(splice(file, NULL, p[1], NULL, 1, 0x100), EINVAL);
    CHECK_EQ(splice(999, NULL, p[1], NULL, 0, 0), 0); // nothing asked for
    CHECK_ERRNO(splice(999, NULL, p[1], NULL, 1, 0), EBADF);
    CHECK_ERRNO(tee(file, p[1], 1, 0), EINVAL);
    struct iovec v = {"x", 1};
    CHECK_ERRNO(vmsplice(file, &v, 1, 0), EBADF);
    CHECK(fcntl(file, F_SETFL, O_APPEND) == 0);
    CHECK(write(p[1], "x", 1) == 1);
    CHECK_ERRNO(splice(p[0], NULL, file, NULL, 1, 0), EINVAL);
    expect(p[0], "x"); // it is still there
}

static void between_pipes(void) {
    int p[2], q[2];
    CHECK(pipe(p) == 0 && pipe(q) == 0);
    CHECK(write(p[1], "hello world", 11) == 11);
    CHECK_EQ(tee(p[0], q[1], 5, 0), 5);
    expect(q[0], "hello");
    CHECK_EQ(splice(p[0], NULL, q[1], NULL, 6, 0), 6);
    expect(q[0], "hello ");
    expect(p[0], "world");
    CHECK_ERRNO(tee(p[0], q[1], 5, SPLICE_F_NONBLOCK), EAGAIN);
    // More than a page, in pieces, with the bytes in order.
    char* all = malloc(60000);
    char* got = malloc(60000);
    for (int i = 0; i < 60000; i++)
        all[i] = (char)(i * 7 + i / 251);
    CHECK_EQ(write(p[1], all, 60000), 60000);
    CHECK_EQ(read(p[0], got, 100), 100);
    size_t done = 100;
    while (done < 60000) {
        ssize_t n = tee(p[0], q[1], 5000, 0);
        CHECK(n > 0);
        CHECK_EQ(read(q[0], got + done, (size_t)n), n);
        CHECK(memcmp(got + done, all + done, (size_t)n) == 0);
        memset(got + done, 0, (size_t)n);
        ssize_t m = splice(p[0], NULL, q[1], NULL, (size_t)n, 0);
        CHECK(m > 0 && m <= n);
        CHECK_EQ(read(q[0], got + done, (size_t)m), m);
        done += (size_t)m;
    }
    CHECK(memcmp(got + 100, all + 100, 59900) == 0);
}

static void sockets(void) {
    int p[2], s[2];
    CHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    CHECK(write(p[1], "ping", 4) == 4);
    CHECK_EQ(splice(p[0], NULL, s[0], NULL, 4, 0), 4);
    expect(s[1], "ping");
    CHECK(write(s[1], "pong", 4) == 4);
    CHECK_EQ(splice(s[0], NULL, p[1], NULL, 100, 0), 4);
    expect(p[0], "pong");
    int file = file_with("contents");
    CHECK_EQ(sendfile(p[1], file, NULL, 3), 3); // into a pipe too
    expect(p[0], "con");
}

static void memory(void) {
    int p[2];
    CHECK(pipe(p) == 0);
    struct iovec v[2] = {{"abc", 3}, {"defg", 4}};
    CHECK_EQ(vmsplice(p[1], v, 2, 0), 7);
    char a[3], b[5] = "";
    struct iovec w[2] = {{a, 3}, {b, 4}};
    CHECK_EQ(vmsplice(p[0], w, 2, 0), 7);
    CHECK(memcmp(a, "abc", 3) == 0 && strcmp(b, "defg") == 0);
    CHECK_ERRNO(vmsplice(p[0], w, 2, SPLICE_F_NONBLOCK), EAGAIN);
    char* large = aligned_alloc(4096, 204800);
    memset(large, 'x', 204800);
    v[0] = (struct iovec){large, 200000};
    CHECK_EQ(vmsplice(p[1], v, 1, SPLICE_F_NONBLOCK), 65536); // what fits
    CHECK_ERRNO(vmsplice(p[1], v, 1, SPLICE_F_NONBLOCK), EAGAIN);
}

static void sleeping(void) {
    int p[2], file = file_with("");
    CHECK(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(splice(p[0], NULL, file, NULL, 100, 0) != 4);
    CHECK_SOON(check_state_of(pid) == 'S', 10);
    CHECK(write(p[1], "wake", 4) == 4);
    CHECK_EQ(check_reap(pid), 0);
    expect(file, ""); // the position is shared, behind what was written
    CHECK(lseek(file, 0, SEEK_SET) == 0);
    expect(file, "wake");
}

static long barrier(int command) { return syscall(SYS_membarrier, command, 0, 0); }

static atomic_int mine, theirs;
static int seen_by_me, seen_by_them;
static atomic_int rounds, over;
static void* other_side(void* nothing) {
    for (int i = 1; !atomic_load(&over); i++) {
        while (atomic_load_explicit(&rounds, memory_order_acquire) < i)
            if (atomic_load(&over))
                return nothing;
        atomic_store_explicit(&theirs, i, memory_order_relaxed);
        __asm__ volatile("" ::: "memory"); // nothing but the order of the program
        seen_by_them = atomic_load_explicit(&mine, memory_order_relaxed);
        atomic_store_explicit(&rounds, -i, memory_order_release);
        while (atomic_load_explicit(&rounds, memory_order_acquire) == -i && !atomic_load(&over)) {
        }
    }
    return nothing;
}

static void barriers(void) {
    long known = barrier(MEMBARRIER_CMD_QUERY);
    long wanted = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;
    CHECK_EQ(known & wanted, wanted);
    CHECK_ERRNO(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), EPERM); // not registered
    CHECK_ERRNO(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE), EPERM);
    CHECK_ERRNO(syscall(SYS_membarrier, 0, 5, 0), EINVAL);
    CHECK_ERRNO(barrier(1 << 20), EINVAL);
    CHECK_EQ(barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED), 0);
    CHECK_EQ(barrier(MEMBARRIER_CMD_GLOBAL), 0);
    // Store then load on both sides: with a barrier in between on ours, and one made for the other, one sees the other.
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, other_side, NULL) == 0);
    for (int i = 1; i <= 200; i++) {
        atomic_store_explicit(&rounds, i, memory_order_release);
        atomic_store_explicit(&mine, i, memory_order_relaxed);
        CHECK_EQ(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), 0);
        seen_by_me = atomic_load_explicit(&theirs, memory_order_relaxed);
        while (atomic_load_explicit(&rounds, memory_order_acquire) != -i)
            sched_yield();
        CHECK(seen_by_me == i || seen_by_them == i);
    }
    atomic_store(&over, 1);
    pthread_join(thread, NULL);
    pid_t pid = fork(); // a copy of a map is registered as it is
    if (pid == 0)
        _exit(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0);
    CHECK_EQ(check_reap(pid), 0);
}

static long same(int kind, long a, long b) { return syscall(SYS_kcmp, getpid(), getppid(), kind, a, b); }

static void comparisons(void) {
    int p[2];
    CHECK(pipe(p) == 0);
    int copy = dup(p[0]);
    CHECK_EQ(syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, p[0], copy), 0);
    long order = syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, p[0], p[1]);
    CHECK(order == 1 || order == 2);
    CHECK_EQ(syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, p[1], p[0]), 3 - order);
    CHECK_ERRNO(syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, p[1], 999), EBADF);
    CHECK_ERRNO(syscall(SYS_kcmp, getpid(), getpid(), 99, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_kcmp, getpid(), 999999, KCMP_VM, 0, 0), ESRCH);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(same(KCMP_FILE, p[0], p[0]), 0); // open files are shared, all else is a copy
        CHECK(same(KCMP_FILES, 0, 0) > 0 && same(KCMP_VM, 0, 0) > 0 && same(KCMP_FS, 0, 0) > 0);
        CHECK(same(KCMP_SIGHAND, 0, 0) > 0);
        _exit(0);
    }
    CHECK_EQ(check_reap(pid), 0);
    pid = vfork();
    if (pid == 0)
        _exit(same(KCMP_VM, 0, 0) != 0 || same(KCMP_FILES, 0, 0) <= 0);
    CHECK_EQ(check_reap(pid), 0);
}

static const struct check_case cases[] = {
    {"splice moves between a file, with its position or another, and a pipe", file_and_pipe, 0, false},
    {"splice, tee and vmsplice refuse what makes no sense, and lose nothing", errors, 0, false},
    {"splice moves and tee copies from pipe to pipe, in order", between_pipes, 0, false},
    {"splice works with sockets, and sendfile with pipes", sockets, 0, false},
    {"vmsplice puts what fits and takes what is there", memory, 0, false},
    {"splice from an empty pipe sleeps", sleeping, 0, false},
    {"membarrier orders another thread's accesses, if it was registered", barriers, 60, false},
    {"kcmp tells what two processes share", comparisons, 0, false},
};
CHECK_MAIN(cases)
