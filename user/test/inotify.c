// SPDX-License-Identifier: BSD-2-Clause
// inotify(7): which events come, in which order and with which names; what a queue does when it is full; how watches end.
#include "check.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

static char root[64]; // a directory of the case's own
static int queue;     // its inotify, nonblocking

static const char* in(const char* name) {
    static char paths[4][128];
    static int next;
    char* path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void begin(void) {
    snprintf(root, sizeof root, "/tmp/inotify.%d", (int)getpid());
    mkdir("/tmp", 01777);
    CHECK(mkdir(root, 0755) == 0);
    queue = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    CHECK(queue >= 0);
}

static int watch(const char* path, uint32_t mask) {
    int wd = inotify_add_watch(queue, path, mask);
    CHECK(wd > 0);
    return wd;
}

static void make(const char* name, const char* text) {
    int fd = open(in(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0);
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

// All that is queued as text: "number:EVENT|EVENT[=cookie's ordinal][ name];...".
static const char* events(void) {
    static char text[4000];
    static const struct {
        uint32_t bit;
        const char* name;
    } names[] = {{IN_ACCESS, "access"},           {IN_MODIFY, "modify"},
                 {IN_ATTRIB, "attrib"},           {IN_CLOSE_WRITE, "close_write"},
                 {IN_CLOSE_NOWRITE, "close"},     {IN_OPEN, "open"},
                 {IN_MOVED_FROM, "from"},         {IN_MOVED_TO, "to"},
                 {IN_CREATE, "create"},           {IN_DELETE, "delete"},
                 {IN_DELETE_SELF, "delete_self"}, {IN_MOVE_SELF, "move_self"},
                 {IN_UNMOUNT, "unmount"},         {IN_Q_OVERFLOW, "overflow"},
                 {IN_IGNORED, "ignored"},         {IN_ISDIR, "dir"}};
    static uint32_t cookies[64];
    static unsigned cookie_count;
    char buffer[8192] __attribute__((aligned(8)));
    size_t at = 0;
    text[0] = 0;
    ssize_t n;
    while ((n = read(queue, buffer, sizeof buffer)) > 0)
        for (char* p = buffer; p < buffer + n;) {
            struct inotify_event* e = (struct inotify_event*)p;
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%d:", at ? ";" : "", e->wd);
            const char* bar = "";
            uint32_t left = e->mask;
            for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
                if (e->mask & names[i].bit) {
                    at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", bar, names[i].name);
                    bar = "|";
                    left &= ~names[i].bit;
                }
            if (left)
                at += (size_t)snprintf(text + at, sizeof text - at, "?%x", left);
            if (e->cookie) {
                unsigned c = 0;
                while (c < cookie_count && cookies[c] != e->cookie)
                    c++;
                if (c == cookie_count)
                    cookies[cookie_count++] = e->cookie;
                at += (size_t)snprintf(text + at, sizeof text - at, "=%u", c);
            }
            if (e->len) {
                CHECK_EQ(e->len % 16, 0);
                CHECK_EQ(e->name[e->len - 1], 0);
                at += (size_t)snprintf(text + at, sizeof text - at, " %s", e->name);
            }
            p += sizeof *e + e->len;
        }
    CHECK(n < 0 && errno == EAGAIN);
    return text;
}

#define CHECK_EVENTS(expected)                                                                                         \
    do {                                                                                                               \
        const char* check_got = events();                                                                              \
        if (strcmp(check_got, expected) != 0)                                                                          \
            check_fail("line %d: \"%s\", expected \"%s\"", __LINE__, check_got, expected);                             \
    } while (0)

static void life_of_a_file(void) {
    begin();
    watch(root, IN_ALL_EVENTS);
    make("a", "text");
    CHECK_EVENTS("1:create a;1:open a;1:modify a;1:close_write a");
    char byte;
    int fd = open(in("a"), O_RDONLY);
    CHECK(read(fd, &byte, 1) == 1 && read(fd, &byte, 0) == 0 && pread(fd, &byte, 1, 2) == 1);
    CHECK(pread(fd, &byte, 1, 100) == 0);
    CHECK_EVENTS("1:open a;1:access a");
    close(fd);
    CHECK_EVENTS("1:close a");
    CHECK(chmod(in("a"), 0600) == 0);
    CHECK(truncate(in("a"), 2) == 0);
    CHECK_EVENTS("1:attrib a;1:modify a");
    CHECK(link(in("a"), in("b")) == 0);
    CHECK_EVENTS("1:create b");
    CHECK(symlink("a", in("s")) == 0 && mkfifo(in("f"), 0600) == 0 && mkdir(in("d"), 0700) == 0);
    CHECK_EVENTS("1:create s;1:create f;1:create|dir d");
    CHECK(rmdir(in("d")) == 0 && unlink(in("b")) == 0 && unlink(in("f")) == 0);
    CHECK_EVENTS("1:delete|dir d;1:delete b;1:delete f");
    fd = open(in("a"), O_WRONLY | O_TRUNC);
    close(fd);
    CHECK_EVENTS("1:open a;1:modify a;1:close_write a");
    fd = open(in("s"), O_RDONLY); // through the link: the file's name is told
    close(fd);
    CHECK_EVENTS("1:open a;1:close a");
    fd = open(in("a"), O_PATH);
    close(fd);
    CHECK_EVENTS("");
}

static void the_directory_itself(void) {
    begin();
    CHECK(mkdir(in("d"), 0700) == 0);
    watch(in("d"), IN_ALL_EVENTS);
    int fd = open(in("d"), O_RDONLY | O_DIRECTORY);
    char entries[512];
    CHECK(syscall(SYS_getdents64, fd, entries, sizeof entries) > 0);
    close(fd);
    CHECK_EVENTS("1:open|dir;1:access|dir;1:close|dir");
    CHECK(chmod(in("d"), 0755) == 0);
    CHECK_EVENTS("1:attrib|dir");
    CHECK(rename(in("d"), in("e")) == 0);
    CHECK_EVENTS("1:move_self");
    CHECK(rmdir(in("e")) == 0);
    CHECK_EVENTS("1:delete_self;1:ignored");
    CHECK_ERRNO(inotify_rm_watch(queue, 1), EINVAL);
}

static void parent_and_child(void) {
    begin();
    make("a", "1");
    watch(root, IN_ALL_EVENTS);
    watch(in("a"), IN_ALL_EVENTS);
    CHECK(chmod(in("a"), 0600) == 0);
    CHECK_EVENTS("1:attrib a;2:attrib");
    CHECK(link(in("a"), in("b")) == 0);
    CHECK_EVENTS("2:attrib;1:create b");
    CHECK(unlink(in("b")) == 0);
    CHECK_EVENTS("2:attrib;1:delete b");
    CHECK(unlink(in("a")) == 0);
    CHECK_EVENTS("2:attrib;2:delete_self;2:ignored;1:delete a");
}

static void open_and_unlinked(void) {
    begin();
    make("a", "1");
    make("b", "1");
    watch(root, IN_MODIFY | IN_CLOSE | IN_DELETE);
    watch(in("a"), IN_ATTRIB | IN_MODIFY | IN_DELETE_SELF);
    int a = open(in("a"), O_RDWR);
    CHECK(unlink(in("a")) == 0);
    CHECK_EVENTS("2:attrib;1:delete a");
    CHECK(write(a, "x", 1) == 1);
    CHECK_EVENTS("1:modify a;2:modify"); // the name that it had
    close(a);
    CHECK_EVENTS("1:close_write a;2:delete_self;2:ignored");
    watch(root, IN_MODIFY | IN_CLOSE | IN_DELETE | IN_EXCL_UNLINK);
    int b = open(in("b"), O_RDWR);
    CHECK(write(b, "x", 1) == 1);
    CHECK(unlink(in("b")) == 0);
    CHECK(write(b, "x", 1) == 1);
    close(b);
    CHECK_EVENTS("1:modify b;1:delete b");
}

static void renames(void) {
    begin();
    CHECK(mkdir(in("x"), 0700) == 0 && mkdir(in("y"), 0700) == 0);
    make("x/a", "1");
    make("y/b", "1");
    watch(in("x"), IN_ALL_EVENTS);
    watch(in("y"), IN_ALL_EVENTS);
    watch(in("x/a"), IN_ALL_EVENTS);
    watch(in("y/b"), IN_ALL_EVENTS);
    CHECK(rename(in("x/a"), in("y/b")) == 0);
    CHECK_EVENTS("1:from=0 a;2:to=0 b;4:attrib;3:move_self;4:delete_self;4:ignored");
    make("x/c", "1");
    events();
    CHECK(syscall(SYS_renameat2, AT_FDCWD, in("x/c"), AT_FDCWD, in("y/b"), 2 /* exchange */) == 0);
    CHECK_EVENTS("1:from=1 c;2:to=1 b;2:from=2 b;1:to=2 c;3:move_self");
    CHECK(link(in("x/c"), in("x/d")) == 0);
    events();
    CHECK(rename(in("x/c"), in("x/d")) == 0); // two names of one file: nothing happens
    CHECK_EVENTS("");
    CHECK(rename(in("x"), in("z")) == 0);
    CHECK_EVENTS("1:move_self");
    CHECK_ERRNO(rename(in("nothing"), in("z/d")), ENOENT);
    CHECK_EVENTS("");
}

static void by_which_name(void) {
    begin();
    CHECK(mkdir(in("x"), 0700) == 0 && mkdir(in("y"), 0700) == 0);
    make("x/a", "1");
    CHECK(link(in("x/a"), in("y/b")) == 0);
    watch(in("x"), IN_OPEN | IN_MODIFY);
    watch(in("y"), IN_OPEN | IN_MODIFY);
    int a = open(in("x/a"), O_WRONLY), b = open(in("y/b"), O_WRONLY);
    CHECK(write(b, "1", 1) == 1 && write(a, "1", 1) == 1);
    CHECK_EVENTS("1:open a;2:open b;2:modify b;1:modify a");
    CHECK(rename(in("x/a"), in("x/new")) == 0);
    CHECK(write(a, "1", 1) == 1);
    CHECK_EVENTS("1:modify new");
}

static void masks(void) {
    begin();
    make("a", "1");
    int wd = watch(in("a"), IN_OPEN);
    CHECK_EQ(watch(in("a"), IN_MASK_ADD | IN_ATTRIB), wd);
    CHECK(chmod(in("a"), 0600) == 0);
    close(open(in("a"), O_RDONLY));
    CHECK_EVENTS("1:attrib;1:open");
    CHECK_EQ(watch(in("a"), IN_CLOSE), wd);
    close(open(in("a"), O_RDONLY));
    CHECK_EVENTS("1:close");
    CHECK_ERRNO(inotify_add_watch(queue, in("a"), IN_OPEN | IN_MASK_CREATE), EEXIST);
    CHECK_ERRNO(inotify_add_watch(queue, in("a"), IN_OPEN | IN_MASK_CREATE | IN_MASK_ADD), EINVAL);
    CHECK_ERRNO(inotify_add_watch(queue, in("a"), IN_OPEN | IN_ONLYDIR), ENOTDIR);
    CHECK_ERRNO(inotify_add_watch(queue, in("a"), 0), EINVAL);
    CHECK_ERRNO(inotify_add_watch(queue, in("nothing"), IN_OPEN), ENOENT);
    CHECK_ERRNO(inotify_add_watch(0, in("a"), IN_OPEN), EINVAL);
    CHECK_ERRNO(inotify_add_watch(999, in("a"), IN_OPEN), EBADF);
    CHECK_ERRNO(inotify_add_watch(queue, NULL, IN_OPEN), EFAULT);
    CHECK_ERRNO(inotify_init1(1), EINVAL);
    CHECK_ERRNO(inotify_rm_watch(queue, 77), EINVAL);
    CHECK_ERRNO(inotify_rm_watch(0, 1), EINVAL);
    CHECK(inotify_rm_watch(queue, wd) == 0);
    CHECK_EVENTS("1:ignored");
    CHECK_EQ(watch(in("a"), IN_OPEN | IN_ONESHOT), 2); // numbers are not used again
    close(open(in("a"), O_RDONLY));
    close(open(in("a"), O_RDONLY));
    CHECK_EVENTS("2:open;2:ignored");
    CHECK(symlink("a", in("s")) == 0);
    watch(in("s"), IN_DELETE_SELF | IN_DONT_FOLLOW);
    CHECK(unlink(in("s")) == 0);
    CHECK_EVENTS("3:delete_self;3:ignored");
}

static void reading(void) {
    begin();
    watch(root, IN_OPEN | IN_CREATE);
    struct pollfd p = {queue, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 0), 0);
    int epoll = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.u32 = 5}}, got;
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, queue, &event) == 0);
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 0);
    CHECK(mkdir(in("0123456789abcde"), 0700) == 0);  // 15 and a zero: one unit of 16
    CHECK(mkdir(in("0123456789abcdef"), 0700) == 0); // two
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 1);
    int bytes = 0;
    CHECK(ioctl(queue, FIONREAD, &bytes) == 0);
    CHECK_EQ(bytes, 16 + 16 + 16 + 32);
    char buffer[100];
    CHECK_ERRNO(read(queue, buffer, 31), EINVAL);
    CHECK_EQ(read(queue, buffer, 70), 32); // what fits
    CHECK_EQ(read(queue, buffer, 100), 48);
    CHECK_ERRNO(read(queue, buffer, 100), EAGAIN);
    CHECK_EQ(poll(&p, 1, 0), 0);
    CHECK_ERRNO(write(queue, buffer, 16), EBADF);
    CHECK_EQ(lseek(queue, 5, SEEK_SET), 0); // as Linux has it
    pid_t pid = fork();                     // the queue is shared
    if (pid == 0) {
        check_sleep_ms(30);
        _exit(mkdir(in("later"), 0700) != 0);
    }
    CHECK(fcntl(queue, F_SETFL, 0) == 0);
    CHECK_EQ(read(queue, buffer, 100), 32); // sleeps
    CHECK_EQ(check_reap(pid), 0);
}

