// SPDX-License-Identifier: BSD-2-Clause
// Pipes, FIFOs, eventfds, and waiting for them with poll and select.
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>

static int ends[2];

static short ready(int fd, short events) {
    struct pollfd p = {fd, events, 0};
    CHECK(poll(&p, 1, 0) >= 0);
    return p.revents;
}

static void pass_bytes(void) {
    CHECK_EQ(pipe(ends), 0);
    char got[16] = {0};
    CHECK_EQ(write(ends[1], "hello", 5), 5);
    CHECK_EQ(write(ends[1], "", 0), 0);
    int n = 0;
    CHECK_EQ(ioctl(ends[0], FIONREAD, &n), 0);
    CHECK_EQ(n, 5);
    CHECK_EQ(read(ends[0], got, 2), 2);
    CHECK_EQ(read(ends[0], got + 2, 14), 3);
    CHECK(strcmp(got, "hello") == 0);
    CHECK_ERRNO(write(ends[0], "x", 1), EBADF);
    CHECK_ERRNO(read(ends[1], got, 1), EBADF);
    CHECK_ERRNO(lseek(ends[0], 0, SEEK_SET), ESPIPE);
    CHECK_ERRNO(pread(ends[0], got, 1, 0), ESPIPE);
    struct stat st;
    CHECK_EQ(fstat(ends[0], &st), 0);
    CHECK(S_ISFIFO(st.st_mode));
    close(ends[1]);
    CHECK_EQ(read(ends[0], got, 1), 0);
    CHECK_EQ(read(ends[0], got, 1), 0);
}

static void broken(void) {
    CHECK_EQ(pipe(ends), 0);
    close(ends[0]);
    pid_t pid = fork();
    if (pid == 0) {
        if (write(ends[1], "x", 1)) {
        }
        _exit(1);
    }
    CHECK_SIGNALED(check_reap(pid), SIGPIPE);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERRNO(write(ends[1], "x", 1), EPIPE);
    CHECK_EQ(ready(ends[1], POLLOUT) & POLLERR, POLLERR);
}

static void capacity(void) {
    CHECK_EQ(pipe2(ends, O_NONBLOCK), 0);
    CHECK_EQ(fcntl(ends[0], F_GETPIPE_SZ), 65536);
    static char block[70000], got[70000];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (char)(i * 7);
    CHECK_ERRNO(read(ends[0], got, 1), EAGAIN);
    CHECK_EQ(write(ends[1], block, sizeof block), 65536);
    CHECK_ERRNO(write(ends[1], block, 1), EAGAIN);
    CHECK_EQ(ready(ends[1], POLLOUT), 0);
    CHECK_EQ(read(ends[0], got, 4095), 4095);
    CHECK_EQ(read(ends[0], got + 4095, 1), 1);
    CHECK_EQ(ready(ends[1], POLLOUT), POLLOUT);
    CHECK_EQ(write(ends[1], block, 4096), 4096); // fits exactly
    CHECK_ERRNO(write(ends[1], block, 4096), EAGAIN);
    CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 200000), 262144);
    CHECK_EQ(write(ends[1], block, 70000), 70000);
    CHECK_ERRNO(fcntl(ends[1], F_SETPIPE_SZ, 4096), EBUSY);
    CHECK_EQ(read(ends[0], got + 4096, 61440), 61440);
    CHECK(memcmp(block, got, 65536) == 0);
    CHECK_EQ(read(ends[0], got, 4096), 4096);
    CHECK(memcmp(block, got, 4096) == 0);
    CHECK_EQ(read(ends[0], got, 70000), 70000);
    CHECK(memcmp(block, got, 70000) == 0);
    // Writable means: PIPE_BUF bytes at once.
    CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 8192), 8192);
    CHECK_EQ(write(ends[1], block, 8191), 8191);
    CHECK_EQ(ready(ends[1], POLLOUT), 0);
    CHECK_EQ(write(ends[1], block, 1), 1);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(setuid(65534), 0);
        CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
        CHECK_ERRNO(fcntl(ends[1], F_SETPIPE_SZ, 2 << 20), EPERM);
        CHECK_EQ(fcntl(ends[1], F_GETPIPE_SZ), 1 << 20);
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
}

