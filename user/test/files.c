// SPDX-License-Identifier: BSD-2-Clause
// Files and names: what open, link, rename, unlink and the rest promise, in a directory of tmpfs.
#include "check.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

static char where[64];

// Every case works in an empty directory of its own.
static void enter_directory(void) {
    snprintf(where, sizeof where, "/tmp/files-%d", (int)getpid());
    mkdir("/tmp", 01777);
    CHECK_EQ(mkdir(where, 0755), 0);
    CHECK_EQ(chdir(where), 0);
    umask(022);
}

static void put(const char* path, const char* text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void holds(const char* path, const char* text) {
    char got[256];
    CHECK_EQ(check_read_file(path, got, sizeof got), strlen(text));
    if (strcmp(got, text) != 0)
        check_fail("%s holds \"%s\", expected \"%s\"", path, got, text);
}

static struct stat look(const char* path) {
    struct stat st;
    if (lstat(path, &st) != 0)
        check_fail("lstat(%s): errno %d", path, errno);
    return st;
}

// A process without any right beyond its owner's.
static void as_nobody(void (*body)(void)) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_EQ(setgid(65534), 0);
        CHECK_EQ(setuid(65534), 0);
        body();
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
}

// --- open, read, write ---

static void open_modes(void) {
    enter_directory();
    CHECK_ERRNO(open("f", O_RDONLY), ENOENT);
    CHECK_ERRNO(open("", O_RDONLY), ENOENT);
    int fd = open("f", O_RDWR | O_CREAT | O_EXCL, 0777);
    CHECK(fd >= 0);
    CHECK_EQ(look("f").st_mode, S_IFREG | 0755);
    CHECK_ERRNO(open("f", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
    CHECK_ERRNO(open("f/", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("f/x", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERRNO(open(".", O_RDWR), EISDIR);
    CHECK_ERRNO(open("g/", O_RDWR | O_CREAT, 0644), EISDIR);
    CHECK_EQ(write(fd, "hello", 5), 5);
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_CREAT | O_EXCL), O_RDWR);
    int wronly = open("f", O_WRONLY), rdonly = open("f", O_RDONLY);
    char byte;
    CHECK_ERRNO(read(wronly, &byte, 1), EBADF);
    CHECK_ERRNO(write(rdonly, "x", 1), EBADF);
    CHECK_EQ(look("f").st_size, 5);
    CHECK(open("f", O_WRONLY | O_TRUNC) >= 0);
    CHECK_EQ(look("f").st_size, 0);
    char name[300];
    memset(name, 'n', sizeof name);
    name[256] = 0;
    CHECK_ERRNO(open(name, O_RDONLY | O_CREAT, 0644), ENAMETOOLONG);
    name[255] = 0;
    CHECK(open(name, O_RDONLY | O_CREAT, 0644) >= 0);
    CHECK_EQ(unlink(name), 0);
}

static void positions(void) {
    enter_directory();
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    CHECK_EQ(lseek(fd, -3, SEEK_END), 7);
    char got[16] = {0};
    CHECK_EQ(read(fd, got, 16), 3);
    CHECK_EQ(read(fd, got, 16), 0);
    CHECK_EQ(pread(fd, got, 2, 4), 2);
    CHECK(memcmp(got, "45", 2) == 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
    CHECK_EQ(pwrite(fd, "XY", 2, 4), 2);
    CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
    CHECK_ERRNO(pread(fd, got, 1, -1), EINVAL);
    int copy = dup(fd), other = open("f", O_RDWR | O_APPEND);
    CHECK_EQ(lseek(copy, 2, SEEK_SET), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 2); // one description
    CHECK_EQ(lseek(other, 0, SEEK_CUR), 0);
    CHECK_EQ(write(other, "!", 1), 1);
    CHECK_EQ(lseek(other, 0, SEEK_CUR), 11);
    holds("f", "0123XY6789!");
    struct iovec out[3] = {{"ab", 2}, {NULL, 0}, {"cd", 2}};
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(writev(fd, out, 3), 4);
    holds("f", "abcdXY6789!");
}

static void holes(void) {
    enter_directory();
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    CHECK_EQ(pwrite(fd, "end", 3, 100000), 3);
    CHECK_EQ(look("f").st_size, 100003);
    CHECK(look("f").st_blocks * 512 < 20000);
    char got[8] = "xxxxxxx";
    CHECK_EQ(pread(fd, got, 4, 50000), 4);
    CHECK(memcmp(got, "\0\0\0\0", 4) == 0);
    CHECK_EQ(lseek(fd, 0, SEEK_DATA), 98304);
    CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 0);
    CHECK_EQ(lseek(fd, 99000, SEEK_HOLE), 100003);
    CHECK_ERRNO(lseek(fd, 100003, SEEK_DATA), ENXIO);
    CHECK_EQ(ftruncate(fd, 2), 0);
    CHECK_EQ(ftruncate(fd, 10), 0);
    CHECK_EQ(pread(fd, got, 8, 2), 8);
    CHECK(memcmp(got, "\0\0\0\0\0\0\0\0", 8) == 0);
    CHECK_EQ(truncate("f", 4096 * 3), 0);
    CHECK_EQ(look("f").st_size, 4096 * 3);
    CHECK_ERRNO(truncate(".", 0), EISDIR);
    CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
}

static void mapped(void) {
    enter_directory();
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    CHECK_EQ(ftruncate(fd, 8192), 0);
    char* p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    memcpy(p + 4090, "across pages", 12);
    char got[16] = {0};
    CHECK_EQ(pread(fd, got, 12, 4090), 12);
    CHECK(strcmp(got, "across pages") == 0);
    CHECK_EQ(pwrite(fd, "ACROSS", 6, 4090), 6);
    CHECK(memcmp(p + 4090, "ACROSS pages", 12) == 0);
    char* private = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    private[4090] = 'z';
    CHECK_EQ(p[4090], 'A');
    CHECK_EQ(unlink("f"), 0);
    CHECK_EQ(p[4091], 'C'); // the memory outlives the name
    CHECK_EQ(fstat(fd, &(struct stat){0}), 0);
}

static void bad_buffers(void) {
    enter_directory();
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    char* volatile nowhere = (char*)1;
    CHECK_ERRNO(write(fd, nowhere, 10), EFAULT);
    CHECK_EQ(look("f").st_size, 0);
    CHECK_ERRNO(open(nowhere, O_RDONLY), EFAULT);
    if (check_on_linux()) // the emulator there looks at whole buffers first
        return;
    char* p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_EQ(munmap(p + 4096, 4096), 0);
    memset(p, 'a', 4096);
    CHECK_EQ(write(fd, p + 4000, 200), 96); // up to the end of what is there
    CHECK_EQ(look("f").st_size, 96);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(read(fd, p + 4050, 96), 46);
}

static void limits(void) {
    enter_directory();
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {1000, 1000};
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    char block[600] = {0};
    CHECK_EQ(write(fd, block, 600), 600);
    CHECK_EQ(write(fd, block, 600), 400);
    CHECK_ERRNO(write(fd, block, 600), EFBIG);
    CHECK_ERRNO(ftruncate(fd, 1001), EFBIG);
}

static void limit_signal(void) {
    enter_directory();
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {10, 10};
        setrlimit(RLIMIT_FSIZE, &limit);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        int fd = open("g", O_RDWR | O_CREAT, 0644);
        if (write(fd, "0123456789", 10) != 10)
            _exit(2);
        if (write(fd, "x", 1)) {
        }
        _exit(3);
    }
    CHECK_SIGNALED(check_reap(pid), SIGXFSZ);
}

// --- names ---

static void links(void) {
    enter_directory();
    put("a", "text");
    CHECK_EQ(link("a", "b"), 0);
    CHECK_EQ(look("a").st_nlink, 2);
    CHECK_EQ(look("a").st_ino, look("b").st_ino);
    CHECK_ERRNO(link("a", "b"), EEXIST);
    CHECK_ERRNO(link("nothing", "c"), ENOENT);
    CHECK_ERRNO(link(".", "c"), EPERM);
    CHECK_EQ(unlink("a"), 0);
    holds("b", "text");
    CHECK_EQ(look("b").st_nlink, 1);
    int fd = open("b", O_RDONLY);
    CHECK_EQ(unlink("b"), 0);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
    char got[8] = {0};
    CHECK_EQ(read(fd, got, 8), 4);
    CHECK_ERRNO(unlink("b"), ENOENT);
    CHECK_ERRNO(link("/proc/self/comm", "c"), EXDEV);
}

static void symlinks(void) {
    enter_directory();
    mkdir("d", 0755);
    put("d/f", "through");
    CHECK_EQ(symlink("d", "l"), 0);
    CHECK_EQ(symlink("l/f", "m"), 0);
    holds("m", "through");
    CHECK_EQ(look("m").st_mode, S_IFLNK | 0777);
    CHECK_EQ(look("m").st_size, 3);
    char text[16] = {0};
    CHECK_EQ(readlink("m", text, sizeof text), 3);
    CHECK_EQ(readlink("m", text, 2), 2);
    CHECK_ERRNO(readlink("d", text, 16), EINVAL);
    CHECK_ERRNO(open("m", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK(open("m", O_PATH | O_NOFOLLOW) >= 0);
    CHECK_ERRNO(symlink("", "e"), ENOENT);
    CHECK_ERRNO(symlink("x", "m"), EEXIST);
    CHECK_EQ(symlink("one", "two"), 0);
    CHECK_EQ(symlink("two", "one"), 0);
    CHECK_ERRNO(open("one", O_RDONLY), ELOOP);
    // Forty are followed, one more is not.
    char name[16], target[16];
    strcpy(target, "d/f");
    for (int i = 0; i < 41; i++) {
        snprintf(name, sizeof name, "s%d", i);
        CHECK_EQ(symlink(target, name), 0);
        strcpy(target, name);
    }
    CHECK(open("s39", O_RDONLY) >= 0);
    CHECK_ERRNO(open("s40", O_RDONLY), ELOOP);
    // A dangling one is made real by O_CREAT, but not by O_EXCL.
    CHECK_EQ(symlink("new", "dangling"), 0);
    CHECK_ERRNO(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
    CHECK(open("dangling", O_RDWR | O_CREAT, 0644) >= 0);
    CHECK(S_ISREG(look("new").st_mode));
    CHECK_EQ(look("l/").st_mode & S_IFMT, S_IFDIR);
    CHECK_EQ(unlink("l"), 0);
}

static void directories(void) {
    enter_directory();
    CHECK_EQ(mkdir("d", 0777), 0);
    CHECK_EQ(look("d").st_mode, S_IFDIR | 0755);
    CHECK_EQ(look("d").st_nlink, 2);
    CHECK_EQ(mkdir("d/e/", 0755), 0);
    CHECK_EQ(look("d").st_nlink, 3);
    CHECK_ERRNO(mkdir("d", 0755), EEXIST);
    CHECK_ERRNO(mkdir(".", 0755), EEXIST);
    CHECK_ERRNO(mkdir("/", 0755), EEXIST);
    CHECK_ERRNO(mkdir("x/y", 0755), ENOENT);
    CHECK_ERRNO(rmdir("d"), ENOTEMPTY);
    CHECK_ERRNO(rmdir("d/."), EINVAL);
    CHECK_ERRNO(rmdir("d/e/.."), ENOTEMPTY);
    CHECK_ERRNO(unlink("d"), EISDIR);
    put("f", "");
    CHECK_ERRNO(rmdir("f"), ENOTDIR);
    int fd = open("d/e", O_RDONLY | O_DIRECTORY);
    CHECK_EQ(chdir("d/e"), 0);
    CHECK_EQ(rmdir("../e"), 0);
    char cwd[128];
    CHECK_ERRNO(getcwd(cwd, sizeof cwd) ? 0 : -1, ENOENT);
    CHECK_ERRNO(open("new", O_RDWR | O_CREAT, 0644), ENOENT);
    CHECK_ERRNO(mkdirat(fd, "new", 0755), ENOENT);
    CHECK_EQ(chdir(".."), 0); // its parent is still there
    CHECK(getcwd(cwd, sizeof cwd) != NULL);
    CHECK_EQ(look(".").st_nlink, 2);
    CHECK_EQ(chdir("../../.././../.."), 0);
    CHECK(getcwd(cwd, sizeof cwd) != NULL && strcmp(cwd, "/") == 0);
}

static void renames(void) {
    enter_directory();
    put("a", "A");
    put("b", "B");
    CHECK_EQ(rename("a", "c"), 0);
    CHECK_ERRNO(open("a", O_RDONLY), ENOENT);
    CHECK_EQ(rename("c", "b"), 0);
    holds("b", "A");
    CHECK_EQ(link("b", "b2"), 0);
    CHECK_EQ(rename("b", "b2"), 0); // two names of one file: nothing happens
    holds("b", "A");
    mkdir("d", 0755);
    mkdir("d/e", 0755);
    mkdir("empty", 0755);
    CHECK_ERRNO(rename("d", "d/e/f"), EINVAL);
    CHECK_ERRNO(rename("d/e", "d"), ENOTEMPTY);
    CHECK_ERRNO(rename("empty", "d"), ENOTEMPTY);
    CHECK_ERRNO(rename("b", "d"), EISDIR);
    CHECK_ERRNO(rename("d", "b"), ENOTDIR);
    CHECK_ERRNO(rename("d/.", "x"), EBUSY);
    CHECK_ERRNO(rename("nothing", "x"), ENOENT);
    CHECK_EQ(rename("d/e", "empty"), 0);
    CHECK_EQ(look("d").st_nlink, 2);
    CHECK_EQ(rename("empty", "d/moved"), 0);
    CHECK_EQ(look("d").st_nlink, 3);
    CHECK_EQ(chdir("d/moved"), 0);
    struct stat up, d;
    CHECK_EQ(stat("..", &up), 0);
    CHECK_EQ(chdir("../.."), 0);
    CHECK_EQ(stat("d", &d), 0);
    CHECK_EQ(up.st_ino, d.st_ino);
    CHECK_ERRNO(rename("b", "/proc/x"), EXDEV);
}

static void rename_flags(void) {
    enter_directory();
    put("a", "A");
    put("b", "B");
    mkdir("d", 0755);
    CHECK_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
    CHECK_EQ(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE), 0);
    holds("a", "B");
    holds("b", "A");
    CHECK_EQ(renameat2(AT_FDCWD, "a", AT_FDCWD, "d", RENAME_EXCHANGE), 0);
    holds("d", "B");
    CHECK(S_ISDIR(look("a").st_mode));
    CHECK_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "none", RENAME_EXCHANGE), ENOENT);
    CHECK_EQ(renameat2(AT_FDCWD, "b", AT_FDCWD, "new", RENAME_NOREPLACE), 0);
    CHECK_ERRNO(renameat2(AT_FDCWD, "d", AT_FDCWD, "e", RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL);
}

// Removing while reading: every name that stays is seen exactly once, whatever goes meanwhile.
static void read_directory(void) {
    enter_directory();
    enum { count = 300 };
    char name[16];
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "f%d", i);
        put(name, "");
    }
    bool seen[count] = {false};
    DIR* dir = opendir(".");
    CHECK(dir != NULL);
    int entries = 0, dots = 0;
    for (struct dirent* e; (e = readdir(dir)); entries++) {
        if (e->d_name[0] == '.') {
            CHECK_EQ(e->d_type, DT_DIR);
            dots++;
            continue;
        }
        CHECK_EQ(e->d_type, DT_REG);
        int i = atoi(e->d_name + 1);
        CHECK(i >= 0 && i < count && !seen[i]);
        seen[i] = true;
        if (i % 2 == 0)
            CHECK_EQ(unlink(e->d_name), 0);
    }
    CHECK_EQ(entries, count + 2);
    CHECK_EQ(dots, 2);
    rewinddir(dir);
    entries = 0;
    while (readdir(dir))
        entries++;
    CHECK_EQ(entries, count / 2 + 2);
    rewinddir(dir);
    for (int i = 0; i < 20; i++)
        readdir(dir);
    long position = telldir(dir);
    char next[16];
    strcpy(next, readdir(dir)->d_name);
    while (readdir(dir)) {
    }
    seekdir(dir, position);
    CHECK(strcmp(next, readdir(dir)->d_name) == 0);
}

static void unnamed(void) {
    enter_directory();
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "temp", 4), 4);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
    char self[32];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    CHECK_EQ(linkat(AT_FDCWD, self, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), 0);
    holds("named", "temp");
}

