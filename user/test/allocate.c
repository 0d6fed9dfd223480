// SPDX-License-Identifier: BSD-2-Clause
// fallocate, holes and unnamed files, in /tmp: a tmpfs, or the disk that a boot test mounts there; and memfds.
#include "check.h"

#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/vfs.h>

static const char path[] = "/tmp/allocate-test", other[] = "/tmp/allocate-other";
enum { page = 4096 };

static bool on_tmpfs(void) {
    struct statfs st;
    CHECK_EQ(statfs("/tmp", &st), 0);
    return st.f_type == 0x01021994;
}

static int fresh(void) {
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
    CHECK(fd >= 0);
    return fd;
}

static struct stat stat_of(int fd) {
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    return st;
}

static void fill(int fd, int pages) {
    char block[page];
    for (int i = 0; i < pages; ++i) {
        memset(block, 'a' + i % 26, sizeof block);
        CHECK_EQ(pwrite(fd, block, sizeof block, (off_t)i * page), page);
    }
}

// Whether [from, to) is what fill wrote, or zeros.
static void expect(int fd, off_t from, off_t to, bool zero) {
    char block[page];
    for (off_t at = from; at < to;) {
        size_t n = (size_t)(page - at % page);
        if ((off_t)n > to - at)
            n = (size_t)(to - at);
        CHECK_EQ(pread(fd, block, n, at), (long)n);
        for (size_t i = 0; i < n; ++i)
            if (block[i] != (zero ? 0 : 'a' + at / page % 26))
                check_fail("byte %ld is %d", (long)(at + (off_t)i), block[i]);
        at += (off_t)n;
    }
}

static void allocates(void) {
    int fd = fresh();
    fill(fd, 2);
    CHECK_EQ(fallocate(fd, 0, page, 8 * page), 0);
    struct stat st = stat_of(fd);
    CHECK_EQ(st.st_size, 9 * page);
    CHECK(st.st_blocks >= 7 * page / 512);
    expect(fd, 0, 2 * page, false);
    expect(fd, 2 * page, 9 * page, true);
    CHECK_EQ(fsync(fd), 0);
    CHECK_EQ(pwrite(fd, "middle", 6, 5 * page + 10), 6);
    CHECK_EQ(fsync(fd), 0);
    char got[6];
    CHECK_EQ(pread(fd, got, 6, 5 * page + 10), 6);
    CHECK_EQ(memcmp(got, "middle", 6), 0);
    expect(fd, 5 * page + 16, 9 * page, true);
    expect(fd, 2 * page, 5 * page + 10, true);
    long blocks = stat_of(fd).st_blocks;
    CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 9 * page, 16 * page), 0);
    CHECK_EQ(stat_of(fd).st_size, 9 * page);
    if (!on_tmpfs())
        CHECK(stat_of(fd).st_blocks >= blocks + 16 * page / 512);
    CHECK_EQ(ftruncate(fd, 9 * page), 0);
    CHECK_EQ(fallocate(fd, 0, 0, 1), 0);
    CHECK_EQ(stat_of(fd).st_size, 9 * page);
}

static void punches(void) {
    int fd = fresh();
    fill(fd, 16);
    CHECK_EQ(fsync(fd), 0);
    long blocks = stat_of(fd).st_blocks;
    char* map = mmap(NULL, 16 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char* private = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 7 * page);
    CHECK(map != MAP_FAILED && private != MAP_FAILED);
    CHECK_EQ(map[5 * page], 'f');
    map[6 * page] = 'g'; // dirty, in a mapping that may write
    private[0] = 'P';
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * page + 100, 6 * page), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 5 * page);
    CHECK_EQ(lseek(fd, 5 * page, SEEK_DATA), 10 * page);
    CHECK(stat_of(fd).st_blocks <= blocks - 5 * page / 512);
    expect(fd, 0, 4 * page + 100, false);
    expect(fd, 4 * page + 100, 10 * page + 100, true);
    expect(fd, 10 * page + 100, 16 * page, false);
    CHECK_EQ(map[6 * page], 0);
    CHECK_EQ(map[9 * page + 5], 0);
    CHECK_EQ(private[0], 'P');
    map[8 * page] = 'N';
    char got;
    CHECK_EQ(pread(fd, &got, 1, 8 * page), 1);
    CHECK_EQ(got, 'N');
    CHECK_EQ(fsync(fd), 0);
    CHECK_EQ(stat_of(fd).st_size, 16 * page);
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 15 * page, 100 * page), 0); // past the end
    CHECK_EQ(stat_of(fd).st_size, 16 * page);
    expect(fd, 15 * page, 16 * page, true);
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page + 7, 9), 0); // inside a page
    expect(fd, page + 7, page + 16, true);
    expect(fd, page + 16, 2 * page, false);
    // The file is whole when it is read from the disk again.
    CHECK_EQ(fsync(fd), 0);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    CHECK_EQ(pread(fd, &got, 1, 8 * page), 1);
    CHECK_EQ(got, 'N');
}