// A reader that sleeps is woken by the last writer's end, not by the one before.
static void last_writer(void) {
    CHECK_EQ(pipe(ends), 0);
    pid_t reader = fork();
    if (reader == 0) {
        char c;
        close(ends[1]);
        _exit(read(ends[0], &c, 1) == 0 ? 7 : 1);
    }
    int second = dup(ends[1]);
    CHECK_SOON(check_state_of(reader) == 'S', 5);
    close(second);
    check_sleep_ms(30);
    CHECK_EQ(waitpid(reader, NULL, WNOHANG), 0);
    close(ends[1]);
    CHECK_EXITED(check_reap(reader), 7);
}

static void* write_and_leave(void* argument) {
    int* mine = argument;
    while (!__atomic_load_n(&mine[2], __ATOMIC_ACQUIRE)) {
    }
    CHECK_EQ(write(mine[1], "x", 1), 1);
    close(mine[1]);
    return NULL;
}
// What was written just before the last writer left is read before the end of the file.
static void last_words(void) {
    for (int i = 0; i < 400; i++) {
        int p[3] = {0, 0, 0};
        pthread_t thread;
        char c;
        CHECK_EQ(pipe(p), 0);
        CHECK_EQ(pthread_create(&thread, NULL, write_and_leave, p), 0);
        __atomic_store_n(&p[2], 1, __ATOMIC_RELEASE);
        for (volatile int k = 0; k < i % 40 * 10; k++) {
        }
        CHECK_EQ(read(p[0], &c, 1), 1);
        CHECK_EQ(read(p[0], &c, 1), 0);
        pthread_join(thread, NULL);
        close(p[0]);
    }
}

static void last_reader(void) {
    static char block[70000];
    CHECK_EQ(pipe(ends), 0);
    signal(SIGPIPE, SIG_IGN);
    pid_t writer = fork();
    if (writer == 0) {
        close(ends[0]);
        CHECK_EQ(write(ends[1], block, sizeof block), 65536); // as much as there was room for
        CHECK_ERRNO(write(ends[1], block, 1), EPIPE);
        _exit(7);
    }
    int second = dup(ends[0]);
    CHECK_SOON(check_state_of(writer) == 'S', 5);
    close(second);
    check_sleep_ms(30);
    CHECK_EQ(waitpid(writer, NULL, WNOHANG), 0);
    close(ends[0]);
    CHECK_EXITED(check_reap(writer), 7);
}

// Writers of up to PIPE_BUF bytes never mix, however they race.
enum { writers = 4, records = 400, record_size = 1000 };
static void* write_records(void* argument) {
    char record[record_size];
    memset(record, 'a' + (int)(long)argument, sizeof record);
    for (int i = 0; i < records; i++)
        CHECK_EQ(write(ends[1], record, sizeof record), record_size);
    return NULL;
}
static void atomic_writes(void) {
    CHECK_EQ(pipe(ends), 0);
    pthread_t threads[writers];
    for (long i = 0; i < writers; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, write_records, (void*)i), 0);
    int count[writers] = {0};
    for (int i = 0; i < writers * records; i++) {
        char record[record_size];
        for (int have = 0; have < record_size;) {
            ssize_t n = read(ends[0], record + have, (size_t)(record_size - have));
            CHECK(n > 0);
            have += (int)n;
        }
        for (int k = 1; k < record_size; k++)
            CHECK_EQ(record[k], record[0]);
        count[record[0] - 'a']++;
    }
    for (int i = 0; i < writers; i++) {
        CHECK_EQ(count[i], records);
        pthread_join(threads[i], NULL);
    }
}

// A great stream through a small pipe between two processes.
static void stream(void) {
    enum { total = 3000000 };
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        static unsigned char block[10007];
        size_t at = 0;
        while (at < total) {
            size_t n = sizeof block < total - at ? sizeof block : total - at;
            for (size_t i = 0; i < n; i++)
                block[i] = (unsigned char)((at + i) * 31 >> 3);
            if (write(ends[1], block, n) != (ssize_t)n)
                _exit(1);
            at += n;
        }
        _exit(0);
    }
    close(ends[1]);
    static unsigned char block[8191];
    size_t at = 0;
    for (ssize_t n; (n = read(ends[0], block, sizeof block)) > 0; at += (size_t)n)
        for (ssize_t i = 0; i < n; i++)
            CHECK_EQ(block[i], (unsigned char)((at + (size_t)i) * 31 >> 3));
    CHECK_EQ(at, total);
    CHECK_EXITED(check_reap(pid), 0);
}

