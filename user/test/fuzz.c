// SPDX-License-Identifier: BSD-2-Clause
// The system-call fuzzer: rounds of random calls (fuzz_call.h) in several processes with several threads each, in a file system
// and under limits of their own. A round ends when its calls are made; what hangs is interrupted, then killed. After each
// round nothing may be left: every process is dead, every count of kernel objects is what it was, and a sane program runs.
//   fuzz [seed=N] [round=N] [rounds=N] [seconds=N] [calls=N] [workers=N] [threads=N] [on=1] [only=CALL,...] [without=CALL,...]
// A round is replayed by its seed and number: the same calls with the same arguments come in each thread, though races between
// threads may end otherwise. seconds=3600 goes on with new rounds for an hour, on=1 after a round that failed too; `only` and
// `without` narrow down which calls it takes.
#include "fuzz_call.h"
#include "objects.h"

#include <dirent.h>
#include <ftw.h>
#include <pthread.h>
#include <sys/sendfile.h>

static struct {
    uint64_t seed;
    long round, rounds, seconds, calls, workers, threads, on;
} options = {1, 0, 8, 0, 600, 4, 2, 0};

static struct fuzz_shared* shared;
static const char* const sandbox = "/tmp/fuzz-root";
static pid_t kept[256]; // the processes that were there before
static int kept_count;
static int null_fd;
static char why[1000];      // the first thing that went wrong
static double slowness = 1; // of this machine

static void __attribute__((format(printf, 1, 2))) wrong(const char* format, ...) {
    if (why[0])
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
}

// ---- a file system to play in ----------------------------------------------------------------------------------------
static void put_file(const char* name, const void* data, size_t size, mode_t mode) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", sandbox, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || fchmod(fd, mode) < 0)
        wrong("cannot write %s: errno %d", path, errno);
    close(fd);
}

static void make_sandbox(uint64_t seed) {
    static char image[4 << 20];
    static long image_size;
    if (image_size == 0) {
        int fd = open("/proc/self/exe", O_RDONLY);
        for (ssize_t n; (n = read(fd, image + image_size, sizeof image - (size_t)image_size)) > 0;)
            image_size += n;
        close(fd);
    }
    mkdir(sandbox, 0755);
    if (mount("tmpfs", sandbox, "tmpfs", 0, NULL) < 0 || chdir(sandbox) < 0) {
        wrong("cannot make a file system: errno %d", errno);
        return;
    }
    chmod(".", 0777);
    const char* const folders[] = {"bin", "dev", "proc", "d0", "d1", "tmp"};
    for (int i = 0; i < 6; ++i) {
        mkdir(folders[i], 0777);
        chmod(folders[i], 0777);
    }
    mount("proc", "proc", "proc", 0, NULL);
    mknod("dev/null", S_IFCHR | 0666, 0x103);
    mknod("dev/zero", S_IFCHR | 0666, 0x105);
    mknod("dev/full", S_IFCHR | 0666, 0x107);
    put_file("f0", image, 20000, 0666);
    put_file("f1", "text\n", 5, 0666);
    put_file("f2", "", 0, 0600);
    put_file("d0/f", "text\n", 5, 0666);
    put_file("bin/fuzz", image, (size_t)image_size, 0755);
    put_file("script", "#!/bin/fuzz @end\n", 17, 0755);
    struct fuzz_stream s = {.state = seed};
    char head[4096];
    memcpy(head, image, sizeof head);
    for (int i = 0; i < 6; ++i)
        image[below(&s, one_in(&s, 2) ? 64 : 1024)] = (char)draw(&s);
    put_file("damaged", image, 300000, 0755);
    memcpy(image, head, sizeof head);
    if (mkfifo("fifo", 0666) < 0 || symlink("f1", "link") < 0 || symlink("loop", "loop") < 0 ||
        symlink("nowhere", "dangling") < 0)
        wrong("cannot fill the file system: errno %d", errno);
    if (chdir("/") < 0)
        wrong("cannot leave the file system");
}