static void zeroes(void) {
    int fd = fresh();
    fill(fd, 8);
    CHECK_EQ(fsync(fd), 0);
    long blocks = stat_of(fd).st_blocks;
    if (on_tmpfs()) {
        CHECK_ERRNO(fallocate(fd, FALLOC_FL_ZERO_RANGE, page, page), EOPNOTSUPP);
        return;
    }
    CHECK_EQ(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, page + 50, 4 * page), 0);
    expect(fd, 0, page + 50, false);
    expect(fd, page + 50, 5 * page + 50, true);
    expect(fd, 5 * page + 50, 8 * page, false);
    CHECK_EQ(fsync(fd), 0);
    const long now = stat_of(fd).st_blocks; // more than four extents take a block for themselves
    CHECK(now == blocks || now == blocks + page / 512);
    CHECK_EQ(fallocate(fd, FALLOC_FL_ZERO_RANGE, 7 * page, 4 * page), 0);
    CHECK_EQ(stat_of(fd).st_size, 11 * page);
    expect(fd, 7 * page, 11 * page, true);
    CHECK_EQ(pwrite(fd, "x", 1, 9 * page), 1);
    CHECK_EQ(fsync(fd), 0);
    expect(fd, 7 * page, 9 * page, true);
}

static void arguments(void) {
    int fd = fresh();
    CHECK_ERRNO(fallocate(fd, 0, -1, 1), EINVAL);
    CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
    CHECK_ERRNO(fallocate(fd, 0x1000, 0, 1), EOPNOTSUPP);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 1), EOPNOTSUPP);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 1), EOPNOTSUPP);
    CHECK_ERRNO(fallocate(fd, 0, INT64_MAX, 1), EFBIG);
    int reader = open(path, O_RDONLY);
    CHECK_ERRNO(fallocate(reader, 0, 0, 1), EBADF);
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_ERRNO(fallocate(ends[1], 0, 0, 1), ESPIPE);
    struct rlimit limit = {8 * page, 8 * page};
    signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    CHECK_ERRNO(fallocate(fd, 0, 0, 9 * page), EFBIG);
    CHECK_EQ(fallocate(fd, 0, 0, 8 * page), 0);
}

static void memfds(void) {
    int fd = memfd_create("allocate", 0);
    CHECK(fd >= 0);
    CHECK_EQ(fallocate(fd, 0, 0, 6 * page), 0);
    CHECK_EQ(stat_of(fd).st_size, 6 * page);
    CHECK_EQ(stat_of(fd).st_blocks, 6 * page / 512);
    fill(fd, 6);
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page, 3 * page), 0);
    CHECK_EQ(stat_of(fd).st_blocks, 3 * page / 512);
    expect(fd, 0, page, false);
    expect(fd, page, 4 * page, true);
    expect(fd, 4 * page, 6 * page, false);
    CHECK_EQ(lseek(fd, 0, SEEK_HOLE), page);
    CHECK_EQ(lseek(fd, page, SEEK_DATA), 4 * page);
}