static volatile sig_atomic_t alarms;
static void on_alarm(int signal) {
    (void)signal;
    alarms++;
}

static void interrupted(void) {
    CHECK_EQ(pipe(ends), 0);
    struct sigaction act = {.sa_handler = on_alarm};
    CHECK_EQ(sigaction(SIGALRM, &act, NULL), 0);
    struct itimerval timer = {{0, 0}, {0, 50000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
    char byte;
    CHECK_ERRNO(read(ends[0], &byte, 1), EINTR);
    CHECK_EQ(alarms, 1);
    act.sa_flags = SA_RESTART;
    CHECK_EQ(sigaction(SIGALRM, &act, NULL), 0);
    pid_t pid = fork();
    if (pid == 0) {
        check_sleep_ms(200);
        _exit(write(ends[1], "x", 1) != 1);
    }
    CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_EQ(alarms, 2);
    check_reap(pid);
    // A write that moved a part says how much.
    act.sa_flags = 0;
    CHECK_EQ(sigaction(SIGALRM, &act, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
    static char block[100000];
    CHECK_EQ(write(ends[1], block, sizeof block), 65536);
}

static void fifos(void) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/fifo-%d", (int)getpid());
    mkdir("/tmp", 01777);
    CHECK_EQ(mkfifo(path, 0600), 0);
    CHECK_ERRNO(open(path, O_WRONLY | O_NONBLOCK), ENXIO);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    CHECK(reader >= 0);
    char byte;
    CHECK_EQ(read(reader, &byte, 1), 0);
    CHECK_EQ(ready(reader, POLLIN), 0); // no writer yet: not its end
    close(reader);
    pid_t pid = fork();
    if (pid == 0) {
        check_sleep_ms(50);
        int fd = open(path, O_WRONLY);
        _exit(fd < 0 || write(fd, "abc", 3) != 3);
    }
    double before = check_now();
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    CHECK(check_now() - before > 0.03); // waited for the writer
    char got[8] = {0};
    CHECK_EQ(read(fd, got, 3), 3);
    CHECK(strcmp(got, "abc") == 0);
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_EQ(read(fd, got, 3), 0);
    CHECK_EQ(ready(fd, POLLIN) & POLLHUP, POLLHUP);
    close(fd);
    fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "own", 3), 3);
    CHECK_EQ(read(fd, got, 8), 3);
    unlink(path);
}

static void* write_later(void* argument) {
    check_sleep_ms(50);
    CHECK_EQ(write(*(int*)argument, "x", 1), 1);
    return NULL;
}

static void polling(void) {
    int a[2], b[2];
    CHECK_EQ(pipe(a), 0);
    CHECK_EQ(pipe(b), 0);
    struct pollfd p[4] = {{a[0], POLLIN, 9}, {-1, POLLIN, 9}, {b[0], POLLIN, 9}, {999, POLLIN, 9}};
    CHECK_EQ(poll(p, 3, 0), 0);
    CHECK_EQ(p[1].revents, 0);
    CHECK_EQ(poll(p, 4, -1), 1);
    CHECK_EQ(p[3].revents, POLLNVAL);
    double before = check_now();
    CHECK_EQ(poll(p, 3, 100), 0);
    CHECK(check_now() - before >= 0.099);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, write_later, &b[1]), 0);
    CHECK_EQ(poll(p, 3, -1), 1);
    CHECK_EQ(p[2].revents, POLLIN);
    CHECK_EQ(p[0].revents, 0);
    pthread_join(thread, NULL);
    CHECK_EQ(ready(a[1], POLLOUT | POLLIN), POLLOUT);
    close(a[1]);
    CHECK_EQ(ready(a[0], POLLIN), POLLHUP);
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(a[0], &in);
    FD_SET(b[0], &in);
    FD_SET(b[1], &out);
    struct timeval time = {1, 0};
    CHECK_EQ(select(b[1] + 1, &in, &out, NULL, &time), 3);
    CHECK(FD_ISSET(a[0], &in) && FD_ISSET(b[0], &in) && FD_ISSET(b[1], &out));
}

