// SPDX-License-Identifier: BSD-2-Clause
// /proc as ps, top and the tests read it.
#include "check.h"

#include <dirent.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

static char text[65536];

static void load(const char* path) {
    if (check_read_file(path, text, sizeof text) < 0)
        check_fail("cannot read %s: errno %d", path, errno);
}

// The fields of stat from the third on.
static long field(int number) {
    char* at = strrchr(text, ')') + 2;
    for (int i = 3; i < number; i++) {
        at = strchr(at, ' ');
        CHECK(at != NULL);
        at++;
    }
    return number == 3 ? *at : strtol(at, NULL, 10);
}

static void stat_fields(void) {
    load("/proc/self/stat");
    CHECK_EQ(strtol(text, NULL, 10), getpid());
    CHECK(strstr(text, "(procfs)") != NULL);
    CHECK_EQ(field(3), 'R');
    CHECK_EQ(field(4), getppid());
    CHECK_EQ(field(5), getpgrp());
    CHECK_EQ(field(6), getsid(0));
    CHECK_EQ(field(20), 1);
    CHECK(field(23) > 4096 && field(24) > 0);
    CHECK_EQ(field(38), SIGCHLD);
    int count = 1;
    for (char* p = text; (p = strchr(p, ' ')); p++)
        count++;
    CHECK_EQ(count, 52);
    CHECK_EQ(nice(5), 5);
    load("/proc/self/stat");
    CHECK_EQ(field(18), 25);
    CHECK_EQ(field(19), 5);
    double end = check_now() + 0.3;
    while (check_now() < end) {
    }
    load("/proc/self/stat");
    CHECK(field(14) + field(15) >= 10); // ticks of 10 ms
    double up = 0;
    load("/proc/uptime");
    CHECK_EQ(sscanf(text, "%lf", &up), 1);
    load("/proc/self/stat");
    CHECK((double)field(22) / 100 > up - 15 && (double)field(22) / 100 <= up);
    struct sched_param parameters = {.sched_priority = 30};
    CHECK_EQ(sched_setscheduler(0, SCHED_FIFO, &parameters), 0);
    load("/proc/self/stat");
    CHECK_EQ(field(18), -31);
    CHECK_EQ(field(40), 30);
    CHECK_EQ(field(41), SCHED_FIFO);
}

static void states(void) {
    pid_t sleeper = fork();
    if (sleeper == 0)
        for (;;)
            pause();
    pid_t spinner = fork();
    if (spinner == 0)
        for (;;) {
        }
    pid_t gone = fork();
    if (gone == 0)
        _exit(7);
    CHECK_SOON(check_state_of(sleeper) == 'S', 5);
    CHECK_SOON(check_state_of(spinner) == 'R', 5);
    CHECK_SOON(check_state_of(gone) == 'Z', 5);
    kill(sleeper, SIGSTOP);
    CHECK_SOON(check_state_of(sleeper) == 'T', 5);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)gone);
    CHECK_EQ(check_read_file(path, text, sizeof text), 0);
    static const char* const of_the_living[] = {"cwd", "root", "exe", "fd/1"}; // a zombie holds nothing
    for (int i = 0; i < 4; ++i) {
        snprintf(path, sizeof path, "/proc/%d/%s", (int)gone, of_the_living[i]);
        CHECK_ERRNO(readlink(path, text, sizeof text), ENOENT);
    }
    kill(sleeper, SIGKILL);
    kill(spinner, SIGKILL);
    check_reap(sleeper);
    check_reap(spinner);
    check_reap(gone);
    snprintf(path, sizeof path, "/proc/%d", (int)gone);
    CHECK_ERRNO(access(path, F_OK), ENOENT);
}

