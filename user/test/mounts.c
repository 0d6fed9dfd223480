// SPDX-License-Identifier: BSD-2-Clause
// Mounts as mount(2), umount(2) and pivot_root(2) have them: bind mounts, moves, flags of one mount and of its file system.
#include "check.h"

#include <sched.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static char root[64];

// A directory of the case's own on a tmpfs of its own, which is private on Linux too; the working directory.
static void begin(void) {
    mkdir("/tmp", 01777);
    snprintf(root, sizeof root, "/tmp/mounts.%d", (int)getpid());
    CHECK(mkdir(root, 0755) == 0);
    CHECK(mount("own", root, "tmpfs", 0, "mode=755") == 0);
    CHECK(mount(NULL, root, NULL, MS_PRIVATE, NULL) == 0);
    CHECK(chdir(root) == 0);
}
static void end(void) {
    CHECK(chdir("/") == 0);
    CHECK(umount2(root, MNT_DETACH) == 0);
    CHECK(rmdir(root) == 0);
}
static void put(const char* path, const char* text) {
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}
static bool has(const char* path, const char* text) {
    char buffer[64] = "";
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, buffer, sizeof buffer - 1);
    close(fd);
    return n >= 0 && strcmp(buffer, text) == 0;
}
static bool there(const char* path) { return access(path, F_OK) == 0; }
static uint64_t device_of(const char* path) {
    struct stat st;
    CHECK(lstat(path, &st) == 0);
    return st.st_dev;
}

struct line {
    int id, parent;
    char root[256], point[256], options[256], super[256];
};
// The last line of mountinfo about what is mounted at `point` below the case's directory.
static bool info(const char* point, struct line* out) {
    char path[200], text[1024];
    snprintf(path, sizeof path, "%s/%s", root, point);
    FILE* f = fopen("/proc/self/mountinfo", "r");
    CHECK(f);
    bool found = false;
    while (fgets(text, sizeof text, f)) {
        struct line l;
        char* dash = strstr(text, " - ");
        CHECK(dash);
        CHECK_EQ(sscanf(text, "%d %d %*u:%*u %255s %255s %255s", &l.id, &l.parent, l.root, l.point, l.options), 5);
        CHECK_EQ(sscanf(dash, " - %*s %*s %255s", l.super), 1);
        if (strcmp(l.point, path) == 0) {
            *out = l;
            found = true;
        }
    }
    fclose(f);
    return found;
}

static void bind_directory(void) {
    begin();
    CHECK(mkdir("a", 0755) == 0 && mkdir("a/sub", 0755) == 0 && mkdir("b", 0755) == 0);
    put("a/f", "one");
    put("b/hidden", "below");
    CHECK(mount("a", "b", NULL, MS_BIND, NULL) == 0);
    CHECK(has("b/f", "one") && !there("b/hidden"));
    put("b/g", "two"); // through either the same files
    CHECK(has("a/g", "two"));
    CHECK(rename("b/g", "b/sub/h") == 0 && has("a/sub/h", "two") && !there("a/g"));
    CHECK(mkdir("b/made", 0755) == 0 && there("a/made") && rmdir("a/made") == 0 && !there("b/made"));
    CHECK(unlink("a/sub/h") == 0 && !there("b/sub/h"));
    CHECK(symlink("f", "b/l") == 0 && has("b/l", "one") && link("b/f", "b/f2") == 0 && has("a/f2", "one"));
    struct stat one, other;
    CHECK(stat("a/f", &one) == 0 && stat("b/f", &other) == 0);
    CHECK(one.st_dev == other.st_dev && one.st_ino == other.st_ino);
    CHECK_ERRNO(rename("b/f", "a/x"), EXDEV);
    CHECK_ERRNO(link("a/f", "b/x"), EXDEV);
    CHECK_ERRNO(rmdir("b"), EBUSY);
    CHECK_ERRNO(rename("b", "c"), EBUSY);
    CHECK_ERRNO(mount("missing", "b", NULL, MS_BIND, NULL), ENOENT);
    CHECK_ERRNO(mount("a/f", "b", NULL, MS_BIND, NULL), ENOTDIR);
    CHECK_ERRNO(mount("a", "a/f", NULL, MS_BIND, NULL), ENOTDIR);
    // What is seen of it from inside.
    CHECK(chdir("b/sub") == 0);
    char path[200], wanted[200];
    snprintf(wanted, sizeof wanted, "%s/b/sub", root);
    CHECK(getcwd(path, sizeof path) && strcmp(path, wanted) == 0);
    CHECK(has("../f", "one") && there("../../a/f"));
    int fd = open("../f", O_RDONLY);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    char target[200] = "";
    CHECK(readlink(path, target, sizeof target - 1) > 0);
    snprintf(wanted, sizeof wanted, "%s/b/f", root);
    CHECK(strcmp(target, wanted) == 0);
    CHECK_ERRNO(umount("../../b"), EBUSY);
    CHECK(chdir(root) == 0);
    CHECK_ERRNO(umount("b"), EBUSY); // the file
    close(fd);
    CHECK(umount("b") == 0 && has("b/hidden", "below") && !there("b/f"));
    CHECK_ERRNO(umount("b"), EINVAL);
    end();
}

