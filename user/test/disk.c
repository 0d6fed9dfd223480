// SPDX-License-Identifier: BSD-2-Clause
// Files that a disk may hold, in /tmp: mappings and read and write show the same bytes, ends and holes, names without files
// and files without names. Boot tests mount a disk there; without one it is tmpfs.
#include "check.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

static const char path[] = "/tmp/disk-test";

static int fresh(void) {
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
    CHECK(fd >= 0);
    return fd;
}

static void shared_mapping(void) {
    int fd = fresh();
    CHECK_EQ(ftruncate(fd, 3 * 4096 + 100), 0);
    char* map = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    CHECK_EQ(pwrite(fd, "written", 7, 5000), 7);
    CHECK_EQ(memcmp(map + 5000, "written", 7), 0);
    memcpy(map + 9000, "mapped", 6);
    char got[8] = "";
    CHECK_EQ(pread(fd, got, 6, 9000), 6);
    CHECK_EQ(memcmp(got, "mapped", 6), 0);
    CHECK_EQ(msync(map, 4 * 4096, MS_SYNC), 0);
    memcpy(map + 9000, "second", 6); // after the pages were written back they tell of stores again
    CHECK_EQ(fsync(fd), 0);
    int other = open(path, O_RDONLY);
    CHECK_EQ(pread(other, got, 6, 9000), 6);
    CHECK_EQ(memcmp(got, "second", 6), 0);
    CHECK_EQ(munmap(map, 4 * 4096), 0);
}

static void private_mapping(void) {
    int fd = fresh();
    CHECK_EQ(write(fd, "original", 8), 8);
    char* map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(map != MAP_FAILED);
    map[0] = 'X';
    char got[8];
    CHECK_EQ(pread(fd, got, 8, 0), 8);
    CHECK_EQ(memcmp(got, "original", 8), 0);
    CHECK_EQ(fdatasync(fd), 0);
    CHECK_EQ(map[0], 'X');
}

static void bus_error(int number) { _exit(number == SIGBUS ? 42 : 1); }

static void past_the_end(void) {
    int fd = fresh();
    CHECK_EQ(ftruncate(fd, 8192), 0);
    char* map = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    map[8191] = 1;
    for (int round = 0; round < 2; ++round) {
        pid_t child = fork();
        if (child == 0) {
            signal(SIGBUS, bus_error);
            map[round == 0 ? 8192 : 4096] = 1;
            _exit(0);
        }
        int status;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(WEXITSTATUS(status), 42);
        CHECK_EQ(ftruncate(fd, 100), 0); // and now a page that was there
    }
    CHECK_EQ(ftruncate(fd, 8192), 0);
    CHECK_EQ(map[100], 0);
    CHECK_EQ(map[8191], 0);
}

static void end_of_file_is_clean(void) {
    int fd = fresh();
    char block[4096];
    memset(block, 'x', sizeof block);
    CHECK_EQ(write(fd, block, sizeof block), sizeof block);
    CHECK_EQ(fsync(fd), 0);
    CHECK_EQ(ftruncate(fd, 10), 0);
    CHECK_EQ(fsync(fd), 0);
    CHECK_EQ(ftruncate(fd, 4096), 0);
    CHECK_EQ(pread(fd, block, sizeof block, 0), sizeof block);
    for (int i = 0; i < 4096; ++i)
        CHECK_EQ(block[i], i < 10 ? 'x' : 0);
}

static void holes(void) {
    int fd = fresh();
    CHECK_EQ(pwrite(fd, "a", 1, 100000), 1);
    CHECK_EQ(pwrite(fd, "b", 1, 400000), 1);
    CHECK_EQ(fsync(fd), 0);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 400001);
    CHECK(st.st_blocks <= 32);
    off_t data = lseek(fd, 0, SEEK_DATA);
    CHECK(data > 90000 && data <= 100000);
    off_t hole = lseek(fd, data, SEEK_HOLE);
    CHECK(hole > 100000 && hole < 110000);
    CHECK_EQ(lseek(fd, 399999, SEEK_HOLE) >= 399999, 1);
    CHECK_ERRNO(lseek(fd, 400001, SEEK_DATA), ENXIO);
    char byte = 1;
    CHECK_EQ(pread(fd, &byte, 1, 200000), 1);
    CHECK_EQ(byte, 0);
}