static long limit(const char* name, long set) {
    char path[128], text[32];
    snprintf(path, sizeof path, "/proc/sys/fs/inotify/%s", name);
    CHECK(check_read_file(path, text, sizeof text) > 0);
    if (set >= 0) {
        int fd = open(path, O_WRONLY);
        CHECK(fd >= 0 && dprintf(fd, "%ld", set) > 0);
        close(fd);
    }
    return strtol(text, NULL, 10);
}

static void a_full_queue(void) {
    begin();
    long before = limit("max_queued_events", 4);
    int old = queue;
    queue = inotify_init1(IN_NONBLOCK);
    limit("max_queued_events", before);
    close(old);
    CHECK_EQ(watch(root, IN_CREATE), 1);
    for (char name[] = "a"; name[0] < 'i'; name[0]++)
        CHECK(mkdir(in(name), 0700) == 0);
    CHECK_EVENTS("1:create|dir a;1:create|dir b;1:create|dir c;1:create|dir d;-1:overflow");
    CHECK(mkdir(in("z"), 0700) == 0);
    CHECK_EVENTS("1:create|dir z");
}

static void limits(void) {
    begin();
    long before = limit("max_user_watches", 2);
    watch(root, IN_CREATE);
    CHECK(mkdir(in("a"), 0700) == 0 && mkdir(in("b"), 0700) == 0);
    int a = inotify_add_watch(queue, in("a"), IN_CREATE);
    int b = inotify_add_watch(queue, in("b"), IN_CREATE);
    int why = errno;
    limit("max_user_watches", before);
    CHECK(a > 0);
    CHECK(b < 0);
    CHECK_EQ(why, ENOSPC);
}