static void recursive(void) {
    begin();
    CHECK(mkdir("a", 0755) == 0 && mkdir("a/t", 0755) == 0 && mkdir("a/u", 0755) == 0 && mkdir("b", 0755) == 0 &&
          mkdir("c", 0755) == 0 && mkdir("other", 0755) == 0);
    CHECK(mount("t", "a/t", "tmpfs", 0, "") == 0 && mkdir("a/t/deep", 0755) == 0);
    CHECK(mount("d", "a/t/deep", "tmpfs", 0, "") == 0 && mount("u", "a/u", "tmpfs", 0, "") == 0 &&
          mount("o", "other", "tmpfs", 0, "") == 0);
    put("a/t/deep/f", "deep");
    put("a/u/f", "u");
    CHECK(mount("a", "b", NULL, MS_BIND, NULL) == 0);
    CHECK(there("b/t") && !there("b/t/deep") && !there("b/u/f")); // alone
    CHECK(mount(NULL, "a/u", NULL, MS_UNBINDABLE, NULL) == 0);
    CHECK(mount("a", "c", NULL, MS_BIND | MS_REC, NULL) == 0);
    CHECK(has("c/t/deep/f", "deep") && !there("c/u/f"));
    CHECK_ERRNO(mount("a/u", "b", NULL, MS_BIND, NULL), EINVAL);
    CHECK(mount(NULL, "a/u", NULL, MS_PRIVATE, NULL) == 0);
    CHECK(mount("a/u", "b", NULL, MS_BIND, NULL) == 0 && has("b/f", "u"));
    // What is mounted through one is not seen through the other.
    CHECK(mkdir("c/t/more", 0755) == 0 && mount("m", "c/t/more", "tmpfs", 0, "") == 0);
    put("c/t/more/f", "m");
    CHECK(there("a/t/more") && !there("a/t/more/f"));
    CHECK_ERRNO(rmdir("a/t/more"), EBUSY);
    CHECK_ERRNO(umount("c"), EBUSY);
    CHECK(umount2("c", MNT_DETACH) == 0 && !there("c/t"));
    CHECK(rmdir("a/t/more") == 0);
    // The one that was first goes, the other stays.
    CHECK(mount("a/t/deep", "c", NULL, MS_BIND, NULL) == 0 && umount("a/t/deep") == 0);
    CHECK(has("c/f", "deep") && !there("a/t/deep/f"));
    put("c/f", "still");
    CHECK(has("c/f", "still") && umount("c") == 0);
    end();
}

static void single_files(void) {
    begin();
    put("a", "one");
    put("b", "two");
    CHECK(mkdir("d", 0755) == 0);
    CHECK_ERRNO(mount("a", "d", NULL, MS_BIND, NULL), ENOTDIR);
    CHECK(mount("a", "b", NULL, MS_BIND, NULL) == 0 && has("b", "one"));
    put("b", "three");
    CHECK(has("a", "three"));
    CHECK_ERRNO(unlink("b"), EBUSY);
    CHECK_ERRNO(rename("b", "c"), EBUSY);
    CHECK_ERRNO(rename("a", "b"), EBUSY);
    CHECK(unlink("a") == 0 && has("b", "three")); // kept by the mount
    CHECK(umount("b") == 0 && has("b", "two"));
    // A device, and the link of a descriptor.
    CHECK(mount("/dev/null", "b", NULL, MS_BIND, NULL) == 0);
    struct stat st;
    CHECK(stat("b", &st) == 0 && S_ISCHR(st.st_mode) && has("b", ""));
    put("b", "gone");
    CHECK(has("b", "") && umount("b") == 0);
    int fd = open("b", O_PATH);
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    put("e", "");
    CHECK(mount(link, "e", NULL, MS_BIND, NULL) == 0 && has("e", "two"));
    close(fd);
    CHECK(umount("e") == 0);
    end();
}

