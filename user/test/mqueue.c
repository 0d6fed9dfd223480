// SPDX-License-Identifier: BSD-2-Clause
// POSIX message queues: priorities, time limits, notification, limits, and the mqueue file system.
#include "check.h"

#include <dirent.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/stat.h>

static char name[64];

static mqd_t make(int flags, long messages, long size) {
    snprintf(name, sizeof name, "/queue.%d", (int)getpid());
    struct mq_attr attributes = {.mq_maxmsg = messages, .mq_msgsize = size};
    mqd_t q = mq_open(name, O_CREAT | O_EXCL | O_RDWR | flags, 0600, &attributes);
    CHECK(q >= 0);
    return q;
}

static const char* take(mqd_t q, unsigned* priority) {
    static char text[8193];
    ssize_t n = mq_receive(q, text, 8192, priority);
    if (n < 0)
        return strerror(errno);
    text[n] = 0;
    return text;
}

#define CHECK_TAKES(q, expected, of_priority)                                                                          \
    do {                                                                                                               \
        unsigned check_p = 99;                                                                                         \
        const char* check_got = take(q, &check_p);                                                                     \
        if (strcmp(check_got, expected) != 0)                                                                          \
            check_fail("line %d: %s, expected %s", __LINE__, check_got, expected);                                     \
        CHECK_EQ(check_p, of_priority);                                                                                \
    } while (0)

static struct timespec in_ms(long ms) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static void priorities(void) {
    mqd_t q = make(O_NONBLOCK, 5, 8192);
    CHECK(mq_send(q, "low", 3, 1) == 0 && mq_send(q, "high", 4, 32767) == 0 && mq_send(q, "middle", 6, 5) == 0);
    CHECK(mq_send(q, "middle two", 10, 5) == 0 && mq_send(q, "", 0, 0) == 0);
    CHECK_ERRNO(mq_send(q, "x", 1, 0), EAGAIN);
    CHECK_ERRNO(mq_send(q, "x", 1, 32768), EINVAL);
    struct mq_attr a;
    CHECK(mq_getattr(q, &a) == 0);
    CHECK_EQ(a.mq_curmsgs, 5);
    CHECK_EQ(a.mq_maxmsg, 5);
    CHECK_EQ(a.mq_msgsize, 8192);
    CHECK_EQ(a.mq_flags, O_NONBLOCK);
    CHECK_TAKES(q, "high", 32767);
    CHECK_TAKES(q, "middle", 5);
    CHECK_TAKES(q, "middle two", 5);
    CHECK_TAKES(q, "low", 1);
    CHECK_TAKES(q, "", 0);
    char text[8192];
    CHECK_ERRNO(mq_receive(q, text, 8192, NULL), EAGAIN);
    CHECK_ERRNO(mq_receive(q, text, 8191, NULL), EMSGSIZE);
    a.mq_flags = 0;
    struct mq_attr old;
    CHECK(mq_setattr(q, &a, &old) == 0);
    CHECK_EQ(old.mq_flags, O_NONBLOCK);
    CHECK_EQ(fcntl(q, F_GETFL) & O_NONBLOCK, 0);
    a.mq_flags = O_APPEND;
    CHECK_ERRNO(mq_setattr(q, &a, NULL), EINVAL);
    CHECK_EQ(fcntl(q, F_GETFD), FD_CLOEXEC);
    CHECK(mq_unlink(name) == 0);
    CHECK_ERRNO(mq_unlink(name), ENOENT);
    CHECK(mq_send(q, "still", 5, 0) == 0); // as long as it is open
    CHECK_TAKES(q, "still", 0);
}

static void on_alarm(int number) { (void)number; }