// Goes on as a file that has no place in any tree of mounts: what the workers reach through /proc/self/exe is that, so they do
// not mount anything over the program outside of their file system.
static void leave_the_tree(char** argv) {
    char name[20] = "";
    if (readlink("/proc/self/exe", name, sizeof name - 1) > 0 && strncmp(name, "/memfd:", 7) == 0)
        return;
    const int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = memfd_create("fuzzer", MFD_CLOEXEC);
    struct stat st;
    if (from < 0 || to < 0 || fstat(from, &st) < 0 || sendfile(to, from, NULL, (size_t)st.st_size) != st.st_size ||
        fchmod(to, 0755) < 0)
        exit(2);
    fexecve(to, argv, environ);
    exit(2);
}

// Calls may have made this program's file somebody's, with the set-user-ID bit.
static void restore_program(void) {
    if (chown("/proc/self/exe", 0, 0) < 0 || chmod("/proc/self/exe", 0755) < 0)
        wrong("cannot give this program its owner and mode back: errno %d", errno);
}

static int remove_one(const char* path, const struct stat* status, int kind, struct FTW* at) {
    (void)status, (void)kind, (void)at;
    remove(path);
    return 0;
}

static bool below_sandbox(const char* place) { return strncmp(place, sandbox, strlen(sandbox)) == 0; }

static void remove_sandbox(void) {
    for (int turn = 0; turn < 1000; ++turn) { // the last mount below it first; calls may have made more
        static char mounts[32768];
        char last[4200] = "";
        bool gone = false;
        check_read_file("/proc/mounts", mounts, sizeof mounts);
        // One that was moved over another stands before it and hides it: then that one is for a later turn.
        for (char* line; !gone && mounts[0] != 0 && (line = strrchr(mounts, '\n')) != NULL;) {
            char place[4200];
            *line = 0;
            const char* const end = strrchr(mounts, '\n');
            if (sscanf(end ? end + 1 : mounts, "%*s %4199s", place) != 1 || !below_sandbox(place))
                continue;
            strcpy(last, place);
            gone = umount2(place, 0) == 0 || umount2(place, MNT_DETACH) == 0;
        }
        if (last[0] == 0)
            break;
        if (!gone) {
            wrong("cannot unmount %s: errno %d", last, errno);
            break;
        }
    }
    nftw(sandbox, remove_one, 20, FTW_DEPTH | FTW_PHYS);
}

// ---- the processes that make the calls -------------------------------------------------------------------------------
struct start {
    int slot;
    uint64_t state;
};

static char fuzz_scratch[fuzz_slots][fuzz_buffers];

static void* run_thread(void* argument) {
    struct start start = *(struct start*)argument;
    struct fuzz_stream s = {start.state, shared, &shared->slots[start.slot], fuzz_scratch[start.slot], 0};
    uint64_t none[6] = {0};
    atomic_store(&s.slot->pid, (int)plain_call(SYS_getpid, none));
    atomic_store(&s.slot->tid, (int)plain_call(SYS_gettid, none));
    learn_pid(&s, atomic_load(&s.slot->tid));
    while (atomic_load(&s.slot->left) > 0) {
        fuzz_calls(&s, 50);
        atomic_fetch_sub(&s.slot->left, 50);
    }
    plain_call(SYS_exit, none); // the process ends with its last thread
    __builtin_unreachable();
}

static void limit(int resource, rlim_t value) {
    struct rlimit limit = {value, value};
    setrlimit(resource, &limit);
}

// Calls may end a worker with any status, so that alone would say nothing.
static _Noreturn void cannot_start(int line) {
    atomic_store(&shared->not_started, line * 1000 + errno);
    _exit(99);
}