static void special_files(void) {
    enter_directory();
    CHECK_EQ(mknod("null", S_IFCHR | 0666, makedev(1, 3)), 0);
    CHECK_EQ(look("null").st_rdev, makedev(1, 3));
    int fd = open("null", O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "gone", 4), 4);
    char byte;
    CHECK_EQ(read(fd, &byte, 1), 0);
    CHECK_EQ(mknod("regular", S_IFREG | 0600, 0), 0);
    CHECK(S_ISREG(look("regular").st_mode));
    CHECK_EQ(mknod("none", S_IFCHR | 0666, makedev(200, 200)), 0);
    CHECK_ERRNO(open("none", O_RDONLY), ENXIO);
    CHECK_ERRNO(mknod("directory", S_IFDIR | 0755, 0), EPERM);
    CHECK_EQ(mkfifo("fifo", 0644), 0);
    CHECK(S_ISFIFO(look("fifo").st_mode));
}

// --- permissions ---

static void nobody_checks(void) {
    CHECK_ERRNO(open("secret", O_RDONLY), EACCES);
    CHECK_ERRNO(open("readable", O_WRONLY), EACCES);
    CHECK(open("readable", O_RDONLY) >= 0);
    CHECK_ERRNO(open("locked/f", O_RDONLY), EACCES);
    CHECK_ERRNO(open("new", O_WRONLY | O_CREAT, 0644), EACCES);
    CHECK_ERRNO(mkdir("new", 0755), EACCES);
    CHECK_ERRNO(unlink("readable"), EACCES);
    CHECK_ERRNO(chmod("readable", 0777), EPERM);
    CHECK_ERRNO(chown("readable", 65534, -1), EPERM);
    CHECK_ERRNO(mknod("node", S_IFCHR | 0666, makedev(1, 3)), EACCES);
    CHECK_ERRNO(mknod("sticky/node", S_IFCHR | 0666, makedev(1, 3)), EPERM);
    CHECK_EQ(access("readable", R_OK), 0);
    CHECK_ERRNO(access("readable", W_OK), EACCES);
    CHECK_ERRNO(access("readable", X_OK), EACCES);
    CHECK_ERRNO(unlink("sticky/theirs"), EPERM);
    CHECK_ERRNO(rename("sticky/theirs", "sticky/x"), EPERM);
    put("sticky/mine", "");
    CHECK_EQ(look("sticky/mine").st_uid, 65534);
    CHECK_EQ(chmod("sticky/mine", 06755), 0);
    CHECK_EQ(look("sticky/mine").st_mode & 07777, 06755);
    CHECK_EQ(chown("sticky/mine", -1, 65534), 0);
    CHECK_EQ(look("sticky/mine").st_mode & 07777, 0755); // a changed owner loses set-id bits
    CHECK_EQ(unlink("sticky/mine"), 0);
    CHECK_ERRNO(chroot("."), EPERM);
}
static void permissions(void) {
    enter_directory();
    put("secret", "");
    chmod("secret", 0600);
    put("readable", "");
    mkdir("locked", 0700);
    put("locked/f", "");
    mkdir("sticky", 0);
    CHECK_EQ(chmod("sticky", 01777), 0);
    put("sticky/theirs", "");
    as_nobody(nobody_checks);
    chmod("secret", 0);
    CHECK(open("secret", O_RDWR) >= 0); // root may
    CHECK_ERRNO(access("secret", X_OK), EACCES);
    CHECK_EQ(mkdir("group", 02775), 0);
    CHECK_EQ(chmod("group", 02775), 0);
    CHECK_EQ(chown("group", 0, 77), 0);
    CHECK_EQ(chmod("group", 02775), 0);
    put("group/f", "");
    mkdir("group/d", 0755);
    CHECK_EQ(look("group/f").st_gid, 77);
    CHECK_EQ(look("group/d").st_gid, 77);
    CHECK(look("group/d").st_mode & S_ISGID);
}