static void status_lines(void) {
    CHECK_EQ(check_value_in("/proc/self/status", "Pid"), getpid());
    CHECK_EQ(check_value_in("/proc/self/status", "PPid"), getppid());
    CHECK_EQ(check_value_in("/proc/self/status", "Threads"), 1);
    long resident = check_value_in("/proc/self/status", "VmRSS"), size = check_value_in("/proc/self/status", "VmSize");
    CHECK(resident > 0);
    char* untouched = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(untouched != MAP_FAILED);
    memset(untouched, 1, 1 << 20);
    CHECK_EQ(check_value_in("/proc/self/status", "VmSize") - size, 64 << 10);
    long more = check_value_in("/proc/self/status", "VmRSS") - resident;
    CHECK(more >= 1 << 10 && more <= 2 << 10); // a long run brings the pages behind it, up to two megabytes
    for (int i = 16 << 20; i < 32 << 20; i += 4096)
        CHECK_EQ(((volatile char*)untouched)[i], 0); // what is only read costs nothing
    CHECK(check_value_in("/proc/self/status", "VmRSS") - resident <= more + 64);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    signal(SIGUSR2, SIG_IGN);
    load("/proc/self/status");
    CHECK(strstr(text, "SigBlk:\t0000000000000200\n") != NULL);
    CHECK(strstr(text, "SigPnd:\t0000000000000200\n") != NULL || strstr(text, "ShdPnd:\t0000000000000200\n") != NULL);
    CHECK(strstr(text, "SigIgn:\t0000000000000800\n") != NULL);
    if (sysconf(_SC_NPROCESSORS_ONLN) >= 4) {
        cpu_set_t harts;
        CPU_ZERO(&harts);
        CPU_SET(0, &harts);
        CPU_SET(2, &harts);
        CPU_SET(3, &harts);
        CHECK_EQ(sched_setaffinity(0, sizeof harts, &harts), 0);
        load("/proc/self/status");
        CHECK(strstr(text, "Cpus_allowed:\td\nCpus_allowed_list:\t0,2-3\n") != NULL);
    }
    // A process's signal and a thread's are told apart.
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGHUP);
    load("/proc/self/status");
    CHECK(strstr(text, "SigPnd:\t0000000000000200\n") != NULL);
    CHECK(strstr(text, "ShdPnd:\t0000000000000001\n") != NULL);
    // What may be used and what is in use, too.
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct caps[2] = {{0x21, 0xa1, 0}, {0, 0, 0}};
    CHECK_EQ(syscall(SYS_capset, &header, caps), 0);
    load("/proc/self/status");
    CHECK(strstr(text, "CapPrm:\t00000000000000a1\nCapEff:\t0000000000000021\n") != NULL);
}

static void maps_lines(void) {
    load("/proc/self/maps");
    unsigned long start, end, last = 0;
    bool code = false, stack = false;
    unsigned long here = (unsigned long)maps_lines, local = (unsigned long)&start;
    for (char* line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char rights[8];
        CHECK_EQ(sscanf(line, "%lx-%lx %4s", &start, &end, rights), 3);
        CHECK(start >= last && end > start);
        last = end;
        if (here >= start && here < end) {
            code = strcmp(rights, "r-xp") == 0 && strchr(line, '/') != NULL;
            CHECK(strchr(line, '/') - line == 73);
        }
        if (local >= start && local < end)
            stack = strcmp(rights, "rw-p") == 0 && strstr(line, "[stack]") != NULL;
    }
    CHECK(code);
    CHECK(stack);
    void* shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    char line[64];
    snprintf(line, sizeof line, "%lx-%lx rw-s ", (unsigned long)shared, (unsigned long)shared + 4096);
    load("/proc/self/maps");
    CHECK(strstr(text, line) != NULL);
}

