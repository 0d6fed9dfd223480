// SPDX-License-Identifier: BSD-2-Clause
// Files without a name and the seals on them: what a seal refuses, and when it can be set.
#define _GNU_SOURCE
#include "check.h"

#include <linux/falloc.h>
#include <linux/memfd.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

enum { page = 4096 };
static const int content_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;

// Two pages and a half of 'a'.
static int new_file(unsigned flags) {
    int fd = memfd_create("sealed", MFD_CLOEXEC | flags);
    CHECK(fd >= 0);
    char bytes[2 * page + page / 2];
    memset(bytes, 'a', sizeof bytes);
    CHECK_EQ(write(fd, bytes, sizeof bytes), sizeof bytes);
    return fd;
}

static void* map(int fd, int prot, int flags) { return mmap(NULL, page, prot, flags, fd, 0); }

static void* map_shared(int fd, int prot) {
    void* at = map(fd, prot, MAP_SHARED);
    CHECK(at != MAP_FAILED);
    return at;
}

static void unsealable(void) {
    int fd = new_file(0);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
    CHECK_EQ(write(fd, "b", 1), 1);

    fd = new_file(MFD_ALLOW_SEALING);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, 0x40), EINVAL);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, 0), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_SEAL);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), EPERM);
    CHECK_ERRNO(memfd_create("", 0x40), EINVAL);
}

static void other_files(void) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    CHECK_ERRNO(fcntl(ends[1], F_GET_SEALS), EINVAL);
    CHECK_ERRNO(fcntl(ends[1], F_ADD_SEALS, F_SEAL_WRITE), EINVAL);

    mkdir("/tmp", 0777);
    CHECK_EQ(mount("none", "/tmp", "tmpfs", 0, NULL), 0);
    int fd = open("/tmp/file", O_RDWR | O_CREAT, 0666);
    CHECK(fd >= 0);
    CHECK_EQ(umount2("/tmp", MNT_DETACH), 0);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
}

static void read_only_descriptor(void) {
    int fd = new_file(MFD_ALLOW_SEALING);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int reader = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(reader >= 0);
    CHECK_ERRNO(fcntl(reader, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    CHECK_EQ(fcntl(reader, F_GET_SEALS), F_SEAL_GROW); // the file's, not the descriptor's
    int named = open(path, O_PATH | O_CLOEXEC);
    CHECK(named >= 0);
    CHECK_ERRNO(fcntl(named, F_GET_SEALS), EBADF);
    // A mapping that can never be written to is in nobody's way.
    map_shared(reader, PROT_READ);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
}

static void shrinking(void) {
    int fd = new_file(MFD_ALLOW_SEALING);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    CHECK_ERRNO(ftruncate(fd, page), EPERM);
    CHECK_ERRNO(ftruncate(fd, 0), EPERM);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK_ERRNO(open(path, O_RDWR | O_TRUNC), EPERM);
    CHECK_EQ(ftruncate(fd, 2 * page + page / 2), 0);
    CHECK_EQ(ftruncate(fd, 4 * page), 0);
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, page), 0);
    CHECK_EQ(pwrite(fd, "b", 1, 0), 1);
}

static void growing(void) {
    static char bytes[4 * page];
    struct stat st;
    int fd = new_file(MFD_ALLOW_SEALING);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    CHECK_ERRNO(ftruncate(fd, 3 * page), EPERM);
    CHECK_ERRNO(fallocate(fd, 0, 0, 3 * page), EPERM);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 3 * page), EPERM);
    CHECK_EQ(fallocate(fd, 0, 0, page), 0);
    CHECK_ERRNO(pwrite(fd, bytes, 1, 2 * page + page / 2), EPERM);
    CHECK_ERRNO(pwrite(fd, bytes, page, 2 * page), EPERM);
    CHECK_EQ(pwrite(fd, bytes, page / 2, 2 * page), page / 2);
    CHECK_ERRNO(pwrite(fd, bytes, sizeof bytes, 100), EPERM); // nothing of it
    int flags = fcntl(fd, F_GETFL);
    CHECK_EQ(fcntl(fd, F_SETFL, flags | O_APPEND), 0);
    CHECK_ERRNO(write(fd, bytes, 1), EPERM);
    CHECK_EQ(write(fd, bytes, 0), 0);
    CHECK_EQ(fcntl(fd, F_SETFL, flags), 0);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 2 * page + page / 2);
    CHECK_EQ(ftruncate(fd, 2 * page), 0);
    CHECK_EQ(pwrite(fd, bytes, 2 * page, 0), 2 * page);
}