static void time_limits(void) {
    mqd_t q = make(0, 1, 100);
    char text[100];
    struct timespec until = in_ms(20), past = {1, 0}, bad = {1, -1};
    CHECK_ERRNO(mq_timedreceive(q, text, 100, NULL, &until), ETIMEDOUT);
    CHECK_ERRNO(mq_timedreceive(q, text, 100, NULL, &past), ETIMEDOUT);
    CHECK_ERRNO(mq_timedreceive(q, text, 100, NULL, &bad), EINVAL);
    CHECK(mq_timedsend(q, "a", 1, 0, &past) == 0); // there is room: no need to wait
    CHECK_ERRNO(mq_timedsend(q, "b", 1, 0, &past), ETIMEDOUT);
    CHECK_ERRNO(mq_send(q, text, 101, 0), EMSGSIZE);
    pid_t pid = fork();
    if (pid == 0)
        _exit(mq_send(q, "b", 1, 0) == 0 ? 0 : errno);
    CHECK_SOON(check_state_of(pid) == 'S', 10);
    CHECK_EQ(mq_receive(q, text, 100, NULL), 1);
    CHECK_EQ(check_reap(pid), 0);
    CHECK_EQ(mq_receive(q, text, 100, NULL), 1);
    CHECK_EQ(text[0], 'b');
    pid = fork();
    if (pid == 0)
        _exit(mq_receive(q, text, 100, NULL) == 3 ? 0 : 1);
    CHECK_SOON(check_state_of(pid) == 'S', 10);
    CHECK(mq_send(q, "abc", 3, 0) == 0);
    CHECK_EQ(check_reap(pid), 0);
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval soon = {{0, 0}, {0, 20000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK_ERRNO(mq_receive(q, text, 100, NULL), EINTR);
    CHECK(mq_unlink(name) == 0);
}

static void readiness(void) {
    mqd_t q = make(0, 1, 100);
    struct pollfd p = {q, POLLIN | POLLOUT, 0};
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLOUT);
    int epoll = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.u32 = 1}}, got;
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, q, &event) == 0);
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 0);
    CHECK(mq_send(q, "a", 1, 0) == 0);
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 1);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN);
    CHECK(mq_unlink(name) == 0);
}

static volatile sig_atomic_t told;
static siginfo_t told_info;
static void on_message(int number, siginfo_t* info, void* context) {
    (void)number, (void)context;
    told_info = *info;
    told = told + 1;
}

static void notification(void) {
    mqd_t q = make(O_NONBLOCK, 5, 100);
    struct sigaction action = {.sa_sigaction = on_message, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77};
    CHECK(mq_notify(q, &event) == 0);
    CHECK_ERRNO(mq_notify(q, &event), EBUSY);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_ERRNO(mq_notify(q, &event), EBUSY);
        CHECK(mq_notify(q, NULL) == 0); // not ours: nothing happens
        CHECK(mq_send(q, "a", 1, 0) == 0);
        _exit(0);
    }
    CHECK_EQ(check_reap(pid), 0);
    CHECK_SOON(told == 1, 5);
    CHECK_EQ(told_info.si_code, SI_MESGQ);
    CHECK_EQ(told_info.si_pid, pid);
    CHECK_EQ(told_info.si_value.sival_int, 77);
    CHECK(mq_notify(q, &event) == 0);  // once only, so again
    CHECK(mq_send(q, "b", 1, 0) == 0); // it was not empty
    CHECK_EQ(told, 1);
    take(q, NULL);
    take(q, NULL);
    CHECK(mq_send(q, "c", 1, 0) == 0);
    CHECK_EQ(told, 2);
    take(q, NULL);
    CHECK(mq_notify(q, &event) == 0);
    CHECK(mq_notify(q, NULL) == 0);
    CHECK(mq_send(q, "d", 1, 0) == 0);
    CHECK_EQ(told, 2);
    take(q, NULL);
    event.sigev_notify = SIGEV_NONE;
    CHECK(mq_notify(q, &event) == 0);
    CHECK_ERRNO(mq_notify(q, &event), EBUSY);
    mqd_t again = mq_open(name, O_RDWR);
    close(again); // any descriptor of the queue that the process closes
    CHECK(mq_notify(q, &event) == 0);
    CHECK(mq_notify(q, NULL) == 0);
    // A receiver that sleeps gets the message instead.
    struct mq_attr blocking = {0};
    CHECK(mq_setattr(q, &blocking, NULL) == 0);
    event.sigev_notify = SIGEV_SIGNAL;
    CHECK(mq_notify(q, &event) == 0);
    pid = fork();
    if (pid == 0) {
        char text[100];
        _exit(mq_receive(q, text, 100, NULL) == 1 ? 0 : 1);
    }
    CHECK_SOON(check_state_of(pid) == 'S', 10);
    CHECK(mq_send(q, "e", 1, 0) == 0);
    CHECK_EQ(check_reap(pid), 0);
    CHECK_EQ(told, 2);
    event.sigev_notify = 99;
    CHECK_ERRNO(mq_notify(q, &event), EINVAL);
    CHECK_ERRNO(mq_notify(0, NULL), EBADF);
    CHECK(mq_unlink(name) == 0);
}