static void links_lead(void) {
    char path[256] = {0};
    CHECK(readlink("/proc/self/exe", path, sizeof path - 1) > 0);
    CHECK(strstr(path, "procfs") != NULL);
    CHECK_EQ(chdir("/proc"), 0);
    memset(path, 0, sizeof path);
    CHECK_EQ(readlink("/proc/self/cwd", path, sizeof path - 1), 5);
    CHECK(strcmp(path, "/proc") == 0);
    memset(path, 0, sizeof path);
    CHECK_EQ(readlink("/proc/self/root", path, sizeof path - 1), 1);
    CHECK_EQ(readlink("/proc/self", path, sizeof path - 1), snprintf(text, sizeof text, "%d", (int)getpid()));
    int fd = open("/proc/self/exe", O_RDONLY);
    CHECK(fd >= 0);
    char magic[4];
    CHECK_EQ(read(fd, magic, 4), 4);
    CHECK(memcmp(magic, "\177ELF", 4) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct stat by_link, by_fd;
    CHECK_EQ(stat(path, &by_link), 0);
    CHECK_EQ(fstat(fd, &by_fd), 0);
    CHECK_EQ(by_link.st_ino, by_fd.st_ino);
    close(fd);
    CHECK_ERRNO(readlink(path, magic, 4), ENOENT);
}

static void listings(void) {
    int seen = 0;
    DIR* dir = opendir("/proc");
    CHECK(dir != NULL);
    for (struct dirent* e; (e = readdir(dir));) {
        if (atoi(e->d_name) == getpid())
            seen++;
        if (strcmp(e->d_name, "meminfo") == 0 || strcmp(e->d_name, "self") == 0)
            seen++;
    }
    CHECK_EQ(seen, 3);
    closedir(dir);
    int a = open("/dev/null", O_RDONLY), b = dup2(a, 77);
    bool found_a = false, found_b = false;
    dir = opendir("/proc/self/fd");
    for (struct dirent* e; (e = readdir(dir));) {
        found_a |= atoi(e->d_name) == a;
        found_b |= atoi(e->d_name) == b;
    }
    CHECK(found_a && found_b);
    closedir(dir);
    CHECK_ERRNO(open("/proc/new", O_RDWR | O_CREAT, 0644), ENOENT);
    CHECK_ERRNO(open("/proc/0", O_RDONLY), ENOENT);
    CHECK_ERRNO(open("/proc/007", O_RDONLY), ENOENT);
    CHECK_ERRNO(open("/proc/99999999999999", O_RDONLY), ENOENT);
}

static void* wait_in_thread(void* argument) {
    char byte;
    (void)!read(*(int*)argument, &byte, 1);
    return NULL;
}
static void threads(void) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    pthread_t thread[3];
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, wait_in_thread, &ends[0]), 0);
    int count = 0;
    DIR* dir = opendir("/proc/self/task");
    for (struct dirent* e; (e = readdir(dir));)
        count += atoi(e->d_name) > 0;
    closedir(dir);
    CHECK_EQ(count, 4);
    CHECK_EQ(check_value_in("/proc/self/status", "Threads"), 4);
    CHECK_EQ(check_value_in("/proc/thread-self/status", "Pid"), getpid());
    close(ends[1]);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    CHECK_SOON(check_value_in("/proc/self/status", "Threads") == 1, 5);
}

static void names_and_settings(void) {
    int fd = open("/proc/self/comm", O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "another-name-too-long", 21), 21);
    load("/proc/self/comm");
    CHECK(strcmp(text, "another-name-to\n") == 0);
    fd = open("/proc/self/oom_score_adj", O_RDWR);
    CHECK_EQ(write(fd, "500\n", 4), 4);
    load("/proc/self/oom_score_adj");
    CHECK(strcmp(text, "500\n") == 0);
    CHECK_ERRNO(write(fd, "5000", 4), EINVAL);
    CHECK_ERRNO(write(open("/proc/self/status", O_RDONLY), "x", 1), EBADF);
    struct rlimit limit = {100, 200};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    load("/proc/self/limits");
    CHECK(strstr(text, "Max open files            100                  200                  files     \n") != NULL);
}

// --- fdinfo and io ---

static char info_path[64];
static void load_info(int fd) {
    snprintf(info_path, sizeof info_path, "/proc/self/fdinfo/%d", fd);
    load(info_path);
}
#define CHECK_LINE(line)                                                                                               \
    do {                                                                                                               \
        if (!strstr(text, line))                                                                                       \
            check_fail("line %d: no '%s' in '%s'", __LINE__, line, text);                                              \
    } while (0)