static void writing(void) {
    int fd = new_file(MFD_ALLOW_SEALING);
    char* shared = map_shared(fd, PROT_READ | PROT_WRITE);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW), EBUSY);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0); // none of them
    CHECK_EQ(mprotect(shared, page, PROT_READ), 0);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY); // it could be made writable again
    CHECK_EQ(munmap(shared, page), 0);
    char* own = map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    CHECK(own != MAP_FAILED);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);

    CHECK_ERRNO(write(fd, "b", 1), EPERM);
    CHECK_ERRNO(pwrite(fd, "b", 1, 0), EPERM);
    CHECK_EQ(write(fd, "b", 0), 0);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, page), EPERM);
    CHECK_EQ(fallocate(fd, 0, 0, page), 0);
    CHECK_EQ(ftruncate(fd, page), 0); // sizes have seals of their own
    CHECK_ERRNO(map(fd, PROT_READ | PROT_WRITE, MAP_SHARED), EPERM);
    CHECK_ERRNO(map(fd, PROT_WRITE, MAP_SHARED), EPERM);
    own[0] = 'c'; // a private copy is nobody's business
    char byte = 0;
    CHECK_EQ(pread(fd, &byte, 1, 0), 1);
    CHECK_EQ(byte, 'a');
    own = map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    CHECK(own != MAP_FAILED);
    own[0] = 'd';
    shared = map_shared(fd, PROT_READ);
    CHECK_EQ(shared[0], 'a');
    CHECK_ERRNO(mprotect(shared, page, PROT_READ | PROT_WRITE), EACCES);
}

static void writing_elsewhere(void) {
    int fd = new_file(MFD_ALLOW_SEALING), go[2];
    char* shared = map_shared(fd, PROT_READ | PROT_WRITE);
    CHECK_EQ(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(go[1]);
        _exit(read(go[0], &byte, 1) == 0 && shared[0] == 'b' ? 0 : 1);
    }
    shared[0] = 'b';
    shared = mremap(shared, page, 2 * page, MREMAP_MAYMOVE);
    CHECK(shared != MAP_FAILED);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    CHECK_EQ(munmap(shared, page), 0);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    CHECK_EQ(munmap(shared + page, page), 0);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY); // the child has it
    close(go[1]);
    CHECK_EXITED(check_reap(child), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
}

static void future_writing(void) {
    int fd = new_file(MFD_ALLOW_SEALING);
    char* old = map_shared(fd, PROT_READ | PROT_WRITE);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_FUTURE_WRITE);
    old[0] = 'z';
    CHECK_ERRNO(pwrite(fd, "b", 1, 0), EPERM);
    CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, page), EPERM);
    CHECK_ERRNO(map(fd, PROT_READ | PROT_WRITE, MAP_SHARED), EPERM);
    char* late = map_shared(fd, PROT_READ);
    CHECK_EQ(late[0], 'z');
    CHECK_ERRNO(mprotect(late, page, PROT_READ | PROT_WRITE), EACCES);
    CHECK_EQ(mprotect(old, page, PROT_READ), 0);
    CHECK_EQ(mprotect(old, page, PROT_READ | PROT_WRITE), 0);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    CHECK_EQ(munmap(old, page), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0); // the late one is in nobody's way
}

static void executing(void) {
    struct stat st;
    CHECK_ERRNO(memfd_create("", MFD_EXEC | MFD_NOEXEC_SEAL), EINVAL);
    int fd = new_file(MFD_NOEXEC_SEAL);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_EXEC);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0666);
    CHECK_ERRNO(fchmod(fd, 0766), EPERM);
    CHECK_EQ(fchmod(fd, 0640), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0); // sealing is allowed with it

    fd = new_file(MFD_EXEC | MFD_ALLOW_SEALING);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0777);
    CHECK_EQ(fchmod(fd, 0755), 0);
    char* shared = map_shared(fd, PROT_READ | PROT_WRITE);
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_EXEC), EBUSY);
    CHECK_EQ(munmap(shared, page), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_EXEC), 0); // what stays a program stays what it is
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_EXEC | content_seals);
    CHECK_ERRNO(fchmod(fd, 0644), EPERM);
    CHECK_EQ(fchmod(fd, 0555), 0);
}