static void become_worker(int worker, uint64_t seed) {
    setsid();
    umask(0);
    for (int number = 1; number < 65; ++number)
        if (number != SIGSEGV && number != SIGBUS && number != SIGILL && number != SIGFPE && number != SIGTRAP) {
            struct sigaction action = {.sa_handler = fuzz_handler};
            sigaction(number, &action, NULL);
        }
    limit(RLIMIT_AS, 96 << 20);
    limit(RLIMIT_FSIZE, 1 << 20);
    limit(RLIMIT_NOFILE, 64);
    limit(RLIMIT_MEMLOCK, 1 << 20);
    limit(RLIMIT_CPU, 60);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_SIGPENDING, 200);
    limit(RLIMIT_NPROC, 200);
    if (mmap(playground, fuzz_playground, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
            MAP_FAILED ||
        mmap(playground, 16 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
            MAP_FAILED ||
        chroot(sandbox) < 0 || chdir("/") < 0)
        cannot_start(__LINE__);
    for (int fd = 0; fd < 3; ++fd)
        dup2(null_fd, fd);
    close_range(3, ~0U, 0);
    int pipes[2];
    open("f0", O_RDWR);
    open("f1", O_RDWR | O_APPEND);
    open("d0", O_RDONLY | O_DIRECTORY);
    open("fifo", O_RDWR);
    if (pipe(pipes) < 0 || pipe2(pipes, O_NONBLOCK) < 0)
        cannot_start(__LINE__);
    eventfd(1, 0);
    epoll_create1(0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    signalfd(-1, &set, SFD_NONBLOCK);
    memfd_create("fuzz", MFD_ALLOW_SEALING);
    open("dev/zero", O_RDWR);
    open("proc/self/maps", O_RDONLY);
    open("/", O_RDONLY | O_DIRECTORY);
    open("d1", O_PATH);
    // Every other worker has root's rights, but for those that would harm the machine or whoever watches: reboot, priorities,
    // limits.
    const int harmful[] = {22, 23, 24};
    for (int i = 0; i < 3; ++i)
        prctl(PR_CAPBSET_DROP, harmful[i], 0, 0, 0);
    if (worker % 2 == 1 && (setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0))
        cannot_start(__LINE__);
    struct {
        uint32_t version;
        int pid;
    } header = {0x20080522, 0};
    uint32_t data[6] = {0};
    if (syscall(SYS_capget, &header, data) == 0) {
        for (int i = 0; i < 3; ++i)
            data[0] &= ~(1u << harmful[i]), data[1] &= ~(1u << harmful[i]), data[2] &= ~(1u << harmful[i]);
        syscall(SYS_capset, &header, data);
    }
    for (int thread = 0; thread < options.threads; ++thread) {
        struct start* start = malloc(sizeof *start);
        start->slot = worker * (int)options.threads + thread;
        start->state = seed * 1000003 + (uint64_t)thread;
        pthread_t made;
        if (thread + 1 < options.threads)
            pthread_create(&made, NULL, run_thread, start);
        else
            run_thread(start);
    }
}

// ---- watching them ---------------------------------------------------------------------------------------------------
struct worker {
    pid_t pid; // 0: not running
    int starts;
    unsigned beats[fuzz_slots];
    double moved[fuzz_slots];
    double busy;   // when one of its threads still had calls to make
    double killed; // 0: not yet
};
static struct worker workers[fuzz_slots];

static long calls_left(int worker) {
    long left = 0;
    for (int thread = 0; thread < options.threads; ++thread) {
        int mine = atomic_load(&shared->slots[worker * options.threads + thread].left);
        left += mine > 0 ? mine : 0;
    }
    return left;
}

static void start_worker(int index, uint64_t seed) {
    struct worker* worker = &workers[index];
    uint64_t own = seed * 64 + (uint64_t)index * 1000 + (uint64_t)worker->starts++;
    for (int thread = 0; thread < options.threads; ++thread) {
        struct fuzz_slot* slot = &shared->slots[index * options.threads + thread];
        atomic_fetch_sub(&slot->left,
                         worker->starts > 1 ? 100 : 0); // so that one that always dies at once comes to an end
        worker->moved[thread] = check_now();
    }
    worker->busy = check_now();
    worker->killed = 0;
    pid_t pid = fork();
    if (pid == 0) {
        become_worker(index, own);
        _exit(98);
    }
    worker->pid = pid > 0 ? pid : 0;
    if (pid < 0)
        wrong("cannot fork: errno %d", errno);
}

// A thread that makes no call gets a signal, which interrupts what it waits for; if that does not help, its process is killed.
// So is one whose calls are all made: a thread that one of them left behind may wait for ever, and keep it.
static void kill_worker(struct worker* worker, double now) {
    kill(worker->pid, SIGKILL);
    if (worker->killed == 0)
        worker->killed = now;
}
static void nudge(struct worker* worker, int index) {
    double now = check_now();
    const double patience = slowness > 2 ? 0.4 * slowness : 0.8; // what is killed too early makes fewer calls, no more
    if (calls_left(index) > 0) {
        worker->busy = now;
    } else if (now - worker->busy > patience) {
        kill_worker(worker, now);
        worker->busy = now;
    }
    for (int thread = 0; thread < options.threads && worker->pid > 0; ++thread) {
        struct fuzz_slot* slot = &shared->slots[index * options.threads + thread];
        unsigned beats = atomic_load(&slot->beats);
        if (beats != worker->beats[thread] || atomic_load(&slot->left) <= 0) {
            worker->beats[thread] = beats;
            worker->moved[thread] = now;
        } else if (now - worker->moved[thread] > patience) {
            kill_worker(worker, now);
            worker->moved[thread] = now;
        } else if (now - worker->moved[thread] > 0.05) {
            kill(worker->pid, SIGCONT);
            if (atomic_load(&slot->pid) == worker->pid && atomic_load(&slot->tid) > 1)
                syscall(SYS_tgkill, worker->pid, atomic_load(&slot->tid), SIGUSR1);
        }
    }
}

static int others(pid_t* list, int size) { // processes that were not there before
    int count = 0;
    DIR* folder = opendir("/proc");
    for (struct dirent* entry; folder && (entry = readdir(folder)) && count < size;) {
        pid_t pid = atoi(entry->d_name);
        bool known = pid <= 0;
        for (int i = 0; i < kept_count && !known; ++i)
            known = kept[i] == pid;
        if (!known)
            list[count++] = pid;
    }
    if (folder)
        closedir(folder);
    return count;
}

static void reap(void) {
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0;) {
        if (WIFSTOPPED(status)) { // it had itself traced
            kill(pid, SIGKILL);
            continue;
        }
        const int failed = atomic_exchange(&shared->not_started, 0);
        if (failed != 0)
            wrong("a worker could not start: fuzz.c:%d, errno %d", failed / 1000, failed % 1000);
        for (int i = 0; i < options.workers; ++i)
            if (workers[i].pid == pid)
                workers[i].pid = 0;
    }
}

static void kill_others(void) {
    double end = check_now() + 60 * slowness;
    for (;;) {
        pid_t list[512];
        int count = others(list, 512);
        for (int i = 0; i < count; ++i)
            kill(list[i], SIGKILL);
        reap();
        if (count == 0)
            return;
        if (check_now() > end) {
            char path[64], text[300] = "";
            snprintf(path, sizeof path, "/proc/%d/stat", list[0]);
            check_read_file(path, text, sizeof text);
            char calls_made[100] = "";
            for (int i = 0; i < fuzz_slots; ++i)
                if (atomic_load(&shared->slots[i].pid) == list[0])
                    for (int n = 0; n < fuzz_history; ++n)
                        snprintf(calls_made + strlen(calls_made), sizeof calls_made - strlen(calls_made), " %d",
                                 atomic_load(&shared->slots[i].history[n]));
            wrong("%d processes do not die of SIGKILL: %.300s; calls%s", count, text, calls_made);
            return;
        }
        check_sleep_ms(5);
    }
}

// ---- a program that does what programs do ----------------------------------------------------------------------------
static void* add_one(void* number) {
    ++*(int*)number;
    return NULL;
}

static void sane(void) {
    int pipes[2], number = 0, status;
    char word[8] = "";
    CHECK(pipe(pipes) == 0);
    char* page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    page[5000] = 'a';
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        page[5000] = 'b';
        _exit(write(pipes[1], "through", 7) == 7 ? 5 : 6);
    }
    CHECK(read(pipes[0], word, 7) == 7 && strcmp(word, "through") == 0);
    CHECK_EXITED(check_reap(pid), 5);
    CHECK_EQ(page[5000], 'a');
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, add_one, &number) == 0 && pthread_join(thread, NULL) == 0);
    CHECK_EQ(number, 1);
    pid = vfork();
    if (pid == 0) {
        execl("/bin/true", "true", (char*)NULL);
        _exit(7);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK_EXITED(status, 0);
    int fd = open("/tmp/sane", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, "file", 4) == 4 && pread(fd, word, 4, 0) == 4 && memcmp(word, "file", 4) == 0);
    CHECK(close(fd) == 0 && unlink("/tmp/sane") == 0);
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    struct itimerval soon = {{0, 0}, {0, 1000}};
    CHECK(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    CHECK_EQ(sigwaitinfo(&set, NULL), SIGALRM);
    CHECK_EQ(check_counter("loans_open"), 0);
    CHECK_EQ(check_counter("procs"), kept_count + 1); // this one, a child of the fuzzer's
}