// Position, flags, mount and inode; returns the mount.
static long common_lines(int fd, long position, int flags) {
    struct stat st;
    char line[100];
    long mount = -1;
    load_info(fd);
    CHECK_EQ(fstat(fd, &st), 0);
    snprintf(line, sizeof line, "pos:\t%ld\nflags:\t0%o\nmnt_id:\t", position, (unsigned)flags);
    CHECK(strncmp(text, line, strlen(line)) == 0);
    CHECK_EQ(sscanf(text + strlen(line), "%ld\n", &mount), 1);
    snprintf(line, sizeof line, "\nino:\t%lu\n", (unsigned long)st.st_ino);
    CHECK_LINE(line);
    return mount;
}
static void fd_information(void) {
    const char* name = "/tmp/procfs.fdinfo";
    char line[128];
    int large = 0100000, p[2];
    int fd = open(name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
    long own = common_lines(fd, 4, O_RDWR | O_APPEND | O_CLOEXEC | large);
    fcntl(fd, F_SETFD, 0);
    common_lines(fd, 4, O_RDWR | O_APPEND | large);
    // The mount is one that mountinfo lists.
    load("/proc/self/mountinfo");
    bool listed = false;
    for (char* at = text; at; at = (at = strchr(at, '\n')) ? at + 1 : NULL)
        listed |= strtol(at, NULL, 10) == own;
    CHECK(listed);
    // Each file has the number of its own mount.
    CHECK(mkdir("/tmp/procfs.mount", 0755) == 0 && mount("tmpfs", "/tmp/procfs.mount", "tmpfs", 0, NULL) == 0);
    int upper = open("/tmp/procfs.mount/f", O_RDWR | O_CREAT, 0600);
    long other = common_lines(upper, 0, O_RDWR | large);
    CHECK(other > own);
    close(upper);
    load("/proc/self/mountinfo");
    snprintf(line, sizeof line, "\n%ld %ld ", other, own);
    CHECK_LINE(line);
    CHECK_LINE(" /tmp/procfs.mount ");
    CHECK(umount("/tmp/procfs.mount") == 0 && rmdir("/tmp/procfs.mount") == 0);
    CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
    // The links' modes say what the descriptors can do.
    const int ends[3] = {p[0], p[1], fd};
    const mode_t modes[3] = {0500, 0300, 0700};
    for (int i = 0; i < 3; ++i) {
        struct stat link;
        snprintf(line, sizeof line, "/proc/self/fd/%d", ends[i]);
        CHECK_EQ(lstat(line, &link), 0);
        CHECK_EQ(link.st_mode, S_IFLNK | modes[i]);
    }
    common_lines(p[0], 0, O_RDONLY | O_NONBLOCK);
    common_lines(p[1], 0, O_WRONLY | O_NONBLOCK);
    unlink(name);
    CHECK_ERRNO(open("/proc/self/fdinfo/77", O_RDONLY), ENOENT);
    snprintf(line, sizeof line, "/proc/self/task/%d/fdinfo/%d", (int)getpid(), p[1]);
    load(line);
    CHECK_LINE("flags:\t04001\n");
}
static void kinds_of_descriptors(void) {
    char line[200];
    int e = eventfd(3, EFD_SEMAPHORE), second = eventfd(0x2a, 0), p[2], id = -1, other = -1;
    common_lines(e, 0, O_RDWR);
    CHECK_LINE("eventfd-count:                3\neventfd-id: ");
    CHECK_LINE("eventfd-semaphore: 1\n");
    CHECK_EQ(sscanf(strstr(text, "eventfd-id:"), "eventfd-id: %d", &id), 1);
    load_info(second);
    CHECK_LINE("eventfd-count:               2a\n");
    CHECK_LINE("eventfd-semaphore: 0\n");
    CHECK_EQ(sscanf(strstr(text, "eventfd-id:"), "eventfd-id: %d", &other), 1);
    CHECK(id >= 0 && id != other);

    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMAX);
    load_info(signalfd(-1, &set, 0));
    CHECK_LINE("sigmask:\t8000000000000200\n");

    int t = timerfd_create(CLOCK_REALTIME, 0);
    struct itimerspec value = {{7, 8}, {5000, 0}};
    load_info(t);
    CHECK_LINE("clockid: 0\nticks: 0\nsettime flags: 00\nit_value: (0, 0)\nit_interval: (0, 0)\n");
    CHECK_EQ(timerfd_settime(t, 0, &value, NULL), 0);
    load_info(t);
    CHECK_LINE("it_value: (4999, ");
    CHECK_LINE("it_interval: (7, 8)\n");
    value.it_value.tv_sec = 1; // 1970
    CHECK_EQ(timerfd_settime(t, TFD_TIMER_ABSTIME, &value, NULL), 0);
    check_sleep_ms(20);
    load_info(t);
    CHECK_LINE("ticks: 1\nsettime flags: 01\n");

    int watcher = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 0xabcd};
    struct stat st;
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(epoll_ctl(watcher, EPOLL_CTL_ADD, p[0], &event), 0);
    event = (struct epoll_event){.events = EPOLLOUT, .data.fd = 5};
    CHECK_EQ(epoll_ctl(watcher, EPOLL_CTL_ADD, p[1], &event), 0);
    CHECK_EQ(fstat(p[0], &st), 0);
    common_lines(watcher, 0, O_RDWR);
    snprintf(line, sizeof line, "tfd: %8d events: %8x data: %16x  pos:0 ino:%lx sdev:%lx\n", p[0],
             (unsigned)(EPOLLIN | EPOLLET | EPOLLERR | EPOLLHUP), 0xabcd, (unsigned long)st.st_ino,
             (unsigned long)st.st_dev);
    CHECK_LINE(line);
    snprintf(line, sizeof line, "tfd: %8d events: %8x data: %16x  pos:0", p[1],
             (unsigned)(EPOLLOUT | EPOLLERR | EPOLLHUP), 5);
    CHECK_LINE(line);
    CHECK_EQ(epoll_ctl(watcher, EPOLL_CTL_DEL, p[0], NULL), 0);
    load_info(watcher);
    CHECK(!strstr(text, "abcd"));
}