static void unnamed(void) {
    unlink(path), unlink(other);
    int fd = open("/tmp", O_TMPFILE | O_RDWR, 0640);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "found", 5), 5);
    CHECK_EQ(stat_of(fd).st_nlink, 0);
    char link_path[64];
    snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", fd);
    CHECK_EQ(linkat(AT_FDCWD, link_path, AT_FDCWD, path, AT_SYMLINK_FOLLOW), 0);
    CHECK_EQ(linkat(fd, "", AT_FDCWD, other, AT_EMPTY_PATH), 0);
    CHECK_EQ(stat_of(fd).st_nlink, 2);
    char got[5];
    int named = open(other, O_RDONLY);
    CHECK_EQ(read(named, got, 5), 5);
    CHECK_EQ(memcmp(got, "found", 5), 0);
    int kept = open("/tmp", O_TMPFILE | O_RDWR | O_EXCL, 0640);
    CHECK(kept >= 0);
    CHECK_ERRNO(linkat(kept, "", AT_FDCWD, path, AT_EMPTY_PATH), EEXIST);
    CHECK_EQ(unlink(path), 0);
    CHECK_ERRNO(linkat(kept, "", AT_FDCWD, path, AT_EMPTY_PATH), ENOENT); // O_EXCL: it never gets a name
    CHECK_EQ(unlink(other), 0);
    CHECK_ERRNO(linkat(fd, "", AT_FDCWD, path, AT_EMPTY_PATH), ENOENT); // its last name is gone for good
}

static void renames(void) {
    unlink(path), unlink(other);
    CHECK_EQ(close(open(path, O_CREAT | O_WRONLY, 0644)), 0);
    CHECK_EQ(close(open(other, O_CREAT | O_WRONLY, 0644)), 0);
    CHECK_ERRNO(renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_NOREPLACE), EEXIST);
    CHECK_ERRNO(renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL);
    CHECK_ERRNO(renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_WHITEOUT | RENAME_EXCHANGE), EINVAL);
    CHECK_ERRNO(renameat2(AT_FDCWD, path, AT_FDCWD, other, 8), EINVAL);
    struct stat a, b, c;
    CHECK_EQ(stat(path, &a), 0);
    CHECK_EQ(stat(other, &b), 0);
    CHECK_EQ(renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE), 0);
    CHECK_EQ(stat(path, &c), 0);
    CHECK_EQ(c.st_ino, b.st_ino);
    CHECK_EQ(unlink(other), 0);
    CHECK_ERRNO(renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE), ENOENT);
    CHECK_EQ(renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_NOREPLACE), 0);
    CHECK_EQ(unlink(other), 0);
}

static void direct(void) {
    int fd = fresh();
    fill(fd, 4);
    int straight = open(path, O_RDWR | O_DIRECT);
    if (straight < 0) {
        CHECK_EQ(errno, EINVAL);
        return;
    }
    char* buffer = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_EQ(pread(straight, buffer, page, page), page);
    CHECK_EQ(buffer[0], 'b');
    memset(buffer, 'z', page);
    CHECK_EQ(pwrite(straight, buffer, page, 2 * page), page);
    CHECK_EQ(pread(fd, buffer + page, page, 2 * page), page);
    CHECK_EQ(buffer[page], 'z');
    CHECK_EQ(fcntl(straight, F_GETFL) & O_DIRECT, O_DIRECT);
}

static const struct check_case cases[] = {
    {"fallocate sets room aside that reads as zeros, with and without a new size", allocates, 0, false},
    {"a hole is punched in a file: mappings see it, parts of pages stay, room is given back", punches, 0, false},
    {"a range is made zero and keeps its room", zeroes, 0, false},
    {"fallocate checks modes, descriptors and limits as Linux does", arguments, 0, false},
    {"a memfd's pages are allocated and punched out", memfds, 0, false},
    {"a file without a name gets one by linkat, unless O_EXCL said never or it lost its last", unnamed, 0, false},
    {"renameat2 exchanges, does not replace, and refuses flags that exclude each other", renames, 0, false},
    {"O_DIRECT reads and writes what others see", direct, 0, false},
};

CHECK_MAIN(cases)
