// SPDX-License-Identifier: BSD-2-Clause
// What is charged for the use of a disk: /proc/PID/io, getrusage, wait4. Boot tests mount one on /tmp; on tmpfs, which has none,
// everything stays 0. The disk's own node tells about reading: each opening of it has pages of its own, none read yet.
#include "check.h"

#include <pthread.h>
#include <sys/acct.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

static const char path[] = "/tmp/disk-usage";
static const char device[] = "/dev/vda";
static char data[16 * 4096];
static long on_disk; // 1 if /tmp is: what a test expects there is times this

struct use {
    long in, out, cancelled;           // bytes, of /proc/.../io
    long blocks_in, blocks_out, major; // of getrusage
};

static struct use use_now(const char* io, int who) {
    struct rusage usage;
    CHECK(getrusage(who, &usage) == 0);
    return (struct use){check_value_in(io, "read_bytes"),
                        check_value_in(io, "write_bytes"),
                        check_value_in(io, "cancelled_write_bytes"),
                        usage.ru_inblock,
                        usage.ru_oublock,
                        usage.ru_majflt};
}
static struct use mine(void) { return use_now("/proc/self/io", RUSAGE_SELF); }
static struct use of_thread(void) { return use_now("/proc/thread-self/io", RUSAGE_THREAD); }

static int fresh(void) {
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
    CHECK(fd >= 0);
    return fd;
}

// Pages get clean behind a test's back every few seconds: who expects that they are still dirty may try again.
static void now_and_then(bool (*attempt)(void)) {
    for (int i = 0; i < 20; ++i)
        if (attempt())
            return;
    check_fail("never");
}

static bool dirty_once(void) {
    int fd = fresh();
    struct use before = mine();
    CHECK_EQ(write(fd, data, 3 * 4096), 3 * 4096);
    struct use first = mine();
    CHECK_EQ(first.out - before.out, 3 * 4096 * on_disk);
    CHECK_EQ(first.blocks_out - before.blocks_out, 3 * 8 * on_disk);
    CHECK_EQ(pwrite(fd, data, 5000, 100), 5000);
    struct use second = mine();
    CHECK_EQ(fsync(fd), 0);
    CHECK_EQ(mine().out, second.out); // nor is anybody charged for the transfer
    CHECK_EQ(pwrite(fd, data, 1, 4096), 1);
    CHECK_EQ(mine().out - second.out, 4096 * on_disk);
    CHECK_EQ(ftruncate(fd, 0), 0);
    close(fd);
    return second.out == first.out;
}
static void dirtying(void) { now_and_then(dirty_once); }

static bool store_once(void) {
    int fd = fresh();
    CHECK_EQ(ftruncate(fd, 4 * 4096), 0);
    char* map = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    CHECK_EQ(fsync(fd), 0);
    struct use before = mine();
    CHECK_EQ(map[0] + map[4096], 0);
    CHECK_EQ(mine().out - before.out, 0);
    map[0] = map[4096] = 1;
    struct use first = mine();
    CHECK_EQ(first.out - before.out, 2 * 4096 * on_disk);
    map[1] = map[4097] = 1;
    struct use second = mine();
    CHECK_EQ(munmap(map, 4 * 4096), 0);
    close(fd);
    return second.out == first.out;
}
static void stores(void) { now_and_then(store_once); }

static bool cancel_once(void) {
    int fd = fresh();
    struct use before = mine();
    CHECK_EQ(write(fd, data, 5 * 4096), 5 * 4096);
    CHECK_EQ(ftruncate(fd, 4096), 0);
    struct use after = mine();
    CHECK_EQ(after.out - before.out, 5 * 4096 * on_disk); // stays charged
    CHECK_EQ(after.blocks_out - before.blocks_out, 5 * 8 * on_disk);
    CHECK_EQ(fsync(fd), 0);
    CHECK_EQ(ftruncate(fd, 0), 0); // is on the disk: nothing to be cancelled
    CHECK_EQ(mine().cancelled, after.cancelled);
    close(fd);
    return after.cancelled - before.cancelled == 4 * 4096 * on_disk;
}
static void cancelling(void) { now_and_then(cancel_once); }

static void* writes_two_pages(void* fd) {
    struct use before = of_thread();
    CHECK_EQ(pwrite(*(int*)fd, data, 8192, 0), 8192);
    struct use after = of_thread();
    CHECK_EQ(after.out - before.out, 8192 * on_disk);
    CHECK_EQ(after.blocks_out - before.blocks_out, 16 * on_disk);
    return NULL;
}

static void threads(void) {
    int fd = fresh();
    struct use own = of_thread(), all = mine();
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, writes_two_pages, &fd), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(of_thread().out - own.out, 0);
    CHECK_EQ(of_thread().blocks_out - own.blocks_out, 0);
    CHECK_EQ(mine().out - all.out, 8192 * on_disk);
    close(fd);
}

static void in_a_loan(void) {
    int fd = fresh();
    struct use before = mine();
    volatile long used = -1;
    pid_t pid = vfork();
    if (pid == 0) {
        struct use start = mine();
        (void)!pwrite(fd, data, 3 * 4096, 0);
        used = start.out * 1000000 + (mine().out - start.out);
        _exit(0);
    }
    CHECK(pid > 0);
    CHECK_EQ(used, 3 * 4096 * on_disk); // nothing at its start
    struct use meanwhile = mine();
    CHECK_EQ(meanwhile.blocks_out, before.blocks_out);
    CHECK_EQ(meanwhile.out, before.out);
    int status;
    struct rusage of_child, of_children;
    CHECK(getrusage(RUSAGE_CHILDREN, &of_children) == 0);
    long children_before = of_children.ru_oublock;
    CHECK_EQ(wait4(pid, &status, 0, &of_child), pid);
    CHECK_EQ(of_child.ru_oublock, 24 * on_disk);
    CHECK(getrusage(RUSAGE_CHILDREN, &of_children) == 0);
    CHECK_EQ(of_children.ru_oublock - children_before, 24 * on_disk);
    CHECK_EQ(mine().blocks_out, before.blocks_out);
    CHECK_EQ(mine().out - before.out, 3 * 4096 * on_disk); // the file has the children that were waited for
    close(fd);
}