// A line that begins with this; the number of it.
static int has_lock(const char* kind, const char* type, pid_t pid, const struct stat* st, const char* range) {
    char line[160];
    int number = 0;
    snprintf(line, sizeof line, ": %s ADVISORY  %s %d %02lx:%02lx:%lu %s\n", kind, type, (int)pid,
             (unsigned long)st->st_dev >> 8, (unsigned long)st->st_dev & 0xff, (unsigned long)st->st_ino, range);
    load("/proc/locks");
    char* at = strstr(text, line);
    if (!at)
        return 0;
    while (at > text && at[-1] != '\n')
        --at;
    CHECK_EQ(sscanf(at, "%d:", &number), 1);
    return number;
}
static void locks(void) {
    struct stat st;
    int fd = open("/tmp/procfs.locks", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK_EQ(fstat(fd, &st), 0);
    struct flock part = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 50};
    CHECK_EQ(fcntl(fd, F_SETLK, &part), 0);
    int first = has_lock("POSIX ", "WRITE", getpid(), &st, "100 149");
    part = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 200};
    CHECK_EQ(fcntl(fd, F_OFD_SETLK, &part), 0);
    int second = has_lock("OFDLCK", "READ ", -1, &st, "200 EOF");
    CHECK_EQ(flock(fd, LOCK_EX), 0);
    int third = has_lock("FLOCK ", "WRITE", getpid(), &st, "0 EOF");
    CHECK(first > 0 && second > 0 && third > 0 && first != second && second != third && first != third);
    close(fd);
    CHECK_EQ(has_lock("FLOCK ", "WRITE", getpid(), &st, "0 EOF"), 0);
    CHECK_EQ(has_lock("POSIX ", "WRITE", getpid(), &st, "100 149"), 0);
    unlink("/tmp/procfs.locks");
}

static void mapped_files(void) {
    char path[100], link[100] = "";
    struct stat named, mapped;
    int fd = open("/tmp/procfs.mapped", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(ftruncate(fd, 8192), 0);
    char* at = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(at != MAP_FAILED);
    snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)at, (unsigned long)at + 8192);
    CHECK(readlink(path, link, sizeof link - 1) > 0);
    CHECK(strcmp(link, "/tmp/procfs.mapped") == 0);
    CHECK_EQ(fstat(fd, &named), 0);
    unlink("/tmp/procfs.mapped"); // what it leads to is the file, whatever it is called
    CHECK_EQ(stat(path, &mapped), 0);
    CHECK(named.st_ino == mapped.st_ino && named.st_dev == mapped.st_dev);
    DIR* dir = opendir("/proc/self/map_files");
    int count = 0, listed = 0;
    for (struct dirent* e; (e = readdir(dir));) {
        count += e->d_name[0] != '.';
        listed += strcmp(e->d_name, strrchr(path, '/') + 1) == 0;
    }
    closedir(dir);
    CHECK_EQ(listed, 1);
    CHECK(count >= 3); // the program's own parts too
    snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)at, (unsigned long)at + 4096);
    CHECK_ERRNO(stat(path, &mapped), ENOENT);
    // A link that was looked up before is one for these very pages: it leads nowhere once one of them is gone.
    snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)at, (unsigned long)at + 8192);
    int held = open(path, O_PATH | O_NOFOLLOW);
    CHECK(held >= 0 && readlinkat(held, "", link, sizeof link) > 0);
    CHECK_EQ(munmap(at + 4096, 4096), 0);
    CHECK_ERRNO(readlinkat(held, "", link, sizeof link), ENOENT);
    close(held);
    CHECK_EQ(munmap(at, 8192), 0);
    snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)at, (unsigned long)at + 8192);
    CHECK_ERRNO(stat(path, &mapped), ENOENT);
}