static void shared_state(void) {
    begin();
    CHECK(mkdir("a", 0755) == 0 && mkdir("b", 0755) == 0 && mount("a", "b", NULL, MS_BIND, NULL) == 0);
    put("a/f", "text");
    // locks
    int one = open("a/f", O_RDWR), other = open("b/f", O_RDWR);
    CHECK(one >= 0 && other >= 0);
    struct flock lock = {.l_type = F_WRLCK};
    CHECK(fcntl(one, F_OFD_SETLK, &lock) == 0);
    lock.l_pid = 0;
    CHECK_ERRNO(fcntl(other, F_OFD_SETLK, &lock), EAGAIN);
    // memory
    char* p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, one, 0);
    char* q = mmap(NULL, 4096, PROT_READ, MAP_SHARED, other, 0);
    CHECK(p != MAP_FAILED && q != MAP_FAILED);
    p[0] = 'n';
    CHECK(q[0] == 'n');
    munmap(p, 4096);
    munmap(q, 4096);
    close(one);
    close(other);
    // watches
    int watcher = inotify_init1(IN_NONBLOCK);
    CHECK(watcher >= 0 && inotify_add_watch(watcher, "a", IN_CREATE | IN_MODIFY) > 0);
    put("b/new", "x");
    char events[512];
    ssize_t n = read(watcher, events, sizeof events);
    CHECK(n > 0);
    struct inotify_event* event = (struct inotify_event*)events;
    CHECK(event->mask == IN_CREATE && strcmp(event->name, "new") == 0);
    close(watcher);
    // sockets and FIFOs
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "a/s"};
    int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(server, (struct sockaddr*)&address, sizeof address) == 0 && listen(server, 1) == 0);
    address.sun_path[0] = 'b';
    CHECK(connect(client, (struct sockaddr*)&address, sizeof address) == 0);
    close(server);
    close(client);
    CHECK(mkfifo("b/p", 0644) == 0);
    one = open("a/p", O_RDWR);
    other = open("b/p", O_RDONLY | O_NONBLOCK);
    char c = 0;
    CHECK(write(one, "y", 1) == 1 && read(other, &c, 1) == 1 && c == 'y');
    close(one);
    close(other);
    CHECK(umount("b") == 0);
    end();
}

static void flags_of_a_mount(void) {
    begin();
    CHECK(mkdir("a", 0755) == 0 && mkdir("b", 0755) == 0 && mount("a", "b", NULL, MS_BIND, NULL) == 0);
    put("a/f", "x");
    int fd = open("b/f", O_WRONLY);
    CHECK_ERRNO(mount(NULL, "b", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), EBUSY);
    close(fd);
    fd = open("a/f", O_WRONLY); // through the other
    CHECK(mount(NULL, "b", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0);
    close(fd);
    CHECK_ERRNO(open("b/f", O_WRONLY), EROFS);
    CHECK_ERRNO(open("b/new", O_WRONLY | O_CREAT, 0644), EROFS);
    CHECK_ERRNO(mkdir("b/d", 0755), EROFS);
    CHECK_ERRNO(unlink("b/f"), EROFS);
    CHECK_ERRNO(chmod("b/f", 0600), EROFS);
    CHECK_ERRNO(access("b/f", W_OK), EROFS);
    put("a/f", "y");
    CHECK(has("b/f", "y"));
    struct statfs fs;
    enum { rdonly = 1, nosuid = 2, nodev = 4, noexec = 8, noatime = 1024, relatime = 4096 };
    CHECK(statfs("b", &fs) == 0);
    CHECK_EQ(fs.f_flags & (rdonly | nosuid | nodev | noexec | noatime | relatime),
             rdonly | nosuid | nodev | noexec | relatime);
    CHECK(statfs("a", &fs) == 0);
    CHECK_EQ(fs.f_flags & (rdonly | nosuid | nodev | noexec), 0);
    struct line line;
    CHECK(info("b", &line));
    CHECK(strcmp(line.root, "/a") == 0 && strcmp(line.options, "ro,nosuid,nodev,noexec,relatime") == 0 &&
          strncmp(line.super, "rw", 2) == 0);
    // Programs and devices there.
    CHECK(chmod("a/f", 0755) == 0);
    char* const arguments[] = {"f", NULL};
    CHECK_ERRNO(execv("b/f", arguments), EACCES);
    fd = open("b/f", O_RDONLY);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == EPERM);
    close(fd);
    CHECK(mknod("a/null", S_IFCHR | 0666, makedev(1, 3)) == 0);
    CHECK_ERRNO(open("b/null", O_RDONLY), EACCES);
    fd = open("a/null", O_RDONLY);
    CHECK(fd >= 0);
    close(fd);
    // Other flags replace these; what says nothing about access times leaves them.
    CHECK(mount(NULL, "b", NULL, MS_REMOUNT | MS_BIND | MS_NOATIME, NULL) == 0);
    CHECK(info("b", &line) && strcmp(line.options, "rw,noatime") == 0);
    CHECK(mount(NULL, "b", NULL, MS_REMOUNT | MS_BIND | MS_NODEV, NULL) == 0);
    CHECK(info("b", &line) && strcmp(line.options, "rw,nodev,noatime") == 0);
    put("b/f", "z");
    CHECK_ERRNO(mount(NULL, "a", NULL, MS_REMOUNT | MS_BIND, NULL), EINVAL); // no mount is there
    CHECK(umount("b") == 0);
    end();
}