static void run_sane(void) {
    const struct check_case one = {"a program runs as it always did", sane, 30, true};
    int report[2], status;
    if (pipe(report) < 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(report[1], check_report_fd);
        one.run();
        _exit(0);
    }
    close(report[1]);
    char text[300] = "";
    ssize_t n = read(report[0], text, sizeof text - 1);
    close(report[0]);
    if (n > 0)
        text[strcspn(text, "\n")] = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        wrong("a sane program fails afterwards: %s", text);
}

// What has a name of its own and outlives its makers.
static void remove_ipc(void) {
    struct shmid_ds shm;
    struct semid_ds sem;
    struct msqid_ds msg;
    for (int i = 0; i < 64; ++i) {
        shmctl(shmctl(i, SHM_STAT, &shm), IPC_RMID, NULL);
        semctl(semctl(i, 0, SEM_STAT, &sem), 0, IPC_RMID);
        msgctl(msgctl(i, MSG_STAT, &msg), IPC_RMID, NULL);
    }
    mkdir("/tmp/fuzz.queues", 0700);
    if (mount("none", "/tmp/fuzz.queues", "mqueue", 0, NULL) == 0) {
        DIR* queues = opendir("/tmp/fuzz.queues");
        for (struct dirent* e; queues && (e = readdir(queues));)
            unlinkat(dirfd(queues), e->d_name, 0);
        if (queues)
            closedir(queues);
        umount("/tmp/fuzz.queues");
    }
    rmdir("/tmp/fuzz.queues");
}