static long io_value(const char* path, const char* name) { return check_value_in(path, name); }
static char block_of[5000];
static int io_file;
static void child_io(void) {
    (void)!write(io_file, block_of, 3000);
    for (int i = 0; i < 10; ++i)
        (void)!read(io_file, block_of, 10);
}
static void* thread_io(void* unused) {
    (void)!write(io_file, block_of, 2000);
    return unused;
}
static void io_counts(void) {
    io_file = open("/tmp/procfs.io", O_RDWR | O_CREAT | O_TRUNC, 0600);
    long written = io_value("/proc/self/io", "wchar"), writes = io_value("/proc/self/io", "syscw");
    CHECK_EQ(write(io_file, block_of, 5000), 5000);
    CHECK_EQ(pwrite(io_file, block_of, 1000, 0), 1000);
    CHECK_EQ(io_value("/proc/self/io", "wchar") - written, 6000);
    CHECK_EQ(io_value("/proc/self/io", "syscw") - writes, 2);
    load("/proc/self/io");
    long length = (long)strlen(text);
    CHECK_LINE("read_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n");
    long bytes = io_value("/proc/self/io", "rchar"), reads = io_value("/proc/self/io", "syscr");
    // Meanwhile the values' own text is read, each in two calls (the second finds the end), and ours in two.
    CHECK_EQ(pread(io_file, block_of, 3000, 0), 3000);
    struct iovec parts[2] = {{block_of, 600}, {block_of, 400}};
    CHECK_EQ(preadv(io_file, parts, 2, 0), 1000);
    long moved = io_value("/proc/self/io", "rchar") - bytes;
    CHECK(moved >= 4000 + 2 * length - 20 && moved <= 4000 + 2 * length + 20);
    CHECK_EQ(io_value("/proc/self/io", "syscr") - reads, 2 + 2 + 2);
    // Threads count for the process, at once; children when they were waited for, borrowers too; each has its own.
    written = io_value("/proc/self/io", "wchar");
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, thread_io, NULL), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(io_value("/proc/self/io", "wchar") - written, 2000);
    CHECK_EQ(io_value("/proc/thread-self/io", "wchar") - written, 0);
    pid_t child = fork();
    if (child == 0) {
        child_io();
        _exit(io_value("/proc/self/io", "wchar") == 3000 ? 0 : 1);
    }
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    CHECK_EQ(io_value("/proc/self/io", "wchar") - written, 2000);
    CHECK_EXITED(check_reap(child), 0);
    CHECK_EQ(io_value("/proc/self/io", "wchar") - written, 5000);
    child = vfork();
    if (child == 0) {
        child_io();
        _exit(0);
    }
    CHECK_EQ(io_value("/proc/thread-self/io", "wchar") - written, 0);
    check_reap(child);
    CHECK_EQ(io_value("/proc/self/io", "wchar") - written, 8000);
    unlink("/tmp/procfs.io");
}

static void private_files(void) {
    CHECK_EQ(setgid(65534), 0);
    CHECK_EQ(setuid(65534), 0);
    CHECK_ERRNO(open("/proc/1/environ", O_RDONLY), EACCES);
    CHECK_ERRNO(open("/proc/1/fd", O_RDONLY), EACCES);
    CHECK_ERRNO(open("/proc/1/fdinfo/0", O_RDONLY), EACCES);
    CHECK_ERRNO(open("/proc/1/io", O_RDONLY), EACCES);
    CHECK_ERRNO(readlink("/proc/1/exe", text, 100), EACCES);
    CHECK_ERRNO(open("/proc/1/cwd/etc", O_RDONLY), EACCES);
    load("/proc/1/stat");
    CHECK_EQ(strtol(text, NULL, 10), 1);
    CHECK_EQ(field(28), 0); // where its stack is
    CHECK_EQ(field(48), 0); // and its arguments
}