static void flags_of_a_file_system(void) {
    begin();
    CHECK(mkdir("a", 0755) == 0 && mkdir("b", 0755) == 0 && mount("t", "a", "tmpfs", MS_NODEV, "size=1m") == 0 &&
          mount("a", "b", NULL, MS_BIND, NULL) == 0);
    struct line line;
    CHECK(info("b", &line) && strcmp(line.options, "rw,nodev,relatime") == 0); // as those of what it shows
    int fd = open("b/f", O_CREAT | O_RDWR, 0644);
    CHECK(fd >= 0);
    CHECK_ERRNO(mount(NULL, "a", NULL, MS_REMOUNT | MS_RDONLY, NULL), EBUSY);
    close(fd);
    CHECK(mount(NULL, "a", NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
    CHECK_ERRNO(open("b/f", O_RDWR), EROFS); // the file system is, and so all that show it
    CHECK(info("b", &line) && strncmp(line.options, "rw", 2) == 0 && strncmp(line.super, "ro", 2) == 0);
    CHECK(info("a", &line) && strcmp(line.options, "ro,relatime") == 0);
    CHECK(mount(NULL, "b", NULL, MS_REMOUNT, NULL) == 0);
    put("b/f", "x");
    CHECK_ERRNO(open("a/f", O_RDWR), EROFS); // its mount still is
    CHECK(mount(NULL, "a", NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
    put("a/f", "y");
    CHECK(umount("b") == 0 && umount("a") == 0);
    end();
}

static void set_id_programs(void) {
    begin();
    CHECK(mkdir("a", 0755) == 0 && mkdir("b", 0755) == 0);
    char command[400];
    snprintf(command, sizeof command, "%s", check_self);
    int from = open(command, O_RDONLY), to = open("a/p", O_CREAT | O_WRONLY, 0755);
    char buffer[65536];
    for (ssize_t n; (n = read(from, buffer, sizeof buffer)) > 0;)
        CHECK_EQ(write(to, buffer, (size_t)n), n);
    close(from);
    close(to);
    CHECK(chmod("a/p", 04755) == 0 && mount("a", "b", NULL, MS_BIND, NULL) == 0);
    CHECK(mount(NULL, "b", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID, NULL) == 0);
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (child == 0) {
            CHECK(setresuid(77, 77, 77) == 0);
            execl(i ? "b/p" : "a/p", "p", "@euid", NULL);
            _exit(99);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK_EQ(WEXITSTATUS(status), i ? 77 : 0);
    }
    CHECK(umount("b") == 0);
    end();
}

static void moves(void) {
    begin();
    CHECK(mkdir("a", 0755) == 0 && mkdir("b", 0755) == 0 && mount("t", "a", "tmpfs", 0, "") == 0 &&
          mkdir("a/in", 0755) == 0 && mount("u", "a/in", "tmpfs", 0, "") == 0);
    put("a/in/f", "x");
    CHECK(chdir("a/in") == 0);
    CHECK_ERRNO(mount("../../a", "../../a/in", NULL, MS_MOVE, NULL), ELOOP);
    CHECK_ERRNO(mount(".", "f", NULL, MS_MOVE, NULL), EINVAL);
    CHECK(mount("../../a", "../../b", NULL, MS_MOVE, NULL) == 0);
    char path[200], wanted[200];
    snprintf(wanted, sizeof wanted, "%s/b/in", root);
    CHECK(getcwd(path, sizeof path) && strcmp(path, wanted) == 0 && has("f", "x"));
    CHECK(chdir(root) == 0 && has("b/in/f", "x") && !there("a/in"));
    CHECK_ERRNO(mount("b/in/f", "a", NULL, MS_MOVE, NULL), EINVAL); // no mount
    CHECK_ERRNO(mount("missing", "a", NULL, MS_MOVE, NULL), ENOENT);
    CHECK(rmdir("a") == 0 && umount("b/in") == 0 && umount("b") == 0);
    end();
}

static void kinds(void) {
    begin();
    CHECK(mkdir("a", 0755) == 0 && mount("t", "a", "tmpfs", 0, "") == 0);
    CHECK(mount(NULL, "a", NULL, MS_PRIVATE | MS_REC, NULL) == 0 && mount(NULL, "a", NULL, MS_SLAVE, NULL) == 0);
    CHECK_ERRNO(mount(NULL, "a", NULL, MS_PRIVATE | MS_UNBINDABLE, NULL), EINVAL);
    CHECK_ERRNO(mount(NULL, "a", NULL, MS_PRIVATE | MS_NODEV, NULL), EINVAL);
    CHECK(mkdir("a/d", 0755) == 0);
    CHECK_ERRNO(mount(NULL, "a/d", NULL, MS_PRIVATE, NULL), EINVAL);
    CHECK(umount("a") == 0);
    end();
}
static void no_sharing(void) {
    begin();
    CHECK_ERRNO(mount(NULL, root, NULL, MS_SHARED, NULL), EINVAL);
    end();
}

static void unmounting(void) {
    begin();
    CHECK(mkdir("a", 0755) == 0 && mount("t", "a", "tmpfs", 0, "") == 0 && mkdir("a/d", 0755) == 0);
    CHECK_ERRNO(umount2("a", 0x40000000), EINVAL);
    CHECK_ERRNO(umount2("a", MNT_EXPIRE | MNT_DETACH), EINVAL);
    CHECK_ERRNO(umount2("a", MNT_EXPIRE | MNT_FORCE), EINVAL);
    CHECK_ERRNO(umount("a/d"), EINVAL);
    CHECK_ERRNO(umount("missing"), ENOENT);
    CHECK(symlink("a", "link") == 0);
    CHECK_ERRNO(umount2("link", UMOUNT_NOFOLLOW), EINVAL);
    int fd = open("a/d", O_PATH);
    CHECK_ERRNO(umount2("a", MNT_EXPIRE), EBUSY);
    CHECK_ERRNO(umount("a"), EBUSY);
    close(fd);
    CHECK_ERRNO(umount2("a", MNT_EXPIRE), EAGAIN);
    CHECK(there("a/d"));
    CHECK_ERRNO(umount2("a", MNT_EXPIRE), EAGAIN); // somebody looked
    CHECK(umount2("a", MNT_EXPIRE) == 0 && !there("a/d"));
    // A working directory in what is mounted nowhere any more.
    CHECK(mount("t", "a", "tmpfs", 0, "") == 0 && mkdir("a/d", 0755) == 0 && chdir("a/d") == 0);
    CHECK(umount2(root, MNT_DETACH) == 0);
    put("f", "here");
    CHECK(has("f", "here") && mkdir("../e", 0755) == 0 && there("../e/../d/f") && there("../../../e"));
    char path[200];
    CHECK(syscall(SYS_getcwd, path, sizeof path) > 0 && strncmp(path, "(unreachable)/", 14) == 0);
    CHECK(getcwd(path, sizeof path) == NULL);
    // EINVAL, and of later Linux ENOENT
    CHECK(mount("x", ".", "tmpfs", 0, "") == -1 && (errno == EINVAL || errno == ENOENT));
    CHECK(mount("/", ".", NULL, MS_BIND, NULL) == -1 && (errno == EINVAL || errno == ENOENT));
    CHECK(chdir("/") == 0 && rmdir(root) == 0);
}

static void escaping(void) {
    begin();
    CHECK(mkdir("a", 0755) == 0 && mkdir("a/in", 0755) == 0 && mkdir("a/in/d", 0755) == 0 && mkdir("b", 0755) == 0 &&
          mount("a", "b", NULL, MS_BIND, NULL) == 0);
    CHECK(chdir("b/in/d") == 0);
    char from[200], to[200];
    snprintf(from, sizeof from, "%s/a/in/d", root);
    snprintf(to, sizeof to, "%s/d", root);
    CHECK(rename(from, to) == 0); // out of what the mount shows
    CHECK_ERRNO(open("..", O_RDONLY), ENOENT);
    CHECK(chdir(root) == 0 && umount("b") == 0);
    end();
}

static int open_how(const char* path, uint64_t resolve) {
    struct {
        uint64_t flags, mode, resolve;
    } how = {O_RDONLY, 0, resolve};
    return (int)syscall(437, AT_FDCWD, path, &how, sizeof how);
}
static void bounded(void) {
    begin();
    CHECK(mkdir("a", 0755) == 0 && mkdir("b", 0755) == 0 && mount("a", "b", NULL, MS_BIND, NULL) == 0);
    put("a/f", "x");
    int fd = open_how("a/f", 1);
    CHECK(fd >= 0);
    close(fd);
    CHECK_ERRNO(open_how("b/f", 1), EXDEV);
    CHECK_EQ(device_of("a"), device_of("b"));
    CHECK(chdir("b") == 0);
    CHECK_ERRNO(open_how("../a", 1), EXDEV);
    fd = open_how("f", 1);
    CHECK(fd >= 0);
    close(fd);
    CHECK(chdir("..") == 0 && umount("b") == 0);
    end();
}

static void over_the_root(void) {
    begin();
    CHECK(mkdir("r", 0755) == 0 && mount("t", "r", "tmpfs", 0, "") == 0);
    CHECK(chdir("r") == 0 && chroot(".") == 0);
    CHECK(mount("over", "/", "tmpfs", 0, "") == 0);
    CHECK(mkdir("/seen", 0755) == 0 && !there("/../seen")); // "/" is still what it was
    CHECK(mkdir("/../above", 0755) == 0 && !there("/above"));
    CHECK(umount("/") == 0 && !there("/../above") && there("/../seen"));
    struct line line; // what lies outside the root is not told
    CHECK(mkdir("/proc", 0755) == 0 && mount("p", "/proc", "proc", 0, "") == 0);
    root[0] = 0;
    CHECK(info("proc", &line) && !info("tmp", &line));
    CHECK(umount("/proc") == 0);
}

static void pivots(void) {
    begin();
    CHECK(mkdir("r", 0755) == 0 && mount("t", "r", "tmpfs", 0, "") == 0 && mkdir("r/new", 0755) == 0 &&
          mkdir("r/other", 0755) == 0);
    put("r/f", "old");
    CHECK(chdir("r") == 0 && chroot(".") == 0);
    CHECK(mount("n", "new", "tmpfs", 0, "") == 0 && mkdir("new/put", 0755) == 0);
    put("new/f", "new");
    CHECK_ERRNO(syscall(SYS_pivot_root, "missing", "new/put"), ENOENT);
    CHECK_ERRNO(syscall(SYS_pivot_root, "new", "new/f"), ENOTDIR);
    CHECK_ERRNO(syscall(SYS_pivot_root, "new/put", "new/put"), EINVAL); // no mount
    CHECK_ERRNO(syscall(SYS_pivot_root, "new", "other"), EBUSY);        // that lies on the root's
    CHECK_ERRNO(syscall(SYS_pivot_root, "/", "/"), EBUSY);
    CHECK(mount("o", "other", "tmpfs", 0, "") == 0);
    CHECK_ERRNO(syscall(SYS_pivot_root, "new", "other"), EINVAL); // not below the new one
    CHECK(umount("other") == 0);
    int ready[2], go[2];
    CHECK(pipe(ready) == 0 && pipe(go) == 0);
    pid_t child = fork(); // with the same root, another working directory
    if (child == 0) {
        char c;
        CHECK(chdir("/other") == 0 && write(ready[1], "x", 1) == 1 && read(go[0], &c, 1) == 1);
        CHECK(has("/f", "new") && has("../f", "old") && has("/put/f", "old"));
        _exit(0);
    }
    char c;
    CHECK(read(ready[0], &c, 1) == 1);
    CHECK(syscall(SYS_pivot_root, "new", "new/put") == 0);
    CHECK(has("/f", "new") && has("f", "new") && has("/put/f", "old")); // the working directory was the root
    CHECK(write(go[1], "x", 1) == 1);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(umount("/put") == 0 && !there("/put/f"));
    // Onto itself, as containers do it.
    CHECK(mkdir("/next", 0755) == 0 && mount("x", "/next", "tmpfs", 0, "") == 0);
    put("/next/f", "next");
    CHECK(chdir("/next") == 0 && syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0);
    CHECK(has("/f", "next") && chdir("/") == 0 && has("f", "next"));
    pid_t user = fork();
    if (user == 0) {
        CHECK(setresuid(77, 77, 77) == 0);
        CHECK_ERRNO(syscall(SYS_pivot_root, ".", "."), EPERM);
        CHECK_ERRNO(mount("/", "/", NULL, MS_BIND, NULL), EPERM);
        CHECK_ERRNO(umount("/"), EPERM);
        _exit(0);
    }
    CHECK(waitpid(user, &status, 0) == user && status == 0);
}
static void pivot_of_the_first_root(void) {
    begin();
    CHECK(mkdir("new", 0755) == 0 && mount("n", "new", "tmpfs", 0, "") == 0 && mkdir("new/put", 0755) == 0);
    CHECK_ERRNO(syscall(SYS_pivot_root, "new", "new/put"), EINVAL);
    CHECK(umount("new") == 0);
    end();
}

static void special_file_systems(void) {
    begin();
    CHECK(mkdir("p", 0755) == 0 && mkdir("d", 0755) == 0);
    mkdir("/proc", 0555);
    CHECK(there("/proc/self") || mount("proc", "/proc", "proc", 0, "") == 0);
    CHECK(mount("/proc", "p", NULL, MS_BIND, NULL) == 0);
    char name[64];
    snprintf(name, sizeof name, "p/%d/comm", (int)getpid());
    CHECK(has(name, "mounts\n"));
    CHECK(mount("cover", "p/sys/kernel", "tmpfs", 0, "") == 0);
    put("p/sys/kernel/f", "covered");
    CHECK(has("p/sys/kernel/f", "covered") && !there("/proc/sys/kernel/f") && there("/proc/sys/kernel/ostype"));
    CHECK(umount("p/sys/kernel") == 0 && there("p/sys/kernel/ostype") && umount("p") == 0);
    CHECK(mount("/dev", "d", NULL, MS_BIND | MS_REC, NULL) == 0);
    int fd = open("d/zero", O_RDONLY);
    char c = 1;
    CHECK(fd >= 0 && read(fd, &c, 1) == 1 && c == 0);
    char link[64], target[200] = "", wanted[200];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    snprintf(wanted, sizeof wanted, "%s/d/zero", root);
    CHECK(readlink(link, target, sizeof target - 1) > 0 && strcmp(target, wanted) == 0);
    CHECK_ERRNO(umount("d"), EBUSY);
    close(fd);
    CHECK(umount2("d", MNT_DETACH) == 0);
    end();
}

static int pty_of(int master) {
    int number = -1;
    CHECK(ioctl(master, TIOCGPTN, &number) == 0);
    return number;
}
static void terminals(void) {
    begin();
    CHECK(mkdir("one", 0755) == 0 && mkdir("two", 0755) == 0 && mkdir("pts", 0755) == 0);
    CHECK(mount("one", "one", "devpts", 0, "ptmxmode=666,mode=620,gid=5,max=2") == 0);
    CHECK(mount("two", "two", "devpts", 0, "newinstance,ptmxmode=0600,uid=7") == 0);
    int a = open("one/ptmx", O_RDWR | O_NOCTTY), b = open("two/ptmx", O_RDWR | O_NOCTTY),
        c = open("one/ptmx", O_RDWR | O_NOCTTY);
    CHECK(a >= 0 && b >= 0 && c >= 0);
    CHECK(pty_of(a) == 0 && pty_of(b) == 0 && pty_of(c) == 1);
    CHECK(there("one/0") && there("one/1") && there("two/0") && !there("two/1"));
    CHECK_ERRNO(open("one/ptmx", O_RDWR | O_NOCTTY), ENOSPC);
    struct stat st;
    CHECK(stat("one/0", &st) == 0 && (st.st_mode & 07777) == 0620 && st.st_gid == 5 && st.st_uid == getuid());
    CHECK(stat("two/0", &st) == 0 && (st.st_mode & 07777) == 0600 && st.st_uid == 7);
    CHECK(stat("one/ptmx", &st) == 0 && (st.st_mode & 07777) == 0666);
    int unlock = 0;
    CHECK(ioctl(a, TIOCSPTLCK, &unlock) == 0 && ioctl(b, TIOCSPTLCK, &unlock) == 0);
    int slave = open("one/0", O_RDWR | O_NOCTTY);
    CHECK(slave >= 0 && write(slave, "x", 1) == 1);
    char text[4];
    CHECK_EQ(read(a, text, sizeof text), 1);
    CHECK(fcntl(b, F_SETFL, O_NONBLOCK) == 0);
    CHECK_ERRNO(read(b, text, sizeof text), EAGAIN); // the other's number 0 is another one
    int peer = ioctl(b, 0x5441 /* TIOCGPTPEER */, O_RDWR | O_NOCTTY);
    CHECK(peer >= 0 && fstat(peer, &st) == 0 && st.st_uid == 7);
    close(peer);
    close(slave);
    close(c);
    CHECK(!there("one/1"));
    // A node elsewhere makes ptys in the devpts beside it.
    CHECK(mknod("ptmx", S_IFCHR | 0666, makedev(5, 2)) == 0);
    CHECK_ERRNO(open("ptmx", O_RDWR | O_NOCTTY), ENODEV);
    CHECK(mount("two", "pts", NULL, MS_BIND, NULL) == 0);
    c = open("ptmx", O_RDWR | O_NOCTTY);
    CHECK(c >= 0 && pty_of(c) == 1 && there("two/1"));
    close(c);
    close(a);
    close(b);
    CHECK(umount("pts") == 0 && umount("one") == 0 && umount("two") == 0);
    end();
}

static long number_in(const char* path) {
    char text[64] = "";
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    return strtol(text, NULL, 10);
}
static void hardware(void) {
    begin();
    CHECK(mkdir("s", 0755) == 0 && mount("sys", "s", "sysfs", 0, NULL) == 0);
    struct statfs fs;
    CHECK(statfs("s", &fs) == 0 && fs.f_type == 0x62656572);
    char path[100];
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    CHECK(cpus >= 1);
    char list[32];
    snprintf(list, sizeof list, cpus == 1 ? "0\n" : "0-%ld\n", cpus - 1);
    CHECK(has("s/devices/system/cpu/online", list) && has("s/devices/system/cpu/possible", list) &&
          has("s/devices/system/cpu/present", list));
    for (long i = 0; i < cpus; i++) {
        snprintf(path, sizeof path, "s/devices/system/cpu/cpu%ld/topology/thread_siblings_list", i);
        CHECK_EQ(number_in(path), i);
    }
    snprintf(path, sizeof path, "s/devices/system/cpu/cpu%ld", cpus);
    CHECK(!there(path) && !there("s/devices/system/cpu/cpu00"));
    CHECK_ERRNO(open("s/devices/system/cpu/online", O_WRONLY | O_CREAT, 0644), EACCES);
    CHECK(has("s/class/tty/tty/dev", "5:0\n"));
    char target[100] = "";
    CHECK(readlink("s/class/tty/tty", target, sizeof target - 1) > 0);
    CHECK(strcmp(target, "../../devices/virtual/tty/tty") == 0);
    CHECK(umount("s") == 0);
    end();
}

static const struct check_case cases[] = {
    {"a bind mount shows a directory at another place, and is a mount of its own", bind_directory, 0, false},
    {"MS_REC binds what is mounted below too, but for what is unbindable", recursive, 0, false},
    {"single files, devices and links of descriptors are bound too", single_files, 0, false},
    {"locks, mappings, watches and sockets are of the file, whichever mount was used", shared_state, 0, false},
    {"MS_REMOUNT and MS_BIND change one mount alone", flags_of_a_mount, 0, false},
    {"MS_REMOUNT changes the file system, wherever it is seen", flags_of_a_file_system, 0, false},
    {"set-id programs run without through a mount with nosuid", set_id_programs, 0, false},
    {"MS_MOVE takes a mount and all on it to another place", moves, 0, false},
    {"mounts are private, or unbindable", kinds, 0, false},
    {"no mount is shared", no_sharing, 0, true},
    {"umount2 says what is busy, expires, and leaves what it detached to those who use it", unmounting, 0, false},
    {".. of what was moved out of a bind mount is nowhere", escaping, 0, false},
    {"RESOLVE_NO_XDEV tells mounts of one file system apart", bounded, 0, false},
    {"a mount over the root is above it, not in it", over_the_root, 0, false},
    {"pivot_root changes the root of all who have it, and moves the old one", pivots, 0, false},
    {"the very first root stays", pivot_of_the_first_root, 0, false},
    {"each mount of devpts has ptys of its own", terminals, 0, false},
    {"sysfs has the processors and terminals that there are", hardware, 0, false},
    {"procfs and devices can be bound, and covered there alone", special_file_systems, 0, false},
};

int main(int argc, char** argv) {
    if (argc == 2 && strcmp(argv[1], "@euid") == 0)
        return (int)geteuid();
    return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