// ---- with a disk ------------------------------------------------------------------------------------------------------

static int open_device(int flags) {
    int fd = open(device, flags | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static void reading(void) {
    int fd = open_device(O_RDONLY);
    struct use before = mine();
    CHECK_EQ(pread(fd, data, 8192, 1 << 20), 8192);
    struct use after = mine();
    CHECK(after.in - before.in >= 8192 && after.in - before.in <= 64 * 4096); // it may read ahead
    CHECK_EQ((after.blocks_in - before.blocks_in) * 512, after.in - before.in);
    CHECK_EQ(after.major, before.major);
    CHECK_EQ(pread(fd, data, 8192, 1 << 20), 8192);
    CHECK_EQ(mine().in, after.in);
    close(fd);
    fd = open_device(O_RDONLY);
    long total = 0;
    for (long at = 0; at < 4 << 20; at += (long)sizeof data)
        total += pread(fd, data, sizeof data, at);
    CHECK_EQ(total, 4 << 20);
    long in = mine().in - after.in;
    CHECK(in >= 4 << 20 && in <= (4 << 20) + 64 * 4096);
    close(fd);
}

static void faults_that_read(void) {
    int fd = open_device(O_RDONLY);
    volatile char* map = mmap(NULL, 8 << 20, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    struct use before = mine();
    (void)map[5 << 20];
    struct use after = mine();
    CHECK_EQ(after.major - before.major, 1);
    CHECK(after.in - before.in >= 4096);
    (void)map[5 << 20];
    CHECK_EQ(mine().major, after.major);
    close(fd);
}

static void reading_in_a_loan(void) {
    int fd = open_device(O_RDONLY);
    struct use before = mine();
    pid_t pid = vfork();
    if (pid == 0) {
        (void)!pread(fd, data, 4096, 2 << 20);
        _exit(0);
    }
    CHECK(pid > 0);
    CHECK_EQ(mine().blocks_in, before.blocks_in);
    CHECK_EQ(mine().in, before.in);
    int status;
    struct rusage usage;
    CHECK_EQ(wait4(pid, &status, 0, &usage), pid);
    CHECK(usage.ru_inblock >= 8);
    CHECK_EQ(mine().in - before.in, usage.ru_inblock * 512);
    CHECK_EQ(mine().blocks_in, before.blocks_in);
    close(fd);
}

static void record(void) {
    int log = open("/tmp/disk-usage.acct", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(log >= 0 && acct("/tmp/disk-usage.acct") == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int fd = open_device(O_RDONLY);
        (void)!pread(fd, data, 4096, 6 << 20);
        _exit(0);
    }
    int status;
    struct rusage usage;
    CHECK_EQ(wait4(pid, &status, 0, &usage), pid);
    CHECK(acct(NULL) == 0);
    struct acct_v3 r;
    CHECK_EQ(read(log, &r, sizeof r), (long)sizeof r);
    CHECK_EQ(r.ac_pid, pid);
    CHECK_EQ(r.ac_io, 4096);
    CHECK_EQ(r.ac_rw, usage.ru_inblock); // it wrote nothing up to then: who ends writes the record itself
    CHECK(r.ac_rw >= 8);
    close(log);
}

static void raw_writing(void) {
    int fd = open_device(O_RDWR);
    CHECK_EQ(pread(fd, data, 8192, 3 << 20), 8192);
    struct use before = mine();
    ssize_t written = pwrite(fd, data, 8192, 3 << 20); // what is there
    if (on_disk) {
        CHECK(written < 0 && errno == EBUSY); // a mounted disk's are the file system's pages
        written = 0;
    }
    CHECK_EQ(mine().out - before.out, written);
    CHECK_EQ(written, on_disk ? 0 : 8192);
    CHECK_EQ(fsync(fd), 0);
    CHECK_EQ(mine().blocks_out - before.blocks_out, written / 512);
    close(fd);
}

static const struct check_case cases[] = {
    {"who makes a page of a file on a disk dirty is charged for it, once until it was written", dirtying, 60, true},
    {"a store through a mapping is charged as write is", stores, 60, true},
    {"what is cut off while it is dirty is told beside what was charged", cancelling, 60, true},
    {"a thread's writes to a disk are its own and the process's", threads, 0, true},
    {"EC-140 what a borrower writes to a disk is charged to it, and to the lender's children after the wait", in_a_loan,
     0, true},
    {"reads from a disk are charged as it is asked, with what is read ahead, and not when the page is there", reading,
     0, true},
    {"a page fault that reads from a disk is a major one", faults_that_read, 0, true},
    {"EC-140 what a borrower reads from a disk is charged to it", reading_in_a_loan, 0, true},
    {"an accounting record has what was read and written, and the blocks of disks", record, 0, true},
    {"pages of a disk itself are charged like those of files", raw_writing, 0, true},
};

int main(int argc, char** argv) {
    struct statfs fs;
    on_disk = statfs("/tmp", &fs) == 0 && fs.f_type == 0xef53;
    return check_main(argc, argv, cases, access(device, F_OK) == 0 ? sizeof cases / sizeof *cases : 5);
}