// Two hundred pipes, one reader that polls them all, writers everywhere: no wake-up is lost.
enum { many = 200, pollers = 4 };
static int many_pipes[many][2];
static void* write_many(void* argument) {
    for (int i = (int)(long)argument; i < many; i += pollers)
        CHECK_EQ(write(many_pipes[i][1], "x", 1), 1);
    return NULL;
}
static void poll_many(void) {
    struct pollfd p[many];
    for (int i = 0; i < many; i++) {
        CHECK_EQ(pipe(many_pipes[i]), 0);
        p[i] = (struct pollfd){many_pipes[i][0], POLLIN, 0};
    }
    for (int round = 0; round < 20; round++) {
        pthread_t threads[pollers];
        for (long i = 0; i < pollers; i++)
            CHECK_EQ(pthread_create(&threads[i], NULL, write_many, (void*)i), 0);
        for (int left = many; left > 0;) {
            CHECK(poll(p, many, 10000) > 0);
            for (int i = 0; i < many; i++) {
                char byte;
                if (p[i].revents) {
                    CHECK_EQ(read(p[i].fd, &byte, 1), 1);
                    left--;
                }
            }
        }
        for (int i = 0; i < pollers; i++)
            pthread_join(threads[i], NULL);
    }
}

// What poll says of a pipe without waiting has to be what was done to it, whoever did it. Its ends are opened and closed again
// through /proc, bytes come and go in every way, and it grows and shrinks.
enum { end_max = 2, part_max = 6000 };
static unsigned dice(unsigned* state, unsigned sides) {
    *state = *state * 1664525 + 1013904223;
    return (*state >> 8) % sides;
}
static int open_again(int fd, int flags) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, flags | O_NONBLOCK);
}
// How many bytes went in, or came out (negative).
static long shove(const int* to, unsigned what, unsigned n) {
    static char part[part_max]; // what is in there is all the same
    static const int sizes[] = {4096, 8192, 65536};
    int null;
    long moved = 0;
    switch (what) {
    case 0: moved = write(to[1], part, n); break;
    case 1: moved = write(to[1], part, 1); break;
    case 2: moved = -read(to[0], (char[part_max]){0}, n); break;
    case 3: moved = -read(to[0], (char[1]){0}, 1); break;
    case 4:
        null = open("/dev/null", O_WRONLY);
        moved = -splice(to[0], NULL, null, NULL, n, SPLICE_F_NONBLOCK);
        close(null);
        break;
    case 5: moved = vmsplice(to[1], &(struct iovec){part, n}, 1, SPLICE_F_NONBLOCK); break;
    case 6: moved = writev(to[1], (struct iovec[2]){{part, n / 2}, {part, n - n / 2}}, 2); break;
    default: (void)fcntl(to[0] >= 0 ? to[0] : to[1], F_SETPIPE_SZ, sizes[n % 3]); return 0;
    }
    return what >= 2 && what <= 4 ? (moved == 1 && errno == EAGAIN ? 0 : moved) : moved < 0 ? 0 : moved;
}
static void check_ends(const int* fds, long inside, bool readers, bool writers) {
    const short all = POLLIN | POLLRDNORM | POLLOUT | POLLPRI;
    int n = -1;
    if (fds[0] >= 0) {
        CHECK_EQ(ready(fds[0], all), (inside > 0 ? POLLIN | POLLRDNORM : 0) | (writers ? 0 : POLLHUP));
        CHECK_EQ(ready(fds[0], POLLPRI), writers ? 0 : POLLHUP);
        CHECK_EQ(ioctl(fds[0], FIONREAD, &n), 0);
        CHECK_EQ(n, inside);
    }
    if (fds[1] >= 0) {
        CHECK_EQ(ready(fds[1], all) & ~POLLOUT, readers ? 0 : POLLERR);
        struct timeval now = {0, 0};
        fd_set in, out;
        FD_ZERO(&in);
        FD_ZERO(&out);
        if (fds[0] >= 0)
            FD_SET(fds[0], &in);
        FD_SET(fds[1], &out);
        CHECK(select((fds[0] > fds[1] ? fds[0] : fds[1]) + 1, &in, &out, NULL, &now) >= 0);
        CHECK_EQ(!!FD_ISSET(fds[1], &out), (ready(fds[1], POLLOUT) & (POLLOUT | POLLERR)) != 0);
        if (fds[0] >= 0)
            CHECK_EQ(!!FD_ISSET(fds[0], &in), inside > 0 || !writers);
    }
}
static void polled_as_it_is(void) {
    signal(SIGPIPE, SIG_IGN);
    unsigned state = 7;
    for (int round = 0; round < 8; round++) {
        int fds[2], more[2] = {-1, -1};
        long inside = 0;
        CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
        for (int step = 0; step < 300; step++) {
            const unsigned what = dice(&state, 14), n = 1 + dice(&state, part_max);
            if (what < 8) {
                const int use[2] = {fds[0] >= 0 ? fds[0] : more[0], fds[1] >= 0 ? fds[1] : more[1]};
                if (use[0] < 0 || use[1] < 0)
                    continue;
                // POLLOUT is the promise that PIPE_BUF bytes go in as one.
                const bool fits = ready(use[1], POLLOUT) == POLLOUT;
                if (what == 0 && n > 4000) {
                    static char most[4096];
                    const long moved = write(use[1], most, sizeof most);
                    CHECK_EQ(moved, fits ? (long)sizeof most : -1);
                    inside += moved > 0 ? moved : 0;
                } else {
                    inside += shove(use, what, n);
                }
            } else {
                int *const end = what % 2 ? &fds[what / 2 % 2] : &more[what / 2 % 2], side = (int)(what / 2 % 2);
                const int other = end == &fds[side] ? more[side] : fds[side];
                if (*end < 0) {
                    const int any = other >= 0 ? other : fds[!side] >= 0 ? fds[!side] : more[!side];
                    *end = open_again(any, side ? O_WRONLY : O_RDONLY);
                    CHECK(*end >= 0 || errno == ENXIO);
                } else if (other >= 0 || fds[!side] >= 0 || more[!side] >= 0) { // one stays, or the bytes go
                    close(*end);
                    *end = -1;
                }
            }
            const bool readers = fds[0] >= 0 || more[0] >= 0, writers = fds[1] >= 0 || more[1] >= 0;
            check_ends(fds, inside, readers, writers);
            check_ends(more, inside, readers, writers);
        }
        for (int side = 0; side < 2; side++) {
            close(fds[side]);
            close(more[side]);
        }
    }
}