static void shown(void) {
    char text[100] = "", link[40], maps[8192];
    const int fd = memfd_create("the name", 0);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    CHECK(readlink(link, text, sizeof text - 1) > 0);
    CHECK_EQ(strcmp(text, "/memfd:the name (deleted)"), 0);
    CHECK_EQ(ftruncate(fd, page), 0);
    void* const at = map_shared(fd, PROT_READ);
    check_read_file("/proc/self/maps", maps, sizeof maps);
    CHECK(strstr(maps, "/memfd:the name (deleted)\n"));
    CHECK_EQ(munmap(at, page), 0);

    const int program = memfd_create("", MFD_CLOEXEC), from = open("/proc/self/exe", O_RDONLY);
    struct stat st;
    CHECK_EQ(fstat(from, &st), 0);
    CHECK_EQ(sendfile(program, from, NULL, st.st_size), st.st_size);
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    const pid_t pid = vfork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        fexecve(program, (char*[]){"memfd", "@exe", NULL}, environ);
        _exit(1);
    }
    CHECK_EXITED(check_reap(pid), 0);
    memset(text, 0, sizeof text);
    CHECK(read(ends[0], text, sizeof text - 1) > 0);
    CHECK_EQ(strcmp(text, "/memfd: (deleted)"), 0);
}

// The descriptor that memfd_create gives is no writer, all others are, as on Linux.
static void running(void) {
    char text[40], bytes[4096];
    const int program = memfd_create("", MFD_CLOEXEC), from = open("/proc/self/exe", O_RDONLY);
    for (ssize_t n; (n = read(from, bytes, sizeof bytes)) > 0;)
        CHECK_EQ(write(program, bytes, (size_t)n), n);
    snprintf(text, sizeof text, "/proc/self/fd/%d", program);
    const int writer = open(text, O_WRONLY);
    CHECK(writer >= 0);
    CHECK_ERRNO(fexecve(program, (char*[]){"memfd", "@wait", NULL}, environ), ETXTBSY);
    CHECK_EQ(close(writer), 0);
    const pid_t pid = vfork();
    if (pid == 0) {
        fexecve(program, (char*[]){"memfd", "@wait", NULL}, environ);
        _exit(1);
    }
    CHECK_EQ(pwrite(program, bytes, 0, 0), 0);
    CHECK_ERRNO(open(text, O_WRONLY), ETXTBSY);
    CHECK_ERRNO(truncate(text, 0), ETXTBSY);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
    CHECK_EQ(truncate(text, 0), 0);
}

static const struct check_case cases[] = {
    {"a memfd is shown by its name, mapped and as a program too", shown, 0, false},
    {"a memfd that runs is kept from new writers, not from the one who made it", running, 0, false},
    {"a memfd takes seals if it was made for that, until it is sealed itself", unsealable, 0, false},
    {"files of other kinds have no seals, those of tmpfs have one that keeps others away", other_files, 0, false},
    {"seals are set through a descriptor open for writing, and hold for all of the file", read_only_descriptor, 0,
     false},
    {"a file sealed against shrinking keeps its length or grows", shrinking, 0, false},
    {"a file sealed against growing takes writes that end inside it", growing, 0, false},
    {"a file is sealed against writing when no shared mapping can write, and none ever can again", writing, 0, false},
    {"a writable mapping in a child, grown or cut in two, keeps the seal away", writing_elsewhere, 0, false},
    {"the seal against writing in future leaves mappings of before writable", future_writing, 0, false},
    {"the seal on execution keeps the mode, and a program's contents too", executing, 0, false},
};

int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "@wait") == 0)
        return pause();
    if (argc > 1 && strcmp(argv[1], "@exe") == 0) { // what `shown` runs
        char text[100];
        const ssize_t length = readlink("/proc/self/exe", text, sizeof text);
        return write(STDOUT_FILENO, text, length > 0 ? (size_t)length : 0) == length ? 0 : 1;
    }
    return check_main(argc, argv, cases, sizeof(cases) / sizeof(cases)[0]);
}