static void print_mounts(void) {
    static char mounts[32768];
    check_read_file("/proc/self/mountinfo", mounts, sizeof mounts);
    for (char *rest = mounts, *line; (line = strsep(&rest, "\n")) && line[0] != 0;)
        check_line("# %s\n%s", line, "");
}

// ---- rounds ----------------------------------------------------------------------------------------------------------
static bool run_round(long round) {
    uint64_t seed = options.seed * 0x100000001b3u + (uint64_t)round;
    char host[65] = "", null_path[64];
    gethostname(host, 64);
    memset(shared, 0, sizeof *shared);
    memset(workers, 0, sizeof workers);
    // Of before the first round: on a slow host a thread of the last one may not quite have left its hart yet.
    static struct object_counts before;
    if (before.size == 0)
        before = settled_objects();
    make_sandbox(seed);
    snprintf(null_path, sizeof null_path, "%s/dev/null", sandbox);
    null_fd = open(null_path,
                   O_RDWR); // theirs, before it is gone: nothing is to get out of there, and no mount over it either
    for (int i = 0; i < options.workers * options.threads; ++i)
        atomic_store(&shared->slots[i].left, (int)options.calls);
    atomic_store(&shared->makers_left, 300);
    double began = check_now();
    for (bool busy = true; busy && !why[0];) {
        busy = false;
        for (int i = 0; i < options.workers; ++i) {
            if (workers[i].pid > 0)
                nudge(&workers[i], i);
            else if (calls_left(i) > 0)
                start_worker(i, seed);
            // Whoever had attached to it comes first, and may never wait for it.
            if (workers[i].pid > 0 && workers[i].killed != 0 && check_now() - workers[i].killed > 2 * slowness)
                kill_others();
            busy = busy || workers[i].pid > 0 || calls_left(i) > 0;
        }
        check_sleep_ms(5);
        reap();
    }
    kill_others();
    close(null_fd);
    unsigned long made = 0;
    for (int i = 0; i < fuzz_slots; ++i)
        made += atomic_load(&shared->slots[i].beats);
    acct(NULL); // a call may have turned it on
    remove_sandbox();
    remove_ipc();
    restore_program();
    sethostname(host, strlen(host));
    for (int attempt = 0; !why[0]; ++attempt) {
        struct object_counts after = read_objects();
        char differs[900] = "";
        for (int i = 0; i < after.size; ++i) {
            const char* name = after.list[i].name;
            long was = count_of(&before, name);
            size_t length = strlen(differs);
            if (labs(after.list[i].value - was) > object_slack(name))
                snprintf(differs + length, sizeof differs - length, " %s: %ld, now %ld;", name, was,
                         after.list[i].value);
        }
        if (!differs[0])
            break;
        if (attempt > 200 * slowness) {
            wrong("not as before:%s", differs);
            print_mounts();
        }
        check_sleep_ms(50);
    }
    if (!why[0])
        run_sane();
    if (why[0])
        before.size = 0; // what was left now is there in the next round, too
    int starts = 0;
    for (int i = 0; i < options.workers; ++i)
        starts += workers[i].starts;
    char line[200];
    snprintf(line, sizeof line, "# round %ld: %lu calls, %d starts, %.1f s\n", round, made, starts,
             check_now() - began);
    check_line("%s%s", line, "");
    return !why[0];
}