static int raced[2];
static _Atomic long raced_inside;
static void* race(void* argument) {
    unsigned state = (unsigned)(long)argument;
    for (int step = 0; step < 150; step++) {
        const unsigned what = dice(&state, 10), n = 1 + dice(&state, part_max);
        if (what < 8) {
            raced_inside += shove(raced, what == 4 ? 2 : what, n); // what a splice takes another may read meanwhile
        } else {
            const int fd = open_again(raced[what - 8], what == 9 ? O_WRONLY : O_RDONLY);
            CHECK(fd >= 0);
            close(fd);
        }
    }
    return NULL;
}
static void polled_after_a_race(void) {
    enum { racers = 6 };
    signal(SIGPIPE, SIG_IGN);
    for (long round = 0; round < 12; round++) {
        pthread_t threads[racers];
        CHECK_EQ(pipe2(raced, O_NONBLOCK), 0);
        raced_inside = 0;
        for (long i = 0; i < racers; i++)
            CHECK_EQ(pthread_create(&threads[i], NULL, race, (void*)(round * racers + i)), 0);
        for (int i = 0; i < racers; i++)
            pthread_join(threads[i], NULL);
        check_ends(raced, raced_inside, true, true);
        char part[part_max];
        for (long n; (n = read(raced[0], part, sizeof part)) > 0;)
            raced_inside -= n;
        check_ends(raced, raced_inside, true, true);
        CHECK_EQ(raced_inside, 0);
        CHECK_EQ(ready(raced[1], POLLOUT), POLLOUT);
        close(raced[1]);
        CHECK_EQ(ready(raced[0], POLLIN), POLLHUP);
        close(raced[0]);
    }
}