static void the_end_of_watches(void) {
    begin();
    make("a", "1");
    for (int i = 0; i < 50; i++) {
        int q = inotify_init1(0);
        CHECK(inotify_add_watch(q, root, IN_ALL_EVENTS) == 1 && inotify_add_watch(q, in("a"), IN_ALL_EVENTS) == 2);
        make("b", "1");
        CHECK(unlink(in("b")) == 0);
        close(q);
    }
    make("a", "1");
    char path[64], text[512];
    watch(root, IN_CREATE | IN_DELETE);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", queue);
    CHECK(check_read_file(path, text, sizeof text) > 0);
    struct stat st;
    CHECK(stat(root, &st) == 0);
    char line[64];
    snprintf(line, sizeof line, "inotify wd:1 ino:%lx ", (long)st.st_ino);
    CHECK(strstr(text, line) != NULL);
    CHECK(strstr(text, "mask:300 ") != NULL);
}

static void unmounting(void) {
    begin();
    CHECK(mkdir(in("m"), 0700) == 0);
    CHECK(mount("none", in("m"), "tmpfs", 0, NULL) == 0);
    make("m/a", "1");
    watch(in("m"), IN_ALL_EVENTS);
    watch(in("m/a"), IN_ALL_EVENTS);
    int fd = open(in("m/a"), O_RDONLY);
    CHECK_ERRNO(umount(in("m")), EBUSY);
    close(fd);
    CHECK_EVENTS("1:open a;2:open;1:close a;2:close");
    CHECK(umount(in("m")) == 0);
    const char* got = events();
    if (!strstr(got, "1:unmount|dir;1:ignored") || !strstr(got, "2:unmount;2:ignored"))
        check_fail("\"%s\"", got);
}