static void times(void) {
    enter_directory();
    put("f", "x");
    struct timespec set[2] = {{1000, 5}, {2000, 6}};
    CHECK_EQ(utimensat(AT_FDCWD, "f", set, 0), 0);
    struct stat st = look("f");
    CHECK_EQ(st.st_atim.tv_sec, 1000);
    CHECK_EQ(st.st_atim.tv_nsec, 5);
    CHECK_EQ(st.st_mtim.tv_sec, 2000);
    CHECK_EQ(st.st_mtim.tv_nsec, 6);
    set[0].tv_nsec = UTIME_OMIT;
    set[1].tv_nsec = UTIME_NOW;
    CHECK_EQ(utimensat(AT_FDCWD, "f", set, 0), 0);
    st = look("f");
    CHECK_EQ(st.st_atim.tv_sec, 1000);
    CHECK(st.st_mtim.tv_sec > 1000000000);
    int fd = open("f", O_RDWR);
    set[0].tv_nsec = set[1].tv_nsec = 0;
    CHECK_EQ(futimens(fd, set), 0);
    CHECK_EQ(look("f").st_mtim.tv_sec, 2000);
    CHECK_EQ(write(fd, "y", 1), 1);
    CHECK(look("f").st_mtim.tv_sec > 2000);
}