// Of a process that is not dumpable its own user sees no more than a stranger; whose name it is is nobody else's to say.
// What was opened with more rights shows no more than what could be opened now.
static int held_open[2];
static void wait_for_the_end(void) {
    char byte;
    close(held_open[1]);
    CHECK_EQ(read(held_open[0], &byte, 1), 0);
}
static void opened_before(void) {
    char path[64], text[200];
    CHECK_EQ(pipe(held_open), 0);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        wait_for_the_end();
        _exit(0);
    }
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    const int dir = open(path, O_RDONLY | O_DIRECTORY);
    const int io = openat(dir, "io", O_RDONLY), info = openat(dir, "fdinfo/0", O_RDONLY);
    const int link = openat(dir, "fd/0", O_PATH | O_NOFOLLOW), list = openat(dir, "fd", O_RDONLY | O_DIRECTORY);
    CHECK(io >= 0 && info >= 0 && link >= 0 && list >= 0);
    CHECK(pread(io, text, 100, 0) > 0 && pread(info, text, 100, 0) > 0);
    CHECK(readlinkat(link, "", text, 100) > 0);
    CHECK_EQ(setuid(65534), 0);
    CHECK_ERRNO(pread(io, text, 100, 0), EACCES);
    CHECK_ERRNO(pread(info, text, 100, 0), EACCES);
    CHECK_ERRNO(readlinkat(link, "", text, 100), EACCES);
    DIR* entries = fdopendir(list);
    for (struct dirent* entry; (entry = readdir(entries));)
        CHECK(entry->d_name[0] == '.');
    closedir(entries);
}

static void undumpable(void) {
    char path[64], byte = 'x';
    int to[2], from[2];
    CHECK_EQ(pipe(to), 0);
    CHECK_EQ(pipe(from), 0);
    CHECK_EQ(setgid(65534), 0);
    CHECK_EQ(setuid(65534), 0);
    pid_t pid = fork();
    if (pid == 0) {
        for (int dumpable = 1; dumpable >= 0; --dumpable) {
            CHECK_EQ(prctl(PR_SET_DUMPABLE, dumpable), 0);
            CHECK_EQ(write(from[1], &byte, 1), 1);
            CHECK_EQ(read(to[0], &byte, 1), 1);
        }
        _exit(0);
    }
    int opened[2];
    static const char* const files[2] = {"environ", "comm"};
    CHECK_EQ(read(from[0], &byte, 1), 1);
    for (int i = 0; i < 2; ++i) {
        snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, files[i]);
        opened[i] = open(path, i == 0 ? O_RDONLY : O_RDWR);
        CHECK(opened[i] >= 0);
        CHECK(pread(opened[i], text, 4, 0) > 0);
    }
    CHECK_ERRNO(write(opened[1], "name", 4), EINVAL);
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    int exe = open(path, O_RDONLY);
    CHECK(exe >= 0);
    CHECK(readlink(path, text, 64) > 0);
    CHECK_EQ(write(to[1], &byte, 1), 1);
    CHECK_EQ(read(from[0], &byte, 1), 1);
    CHECK_ERRNO(pread(opened[0], text, 4, 0), EACCES);
    CHECK_ERRNO(open(path, O_RDONLY), EACCES);
    CHECK_ERRNO(readlink(path, text, 64), EACCES);
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    CHECK_ERRNO(open(path, O_RDONLY), EACCES);
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    load(path);
    CHECK_EQ(field(28), 0);
    CHECK_EQ(write(to[1], &byte, 1), 1);
    CHECK_EXITED(check_reap(pid), 0);
}