static void no_name(void) {
    int fd = fresh();
    CHECK_EQ(write(fd, "still here", 10), 10);
    CHECK_EQ(unlink(path), 0);
    CHECK_ERRNO(open(path, O_RDONLY), ENOENT);
    CHECK_EQ(fsync(fd), 0);
    char got[10];
    CHECK_EQ(pread(fd, got, 10, 0), 10);
    CHECK_EQ(memcmp(got, "still here", 10), 0);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
    int unnamed = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    CHECK(unnamed >= 0);
    CHECK_EQ(write(unnamed, "x", 1), 1);
}

static void renames(void) {
    char one[] = "/tmp/disk-one", two[] = "/tmp/disk-two";
    rmdir(one), rmdir(two), unlink(one), unlink(two);
    CHECK_EQ(mkdir(one, 0755), 0);
    CHECK_EQ(mkdir(two, 0755), 0);
    CHECK_EQ(mkdir("/tmp/disk-one/in", 0755), 0);
    CHECK_ERRNO(rename(one, "/tmp/disk-one/in/it"), EINVAL);
    CHECK_ERRNO(rename(two, one), ENOTEMPTY);
    CHECK_EQ(rename("/tmp/disk-one/in", "/tmp/disk-two/out"), 0);
    struct stat st;
    CHECK_EQ(stat(one, &st), 0);
    CHECK_EQ(st.st_nlink, 2);
    CHECK_EQ(stat(two, &st), 0);
    CHECK_EQ(st.st_nlink, 3);
    CHECK_EQ(syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, two, 2), 0); // exchange
    CHECK_EQ(stat(one, &st), 0);
    CHECK_EQ(st.st_nlink, 3);
    CHECK_EQ(rename(two, "/tmp/disk-one/out"), 0); // over an empty directory
    CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "/tmp/disk-one/out", AT_FDCWD, one, 1), EEXIST);
    char where[100];
    CHECK_EQ(chdir("/tmp/disk-one/out"), 0);
    CHECK(getcwd(where, sizeof where) && strcmp(where, "/tmp/disk-one/out") == 0);
    CHECK_EQ(chdir(".."), 0);
    CHECK_EQ(rmdir("out"), 0);
    CHECK_EQ(rmdir(one), 0);
}

static void many_writers(void) {
    enum { writers = 4, files = 40 };
    for (int w = 0; w < writers; ++w)
        if (fork() == 0) {
            for (int i = 0; i < files; ++i) {
                char name[64];
                snprintf(name, sizeof name, "/tmp/disk-%d-%d", w, i);
                int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
                if (fd < 0 || write(fd, name, sizeof name) != sizeof name || (i % 8 == 0 && fsync(fd) != 0))
                    _exit(1);
                char got[64];
                if (pread(fd, got, sizeof got, 0) != sizeof got || memcmp(got, name, sizeof got) != 0 || close(fd) != 0)
                    _exit(2);
                if (i % 2 && unlink(name) != 0)
                    _exit(3);
            }
            _exit(0);
        }
    for (int w = 0; w < writers; ++w) {
        int status;
        CHECK(wait(&status) > 0);
        CHECK_EQ(status, 0);
    }
    for (int w = 0; w < writers; ++w)
        for (int i = 0; i < files; i += 2) {
            char name[64];
            snprintf(name, sizeof name, "/tmp/disk-%d-%d", w, i);
            CHECK_EQ(unlink(name), 0);
        }
}

static void syncs(void) {
    int fd = fresh();
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(syncfs(fd), 0);
    sync();
    int synchronous = open(path, O_WRONLY | O_SYNC);
    CHECK_EQ(write(synchronous, "y", 1), 1);
    struct statfs st;
    CHECK_EQ(fstatfs(fd, &st), 0);
    CHECK(st.f_blocks > 0 && st.f_bavail <= st.f_bfree && st.f_bfree <= st.f_blocks);
}

static const struct check_case cases[] = {
    {"a shared mapping and read and write show the same bytes, before and after they are written back", shared_mapping,
     0, false},
    {"what is stored in a private mapping does not reach the file", private_mapping, 0, false},
    {"a mapped page past the end is SIGBUS, also after the file was cut; what comes back is zero", past_the_end, 0,
     false},
    {"bytes behind the end of a file that was cut are zero when it grows", end_of_file_is_clean, 0, false},
    {"holes take no room, read as zeros, and SEEK_DATA and SEEK_HOLE find them", holes, 0, false},
    {"a file without a name lives as long as it is open", no_name, 0, false},
    {"directories are renamed, exchanged, replaced; link counts and getcwd follow", renames, 0, false},
    {"several processes make, write, read and remove files at once", many_writers, 0, false},
    {"sync, syncfs, O_SYNC and statfs", syncs, 0, false},
};

CHECK_MAIN(cases)