// --- devices and descriptors ---

static void devices(void) {
    int zero = open("/dev/zero", O_RDWR), full = open("/dev/full", O_RDWR), random = open("/dev/urandom", O_RDONLY);
    CHECK(zero >= 0 && full >= 0 && random >= 0);
    char a[64], b[64];
    memset(a, 1, sizeof a);
    CHECK_EQ(read(zero, a, 64), 64);
    for (int i = 0; i < 64; i++)
        CHECK_EQ(a[i], 0);
    CHECK_ERRNO(write(full, "x", 1), ENOSPC);
    CHECK_EQ(read(random, a, 64), 64);
    CHECK_EQ(read(random, b, 64), 64);
    CHECK(memcmp(a, b, 64) != 0);
    char* p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
    CHECK(p != MAP_FAILED);
    p[5] = 1;
    CHECK_EQ(p[6], 0);
    struct stat st;
    CHECK_EQ(fstat(zero, &st), 0);
    CHECK(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 5));
}

static void descriptors(void) {
    int fd = open("/dev/null", O_RDWR);
    CHECK_EQ(dup2(fd, 200), 200); // grows the table
    CHECK_EQ(fcntl(fd, F_DUPFD, 300), 300);
    CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 300), 301);
    CHECK_EQ(fcntl(301, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(300, F_GETFD), 0);
    CHECK_EQ(dup2(fd, fd), fd);
    CHECK_ERRNO(dup3(fd, fd, 0), EINVAL);
    CHECK_ERRNO(dup2(fd, -1), EBADF);
    CHECK_ERRNO(dup(199), EBADF);
    pid_t pid = fork(); // tables part at the first change, on either side
    if (pid == 0) {
        close(200);
        CHECK_ERRNO(fcntl(200, F_GETFD), EBADF);
        CHECK_EQ(fcntl(300, F_GETFD), 0);
        _exit(0);
    }
    close(300);
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_EQ(fcntl(200, F_GETFD), 0);
    CHECK_ERRNO(fcntl(300, F_GETFD), EBADF);
    struct rlimit limit = {210, 210};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_ERRNO(dup2(fd, 210), EBADF);
    CHECK_ERRNO(fcntl(fd, F_DUPFD, 210), EINVAL);
    int last = -1;
    for (int next; (next = dup(fd)) >= 0;)
        last = next;
    CHECK_EQ(errno, EMFILE);
    CHECK_EQ(last, 209);
    CHECK_EQ(close(100), 0);
    CHECK_EQ(dup(fd), 100); // the lowest that is free
}