static void names_and_limits(void) {
    mqd_t q = make(0, 3, 100);
    CHECK_ERRNO(mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL), EEXIST);
    CHECK_ERRNO(mq_open("/nothing", O_RDWR), ENOENT);
    CHECK_ERRNO(mq_open("/a/b", O_CREAT | O_RDWR, 0600, NULL), EACCES);
    CHECK_ERRNO(mq_open("/", O_CREAT | O_RDWR, 0600, NULL), ENOENT);
    struct mq_attr bad = {.mq_maxmsg = 0, .mq_msgsize = 10};
    CHECK_ERRNO(mq_open("/bad", O_CREAT | O_RDWR, 0600, &bad), EINVAL);
    bad.mq_maxmsg = 65537;
    CHECK_ERRNO(mq_open("/bad", O_CREAT | O_RDWR, 0600, &bad), EINVAL);
    mqd_t reader = mq_open(name, O_RDONLY), writer = mq_open(name, O_WRONLY);
    char text[100];
    CHECK_ERRNO(mq_send(reader, "x", 1, 0), EBADF);
    CHECK_ERRNO(mq_receive(writer, text, 100, NULL), EBADF);
    CHECK_ERRNO(mq_send(1, "x", 1, 0), EBADF);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit little = {10000, 10000};
        CHECK(setrlimit(RLIMIT_MSGQUEUE, &little) == 0);
        CHECK(setgid(1234) == 0 && setuid(1234) == 0);
        CHECK_ERRNO(mq_open(name, O_RDONLY), EACCES);
        CHECK(mq_unlink(name) < 0 && (errno == EACCES || errno == EPERM));
        struct mq_attr many = {.mq_maxmsg = 11, .mq_msgsize = 10}, large = {.mq_maxmsg = 10, .mq_msgsize = 1000};
        CHECK_ERRNO(mq_open("/mine", O_CREAT | O_RDWR, 0600, &many), EINVAL);
        CHECK_ERRNO(mq_open("/mine", O_CREAT | O_RDWR, 0600, &large), EMFILE);
        large.mq_maxmsg = 5;
        CHECK(mq_open("/mine", O_CREAT | O_RDWR, 0600, &large) >= 0);
        CHECK_ERRNO(mq_open("/mine too", O_CREAT | O_RDWR, 0600, &large), EMFILE);
        CHECK(mq_unlink("/mine") == 0);
        _exit(0);
    }
    CHECK_EQ(check_reap(pid), 0);
    CHECK(mq_unlink(name) == 0);
    mqd_t plain = mq_open("/plain", O_CREAT | O_RDWR, 0666, NULL);
    struct mq_attr a;
    CHECK(mq_getattr(plain, &a) == 0);
    CHECK_EQ(a.mq_maxmsg, 10);
    CHECK_EQ(a.mq_msgsize, 8192);
    CHECK(mq_unlink("/plain") == 0);
    close(q);
}

static void the_file_system(void) {
    mqd_t q = make(0, 3, 100);
    CHECK(mq_send(q, "hello", 5, 0) == 0);
    char directory[64], path[160], text[128];
    mkdir("/tmp", 01777);
    snprintf(directory, sizeof directory, "/tmp/mqueue.%d", (int)getpid());
    CHECK(mkdir(directory, 0755) == 0);
    CHECK(mount("none", directory, "mqueue", 0, NULL) == 0);
    struct stat st;
    CHECK(stat(directory, &st) == 0);
    CHECK_EQ(st.st_mode, S_IFDIR | 01777);
    snprintf(path, sizeof path, "%s%s", directory, name);
    CHECK(stat(path, &st) == 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0600);
    CHECK_EQ(st.st_size, 80);
    CHECK(check_read_file(path, text, sizeof text) > 0);
    if (strcmp(text, "QSIZE:5          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n") != 0)
        check_fail("\"%s\"", text);
    DIR* list = opendir(directory);
    bool found = false;
    for (struct dirent* e; (e = readdir(list));)
        found |= strcmp(e->d_name, name + 1) == 0;
    closedir(list);
    CHECK(found);
    CHECK(chmod(path, 0644) == 0);
    CHECK(stat(path, &st) == 0);
    CHECK_EQ(st.st_mode & 0777, 0644);
    int fd = open(path, O_RDONLY);
    CHECK_EQ(mq_receive(fd, text, 100, NULL), 5); // an open file is a queue too
    close(fd);
    CHECK(unlink(path) == 0);
    CHECK_ERRNO(mq_open(name, O_RDWR), ENOENT);
    CHECK(umount(directory) == 0);
}

static const struct check_case cases[] = {
    {"messages come by priority, then by age, and a queue is there while it is open", priorities, 0, false},
    {"sending and receiving sleep, give up in time, and end with a signal", time_limits, 0, false},
    {"poll and epoll see messages and room", readiness, 0, false},
    {"mq_notify tells one process once that an empty queue got a message", notification, 0, false},
    {"NB-22 names, permissions and limits", names_and_limits, 0, false},
    {"the mqueue file system shows queues, and takes names away", the_file_system, 0, false},
};
CHECK_MAIN(cases)