static void read_options(int argc, char** argv) {
    struct {
        const char* name;
        long* value;
    } const known[] = {{"seed=", (long*)&options.seed}, {"round=", &options.round}, {"rounds=", &options.rounds},
                       {"seconds=", &options.seconds},  {"calls=", &options.calls}, {"workers=", &options.workers},
                       {"threads=", &options.threads},  {"on=", &options.on}};
    for (int i = 1; i < argc; ++i) {
        if (strncmp(argv[i], "only=", 5) == 0)
            fuzz_only = argv[i] + 5;
        if (strncmp(argv[i], "without=", 8) == 0)
            fuzz_without = argv[i] + 8;
        for (size_t n = 0; n < sizeof known / sizeof *known; ++n)
            if (strncmp(argv[i], known[n].name, strlen(known[n].name)) == 0)
                *known[n].value = strtol(argv[i] + strlen(known[n].name), NULL, 0);
    }
    if (options.workers < 1 || options.threads < 1 || options.workers * options.threads > fuzz_slots) {
        fprintf(stderr, "fuzz: at most %d threads in all\n", fuzz_slots);
        exit(2);
    }
}

int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "@end") == 0)
        return 0;
    leave_the_tree(argv);
    read_options(argc, argv);
    if (getenv("CHECK_SLOW"))
        slowness = atof(getenv("CHECK_SLOW"));
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    kept_count = others(kept, 256);
    close(memfd_create("first", 0)); // the file system of these is made with the first and stays
    make_sandbox(0);                 // so that the memory this program uses for it is there before anything is counted
    remove_sandbox();
    const char* const sentence =
        "random calls of several processes and threads end, leave no object behind, and a sane "
        "program runs after them";
    char line[300];
    snprintf(line, sizeof line, "# fuzz seed=%lu round=%ld\n", options.seed, options.round);
    check_line("%s%s", line, "");
    double end = check_now() + (double)options.seconds;
    bool good = true;
    long round = options.round;
    for (; (good || options.on) && (options.seconds ? check_now() < end : round < options.round + options.rounds);
         ++round) {
        why[0] = 0;
        good = run_round(round);
        if (!good && options.on)
            check_line("# %s%s\n", why, "");
    }
    if (good)
        check_line("ok %s%s\n", sentence, "");
    else {
        snprintf(line, sizeof line, "not ok %s: seed=%lu round=%ld: ", sentence, options.seed, round - 1);
        check_line("%s%s\n", line, why);
    }
    check_line("1..1\n%s%s", "", "");
    return good ? 0 : 1;
}