// A directory tree deeper than any stack goes with its mount; a busy mount stays.
static void mounts(void) {
    enter_directory();
    mkdir("m", 0755);
    CHECK_ERRNO(syscall(SYS_mount, "x", "m", "nosuchfs", 0, 0), ENODEV);
    CHECK_EQ(syscall(SYS_mount, "x", "m", "tmpfs", 0, "size=64k"), 0);
    CHECK_ERRNO(rmdir("m"), EBUSY);
    int fd = open("m/f", O_RDWR | O_CREAT, 0644);
    char block[4096] = {0};
    int pages = 0;
    while (write(fd, block, sizeof block) == sizeof block)
        pages++;
    CHECK_EQ(errno, ENOSPC);
    CHECK_EQ(pages, 16);
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK_EQ(write(fd, block, 4096), 4096);
    CHECK_ERRNO(syscall(SYS_umount2, "m", 0), EBUSY);
    close(fd);
    CHECK_EQ(unlink("m/f"), 0);
    struct statfs sfs;
    CHECK_EQ(statfs("m", &sfs), 0);
    CHECK_EQ(sfs.f_blocks, 16);
    CHECK_EQ(sfs.f_bfree, 16);
    CHECK_EQ(syscall(SYS_mount, "", "m", "", 32 /* MS_REMOUNT */ | 1 /* MS_RDONLY */, 0), 0);
    CHECK_ERRNO(open("m/g", O_RDWR | O_CREAT, 0644), EROFS);
    CHECK_EQ(syscall(SYS_mount, "", "m", "", 32, 0), 0);
    int top = open("m", O_RDONLY), at = top;
    for (int i = 0; i < 2000; i++) {
        CHECK_EQ(mkdirat(at, "d", 0755), 0);
        int next = openat(at, "d", O_RDONLY);
        close(at);
        at = next;
    }
    CHECK_ERRNO(syscall(SYS_umount2, "m", 0), EBUSY);
    close(at);
    CHECK_EQ(syscall(SYS_umount2, "m", 0), 0);
    CHECK_ERRNO(syscall(SYS_umount2, "m", 0), EINVAL);
    CHECK_EQ(rmdir("m"), 0);
}