static void eventfds(void) {
    int fd = eventfd(3, EFD_NONBLOCK);
    uint64_t value = 0;
    CHECK_EQ(read(fd, &value, 8), 8);
    CHECK_EQ(value, 3);
    CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
    CHECK_ERRNO(read(fd, &value, 4), EINVAL);
    value = 5;
    CHECK_EQ(write(fd, &value, 8), 8);
    CHECK_EQ(write(fd, &value, 8), 8);
    CHECK_EQ(ready(fd, POLLIN | POLLOUT), POLLIN | POLLOUT);
    CHECK_EQ(read(fd, &value, 8), 8);
    CHECK_EQ(value, 10);
    value = ~0ull;
    CHECK_ERRNO(write(fd, &value, 8), EINVAL);
    value = ~0ull - 1;
    CHECK_EQ(write(fd, &value, 8), 8);
    CHECK_EQ(ready(fd, POLLIN | POLLOUT), POLLIN);
    value = 1;
    CHECK_ERRNO(write(fd, &value, 8), EAGAIN);
    fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    CHECK_EQ(read(fd, &value, 8), 8);
    CHECK_EQ(value, 1);
    CHECK_EQ(read(fd, &value, 8), 8);
    CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
}

static void reopened(void) {
    CHECK_EQ(pipe(ends), 0);
    char path[64], text[64] = {0};
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
    CHECK(readlink(path, text, sizeof text - 1) > 0);
    CHECK(strncmp(text, "pipe:[", 6) == 0);
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && fd != ends[1]);
    close(ends[1]);
    CHECK_EQ(write(fd, "again", 5), 5);
    CHECK_EQ(read(ends[0], text, 64), 5);
    close(fd);
    CHECK_EQ(read(ends[0], text, 64), 0);
}

// The one that waits runs as soon as it is woken, writes or reads, and is gone before the other has returned from open.
static void a_fifo_met_once(void) {
    const char* path = "/tmp/met.fifo";
    const struct sched_param param = {.sched_priority = 5};
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
    CHECK_EQ(mkfifo(path, 0600), 0);
    for (int round = 0; round < 2; round++) {
        const bool reads = round == 1;
        pid_t other = fork();
        if (other == 0) {
            if (sched_setscheduler(0, SCHED_FIFO, &param) != 0)
                _exit(1);
            int fd = open(path, reads ? O_RDONLY : O_WRONLY);
            _exit(fd >= 0 && (reads || write(fd, "x", 1) == 1) && close(fd) == 0 ? 0 : 2);
        }
        usleep(100000);
        int fd = open(path, reads ? O_WRONLY : O_RDONLY);
        CHECK(fd >= 0);
        char c = 0;
        if (!reads)
            CHECK(read(fd, &c, 1) == 1 && c == 'x' && read(fd, &c, 1) == 0);
        int status;
        CHECK_EQ(waitpid(other, &status, 0), other);
        CHECK_EQ(status, 0);
        close(fd);
    }
    unlink(path);
}

static const struct check_case cases[] = {
    {"bytes go through in order, and the end of file follows the last writer", pass_bytes, 0, false},
    {"writing without a reader is answered with SIGPIPE or EPIPE", broken, 0, false},
    {"the end of the last writer wakes a sleeping reader", last_writer, 0, false},
    {"the end of the last reader wakes a sleeping writer", last_reader, 0, false},
    {"what the last writer wrote is read before the end of the file", last_words, 0, false},
    {"a pipe holds 64 KiB, can be resized, and keeps what is in it", capacity, 0, false},
    {"writes of up to PIPE_BUF bytes never mix", atomic_writes, 60, false},
    {"a stream much larger than the pipe arrives whole", stream, 60, false},
    {"signals end, restart or cut off calls that wait", interrupted, 0, false},
    {"FIFOs wait for the other side unless told not to", fifos, 0, false},
    {"a FIFO that was opened by one who then ran on and left again is open", a_fifo_met_once, 0, false},
    {"poll and select report what is ready, what hung up, and time limits", polling, 0, false},
    {"poll on two hundred pipes with writers on every hart loses no wake-up", poll_many, 60, false},
    {"poll says of a pipe's ends what they are, whatever was done to it before", polled_as_it_is, 60, false},
    {"poll says what a pipe's ends are after threads raced on it", polled_after_a_race, 60, false},
    {"eventfd counts, and as a semaphore gives one at a time", eventfds, 0, false},
    {"a pipe can be opened again through /proc/self/fd", reopened, 0, false},
};
CHECK_MAIN(cases)