static void programs_and_fifos(void) {
    begin();
    CHECK(mkfifo(in("f"), 0600) == 0);
    watch(in("f"), IN_ALL_EVENTS);
    int fd = open(in("f"), O_RDWR);
    char c;
    CHECK(write(fd, "x", 1) == 1 && read(fd, &c, 1) == 1);
    close(fd);
    CHECK_EVENTS("1:open;1:modify;1:access;1:close_write");
    watch("/proc/self/exe", IN_OPEN);
    pid_t pid = fork();
    if (pid == 0) {
        char* arguments[] = {check_self, "no such case", NULL};
        close(1); // it says nothing
        execv(check_self, arguments);
        _exit(9);
    }
    check_reap(pid);
    const char* got = events();
    CHECK(strncmp(got, "2:open", 6) == 0);
}

static const struct check_case cases[] = {
    {"a directory's watch tells what happens to each name in it, from its making to its end", life_of_a_file, 0, false},
    {"a directory's watch tells what happens to the directory, and ends with it", the_directory_itself, 0, false},
    {"with watches on a directory and a file in it the directory's event comes first", parent_and_child, 0, false},
    {"a removed file that is open is told of by the name it had, unless IN_EXCL_UNLINK", open_and_unlinked, 0, false},
    {"a rename is two events with one cookie, and says what it replaced and exchanged", renames, 0, false},
    {"a file with two names is told of by the name that it was opened by", by_which_name, 0, false},
    {"masks are replaced, added to, used once, and refused where they make no sense", masks, 0, false},
    {"reading takes whole events, FIONREAD counts them, poll and epoll see them, a reader sleeps", reading, 0, false},
    {"a queue that is full says so once and loses what comes then", a_full_queue, 0, false},
    {"max_user_watches is ENOSPC", limits, 0, false},
    {"watches go with their queue, and fdinfo lists them", the_end_of_watches, 0, false},
    {"an unmount is not kept from happening, and ends the watches", unmounting, 0, false},
    {"FIFOs and programs that start are told of too", programs_and_fifos, 0, false},
};
CHECK_MAIN(cases)