// What a name led to a moment ago is remembered: it has to be forgotten at the right moment.
static void names_remembered(void) {
    enter_directory();
    mkdir("d", 0755), mkdir("e", 0755);
    CHECK_ERRNO(access("d/f", F_OK), ENOENT);
    CHECK_ERRNO(access("d/f", F_OK), ENOENT);
    put("d/f", "one");
    holds("d/f", "one");
    CHECK_EQ(rename("d/f", "e/f"), 0);
    CHECK_ERRNO(access("d/f", F_OK), ENOENT);
    holds("e/f", "one");
    put("d/f", "two");
    CHECK_EQ(rename("d/f", "e/f"), 0);
    holds("e/f", "two");
    CHECK_EQ(rename("e", "d/e"), 0);
    CHECK_ERRNO(access("e/f", F_OK), ENOENT);
    holds("d/e/f", "two");
    CHECK_EQ(unlink("d/e/f"), 0);
    CHECK_ERRNO(access("d/e/f", F_OK), ENOENT);
    CHECK_EQ(mkdir("d/e/f", 0755), 0);
    CHECK(S_ISDIR(look("d/e/f").st_mode));
    CHECK_ERRNO(access("d/e/f/g", F_OK), ENOENT);
    CHECK_EQ(rmdir("d/e/f"), 0);
    CHECK_ERRNO(access("d/e/f/g", F_OK), ENOENT);
    CHECK_EQ(symlink("d", "l"), 0);
    put("d/x", "three"), put("d/e/x", "four");
    holds("l/x", "three");
    CHECK_EQ(unlink("l"), 0);
    CHECK_EQ(symlink("d/e", "l"), 0);
    holds("l/x", "four");
    holds("l//../x", "three");
    // a component is only passed while it is a directory, and by whom its mode lets pass
    CHECK_ERRNO(access("d/x/y", F_OK), ENOTDIR);
    CHECK_ERRNO(access("d/x/", F_OK), ENOTDIR);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_EQ(access("d/e/x", F_OK), 0);
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_EQ(chmod("d", 0700), 0);
    pid = fork();
    if (pid == 0) {
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_ERRNO(access("d/e/x", F_OK), EACCES);
        CHECK_ERRNO(access("d/nothing", F_OK), EACCES);
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
    // what is mounted over a name hides what it led to
    CHECK_EQ(syscall(SYS_mount, "none", "d/e", "tmpfs", 0, ""), 0);
    CHECK_ERRNO(access("d/e/x", F_OK), ENOENT);
    put("d/e/x", "five");
    holds("l/x", "five");
    CHECK_EQ(syscall(SYS_umount2, "d/e", 0), 0);
    holds("d/e/x", "four");
}

// Random calls on a few names, beside a model that is an array: after each the names are what the model says.
static void names_at_random(void) {
    enter_directory();
    enum { count = 24 };
    static char name[count][64];
    ino_t model[count] = {0};
    for (int i = 0; i < count; ++i) // short, as long as eight bytes and their multiples, and longer than is remembered
        snprintf(name[i], sizeof name[i], "%c/%.*s%c", "ab"[i % 2], i * 2 % 40,
                 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", 'a' + i);
    mkdir("a", 0755), mkdir("b", 0755);
    unsigned seed = 5;
    for (int step = 0; step < 4000; ++step) {
        int one = rand_r(&seed) % count, other = rand_r(&seed) % count;
        const int call = rand_r(&seed) % 4, made = call == 0;
        switch (call) {
        case 0: close(open(name[one], O_CREAT | O_RDWR, 0644)); break;
        case 1:
            CHECK_EQ(unlink(name[one]), model[one] ? 0 : -1);
            model[one] = 0;
            break;
        case 2:
            CHECK_EQ(rename(name[one], name[other]), model[one] ? 0 : -1);
            if (model[one] && model[one] != model[other])
                model[other] = model[one], model[one] = 0;
            break;
        case 3:
            CHECK_EQ(link(name[one], name[other]), model[one] && !model[other] ? 0 : -1);
            if (model[one] && !model[other])
                model[other] = model[one];
            break;
        }
        for (int i = 0; i < 4; ++i) {
            int at = i == 0 ? one : i == 1 ? other : rand_r(&seed) % count;
            struct stat st;
            ino_t found = stat(name[at], &st) == 0 ? st.st_ino : 0;
            if (made && at == one && !model[at])
                model[at] = found;
            if (found != model[at])
                check_fail("step %d: %s is %lu, expected %lu", step, name[at], (long)found, (long)model[at]);
        }
    }
}

// Several processes work in one directory at once: each sees its own calls at once, and nobody sees a file that is
// replaced missing.
static void names_raced(void) {
    enter_directory();
    enum { workers = 4, rounds = 300 };
    mkdir("d", 0755);
    put("d/shared", "x");
    pid_t pids[workers];
    for (int worker = 0; worker < workers; ++worker) {
        pids[worker] = fork();
        if (pids[worker] != 0)
            continue;
        char own[32], moved[32], deep[32];
        snprintf(own, sizeof own, "d/own%d", worker), snprintf(moved, sizeof moved, "d/moved%d", worker);
        snprintf(deep, sizeof deep, "d/s/%d", worker);
        for (int round = 0; round < rounds; ++round) {
            put(own, "x");
            CHECK_EQ(access(own, F_OK), 0);
            CHECK_EQ(rename(own, moved), 0);
            CHECK_ERRNO(access(own, F_OK), ENOENT);
            CHECK_EQ(access(moved, F_OK), 0);
            CHECK_EQ(access("d/shared", F_OK), 0);
            if (worker % 2 == 0)
                CHECK_EQ(rename(moved, "d/shared"), 0);
            else
                CHECK_EQ(unlink(moved), 0);
            CHECK_ERRNO(access(moved, F_OK), ENOENT);
            // a directory that comes and goes under all of them
            if (mkdir("d/s", 0755) != 0)
                CHECK_EQ(errno, EEXIST);
            int fd = open(deep, O_CREAT | O_RDWR, 0644);
            if (fd >= 0) { // then it stays until this removes the file
                close(fd);
                CHECK_EQ(access(deep, F_OK), 0);
                CHECK_EQ(unlink(deep), 0);
            } else {
                CHECK_EQ(errno, ENOENT);
            }
            if (rmdir("d/s") != 0)
                CHECK(errno == ENOTEMPTY || errno == ENOENT);
        }
        _exit(0);
    }
    for (int worker = 0; worker < workers; ++worker)
        CHECK_EXITED(check_reap(pids[worker]), 0);
}

static const struct check_case cases[] = {
    {"open makes, truncates and refuses as its flags say", open_modes, 0, false},
    {"positions belong to descriptions, O_APPEND writes at the end", positions, 0, false},
    {"holes read as zero and are found by SEEK_DATA and SEEK_HOLE", holes, 0, false},
    {"read, write and mmap of a file see one memory", mapped, 0, false},
    {"a bad buffer gives EFAULT or a short count, and no more of the file", bad_buffers, 0, false},
    {"RLIMIT_FSIZE cuts writes off and refuses more", limits, 0, false},
    {"a write beyond RLIMIT_FSIZE is answered with SIGXFSZ", limit_signal, 0, false},
    {"hard links share a file until the last goes and the last descriptor is closed", links, 0, false},
    {"symbolic links are followed forty deep, loops and O_NOFOLLOW are refused", symlinks, 0, false},
    {"directories count their links and go only when empty; a removed one keeps its parent", directories, 0, false},
    {"rename replaces, refuses cycles and moves directories", renames, 0, false},
    {"renameat2 exchanges, and does not replace when asked not to", rename_flags, 0, false},
    {"a directory can be read while its entries are removed", read_directory, 0, false},
    {"a file made by O_TMPFILE has no name until it gets one", unnamed, 0, false},
    {"device nodes, FIFOs and plain files made by mknod", special_files, 0, false},
    {"permission bits, sticky directories and set-group directories", permissions, 0, false},
    {"times are set, left alone, and moved by writing", times, 0, false},
    {"zero, full, urandom and null behave as their names say", devices, 0, false},
    {"descriptor tables grow, are copied by fork, and end at RLIMIT_NOFILE", descriptors, 0, false},
    {"a name is not remembered past its removal, a rename, a mount, or the right to search", names_remembered, 0,
     false},
    {"names are what random calls made of them", names_at_random, 0, false},
    {"names change under four processes at once, and each is right for all of them", names_raced, 0, false},
    {"a tmpfs keeps to its size, is busy while in use, and goes with a deep tree", mounts, 60, false},
};

CHECK_MAIN(cases)