static void system_files(void) {
    CHECK(check_value_in("/proc/meminfo", "MemTotal") > 10000);
    CHECK(check_value_in("/proc/meminfo", "MemFree") > 0);
    CHECK(check_value_in("/proc/stat", "btime") > 1000000000);
    CHECK(check_value_in("/proc/stat", "ctxt") > 0);
    double up, idle;
    load("/proc/uptime");
    CHECK_EQ(sscanf(text, "%lf %lf", &up, &idle), 2);
    check_sleep_ms(300);
    double later;
    load("/proc/uptime");
    CHECK_EQ(sscanf(text, "%lf %lf", &later, &idle), 2);
    CHECK(later - up > 0.2);
    load("/proc/loadavg");
    float a, b, c;
    int running, all, last;
    CHECK_EQ(sscanf(text, "%f %f %f %d/%d %d", &a, &b, &c, &running, &all, &last), 6);
    CHECK(running >= 1 && all >= running && last > 0);
    load("/proc/mounts");
    CHECK(strstr(text, " /proc proc ") != NULL);
    load("/proc/filesystems");
    CHECK(strstr(text, "nodev\tproc\n") != NULL);
    load("/proc/sys/kernel/random/boot_id");
    CHECK_EQ(strlen(text), 37);
    char before[64];
    strcpy(before, text);
    load("/proc/sys/kernel/random/boot_id");
    CHECK(strcmp(before, text) == 0);
    load("/proc/sys/kernel/random/uuid");
    CHECK(strcmp(before, text) != 0);
}

// A file of /proc that is read in small pieces shows one moment, and from its beginning the next.
static void one_moment(void) {
    int fd = open("/proc/uptime", O_RDONLY);
    char whole[64] = {0}, pieces[64] = {0};
    CHECK(pread(fd, whole, 63, 0) > 0);
    for (int i = 0; i < 63; i++) {
        ssize_t n = pread(fd, pieces + i, 1, i);
        if (n == 0)
            break;
        if (i == 0)
            check_sleep_ms(50);
    }
    double a = atof(pieces);
    CHECK(a >= atof(whole));
    check_sleep_ms(50);
    CHECK(pread(fd, whole, 63, 0) > 0);
    CHECK(atof(whole) > a);
}

static void object_counts(void) {
    long before = check_value_in("/proc/lentil/objects", "pipes");
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(check_value_in("/proc/lentil/objects", "pipes"), before + 1);
    close(ends[0]);
    close(ends[1]);
    CHECK_EQ(check_value_in("/proc/lentil/objects", "pipes"), before);
    CHECK(check_value_in("/proc/lentil/objects", "pages_free") > 0);
    long faults = check_counter("page_faults"), calls = check_counter("syscalls");
    char* p = mmap(NULL, 100 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_EQ(madvise(p, 100 * 4096, MADV_NOHUGEPAGE), 0); // one fault a page
    for (int i = 0; i < 100; i++)
        p[i * 4096] = 1;
    CHECK(check_counter("page_faults") >= faults + 100);
    CHECK(check_counter("syscalls") > calls);
    load("/proc/lentil/harts");
    CHECK(strncmp(text, "hart 0 timer_interrupts ", 24) == 0);
}

// Marked as Lentil's alone: what an emulator of Linux programs shows of itself instead.
static const struct check_case cases[] = {
    {"stat has its 52 fields, with times, priority and state", stat_fields, 0, true},
    {"state letters: running, sleeping, stopped, zombie, and then nothing", states, 0, false},
    {"status names the process, its memory and its signals", status_lines, 0, true},
    {"maps lists what is mapped, in order, with names in their column", maps_lines, 0, false},
    {"exe, cwd, root, self and fd lead where they say", links_lead, 0, false},
    {"directories list processes and descriptors", listings, 0, false},
    {"task lists the threads, and only while they live", threads, 0, true},
    {"comm, oom_score_adj and limits show what was set", names_and_settings, 0, false},
    {"fdinfo shows position, flags with close-on-exec, mount and inode", fd_information, 0, true},
    {"fdinfo shows what eventfd, signalfd, timerfd and epoll are set to", kinds_of_descriptors, 0, true},
    {"io counts bytes and calls of threads, and of children once they were waited for", io_counts, 0, true},
    {"locks lists record locks, those of open files and flock's, with file and range", locks, 0, true},
    {"map_files leads to the files that are mapped, by address", mapped_files, 0, true},
    {"what is private stays so for other users", private_files, 0, false},
    {"io and descriptors of another user's process stay private behind what was opened before", opened_before, 0, true},
    {"a process that is not dumpable keeps its secrets from its own user", undumpable, 0, true},
    {"files about the system have what tools look for", system_files, 0, false},
    {"a file read in pieces shows one moment", one_moment, 0, false},
    {"counters and object counts follow what is done", object_counts, 0, true},
};
CHECK_MAIN(cases)
