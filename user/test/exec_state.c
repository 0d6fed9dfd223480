// SPDX-License-Identifier: BSD-2-Clause
// What an executed program starts with: names, ids, capabilities, scheduling, registers; and what its creator keeps. From
// a borrower where nothing else is said.
#include "lend.h"

#include <elf.h>
#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static const char* helper_word;
static void exec_helper(void) {
    execl(check_self, check_self, "@helper", helper_word, (char*)NULL);
    _exit(120);
}
static void (*before_exec)(void);
static void prepare_and_exec(void) {
    if (before_exec)
        before_exec();
    exec_helper();
}
// The status of a borrower that does `prepare` and executes the helper for `word`: 0 when the helper found all right.
static int execute(const char* word, void (*prepare)(void)) {
    helper_word = word;
    before_exec = prepare;
    return lend(prepare_and_exec);
}

#define HELP(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            return __LINE__ % 100 + 1;                                                                                 \
    } while (0)

static void copy_program(const char* to, uid_t uid, mode_t mode) {
    static char buffer[65536];
    int in = open(check_self, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    CHECK(in >= 0 && out >= 0);
    for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;)
        CHECK_EQ(write(out, buffer, (size_t)n), n);
    close(in);
    close(out);
    CHECK_EQ(chown(to, uid, uid), 0);
    CHECK_EQ(chmod(to, mode), 0);
}

// --- names, flags ---

static void strange_flags(void) {
    prctl(PR_SET_NAME, "before");
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_KEEPCAPS, 1);
    prctl(PR_SET_PDEATHSIG, SIGUSR2);
}
static int helper_flags(void) {
    char name[32];
    int signal = 0;
    HELP(prctl(PR_GET_NAME, name) == 0 && strcmp(name, "exec_state") == 0);
    HELP(check_read_file("/proc/self/comm", name, sizeof name) > 0 && strcmp(name, "exec_state\n") == 0);
    HELP(prctl(PR_GET_DUMPABLE) == 1);
    HELP(prctl(PR_GET_KEEPCAPS) == 0);
    HELP(prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == SIGUSR2);
    return 0;
}
static void flags(void) { CHECK_EXITED(execute("flags", strange_flags), 0); }

// --- ids ---

static int helper_set_id(void) {
    uid_t real, effective, saved;
    int signal = -1;
    HELP(getresuid(&real, &effective, &saved) == 0);
    HELP(real == 0 && effective == 2000 && saved == 2000);
    HELP(getauxval(AT_SECURE) == 1);
    HELP(prctl(PR_GET_PDEATHSIG, &signal) == 0 && signal == 0);
    HELP(personality(0xffffffff) == UNAME26); // what would help an attacker is gone
    return 0;
}
static int helper_no_set_id(void) {
    HELP(geteuid() == 0);
    HELP(getauxval(AT_SECURE) == 0);
    return 0;
}
static void exec_copy(void) {
    execl("/tmp/exec_state.suid", "suid", "@helper", helper_word, (char*)NULL);
    _exit(120);
}
static void ask_for_death_signal(void) {
    CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGUSR2), 0);
    CHECK(personality(ADDR_NO_RANDOMIZE | UNAME26) >= 0);
    exec_copy();
}
static void no_new_privileges(void) {
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    exec_copy();
}
static void set_id(void) {
    copy_program("/tmp/exec_state.suid", 2000, 04755);
    helper_word = "set_id";
    int with = lend(ask_for_death_signal);
    helper_word = "no_set_id";
    int without = lend(no_new_privileges);
    unlink("/tmp/exec_state.suid");
    CHECK_EXITED(with, 0);
    CHECK_EXITED(without, 0);
    CHECK_EXITED(execute("no_set_id", NULL), 0);
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
}

// In hexadecimal, after `name` and a tab.
static unsigned long capabilities(const char* name) {
    char text[4096];
    if (check_read_file("/proc/self/status", text, sizeof text) < 0)
        return ~0UL;
    char* line = strstr(text, name);
    return line ? strtoul(line + strlen(name), NULL, 16) : ~0UL;
}
static void become_user_with_capabilities(void) {
    CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
    CHECK_EQ(syscall(SYS_setresuid, 3000, 3000, 3000), 0);
    CHECK(capabilities("CapPrm:\t") != 0);
}
static int helper_no_capabilities(void) {
    HELP(getuid() == 3000);
    HELP(capabilities("CapPrm:\t") == 0);
    HELP(capabilities("CapEff:\t") == 0);
    return 0;
}
static void user_capabilities(void) {
    CHECK_EXITED(execute("no_capabilities", become_user_with_capabilities), 0);
    CHECK(capabilities("CapEff:\t") != 0);
}

// --- scheduling, registers ---

static void pin(int hart) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(hart, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
}
static void pin_to_1(void) { pin(1); }
static int helper_on_1(void) {
    cpu_set_t set;
    HELP(sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1 && CPU_ISSET(1, &set));
    for (int i = 0; i < 200; ++i)
        HELP(sched_getcpu() == 1);
    return 0;
}
static void affinity(void) {
    pin(0);
    for (int i = 0; i < 5; ++i) {
        helper_word = "on_1";
        before_exec = pin_to_1;
        pid_t pid = borrow(prepare_and_exec);
        for (int j = 0; j < 200; ++j)
            CHECK_EQ(sched_getcpu(), 0);
        CHECK_EXITED(check_reap(pid), 0);
    }
}

static void round_up(void) { __asm__ volatile("li t0, 0x7f\n fscsr t0" ::: "t0"); }
static int helper_float(void) {
    unsigned long fcsr;
    __asm__ volatile("frcsr %0" : "=r"(fcsr));
    HELP(fcsr == 0);
    return 0;
}
static void float_state(void) {
    CHECK_EXITED(execute("float", round_up), 0);
    // The same without a loan.
    helper_word = "float";
    before_exec = round_up;
    CHECK_EXITED(check_reap(spawn(prepare_and_exec)), 0);
}

// --- signals ---

static volatile int handled;
static void on_signal(int number) { handled += number ? 1 : 0; }
static void use_altstack(void) {
    static char memory[32768];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
}
static int helper_altstack(void) {
    stack_t now;
    HELP(sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_DISABLE && now.ss_sp == NULL && now.ss_size == 0);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    HELP(handled == 1);
    return 0;
}
static void altstack(void) { CHECK_EXITED(execute("altstack", use_altstack), 0); }

static char child_stack[65536] __attribute__((aligned(16)));
static int exec_shared(void* word) {
    execl(check_self, check_self, "@helper", (char*)word, (char*)NULL);
    _exit(120);
}
static int helper_sleep(void) {
    while (getppid() != 0)
        pause();
    return 0;
}
static int helper_shared(void) {
    struct sigaction now;
    HELP(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == SIG_DFL);
    HELP(fcntl(50, F_GETFD) == -1 && errno == EBADF);
    HELP(fcntl(51, F_GETFD) == 0);
    HELP(close(51) == 0);
    return 0;
}
static void shared_tables(void) {
    const int kinds[] = {CLONE_VM | CLONE_VFORK, CLONE_VM};
    signal(SIGUSR1, on_signal);
    CHECK_EQ(dup3(1, 50, O_CLOEXEC), 50);
    CHECK_EQ(dup2(1, 51), 51);
    for (int i = 0; i < 2; ++i) {
        static char word[] = "shared";
        pid_t pid = clone(exec_shared, child_stack + sizeof child_stack,
                          kinds[i] | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | SIGCHLD, word);
        CHECK_EXITED(check_reap(pid), 0);
        struct sigaction now;
        sigaction(SIGUSR1, NULL, &now);
        CHECK(now.sa_handler == on_signal);
        CHECK_EQ(fcntl(50, F_GETFD), FD_CLOEXEC);
        CHECK_EQ(fcntl(51, F_GETFD), 0);
    }
}

static void exec_ends_wait(void) {
    static char word[] = "sleep";
    pid_t pid = clone(exec_shared, child_stack + sizeof child_stack, CLONE_VFORK | SIGCHLD, word);
    CHECK(pid > 0);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0); // it runs on
    CHECK_ERRNO(setpgid(pid, 0), EACCES);     // as another program
    kill(pid, SIGKILL);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
    helper_word = "sleep";
    before_exec = NULL;
    pid = borrow(prepare_and_exec);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    CHECK_ERRNO(setpgid(pid, 0), EACCES);
    kill(pid, SIGKILL);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
}

// --- what the old program's memory is told ---

static struct {
    void* next;
    long offset;
    void* pending;
} head;
static struct { void* next; } entry;
static volatile int lock_word, tid_word;
static void hold_a_lock(void) {
    head.next = &entry;
    entry.next = &head;
    head.offset = (char*)&lock_word - (char*)&entry;
    lock_word = getpid();
    tid_word = 99;
    CHECK_EQ(syscall(SYS_set_robust_list, &head, sizeof head), 0);
    CHECK_EQ(syscall(SYS_set_tid_address, &tid_word), getpid());
}
static int helper_nothing(void) { return 0; }
static void old_memory(void) {
    helper_word = "nothing";
    before_exec = hold_a_lock;
    pid_t pid = borrow(prepare_and_exec);
    CHECK_EQ(lock_word, 0x40000000); // FUTEX_OWNER_DIED
    CHECK_EQ(tid_word, 0);
    CHECK_EXITED(check_reap(pid), 0);
}

static void* exec_in_thread(void* unused) {
    exec_helper();
    return unused;
}
static void exec_beside_leader(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, exec_in_thread, NULL);
    for (;;)
        pause();
}
static int helper_leader(void) {
    HELP((pid_t)syscall(SYS_gettid) == getpid());
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d", (int)getpid());
    HELP(access(path, F_OK) == 0);
    HELP(syscall(SYS_tgkill, getpid(), getpid(), 0) == 0);
    return 0;
}
static void leader_id(void) {
    helper_word = "leader";
    pid_t pid = spawn(exec_beside_leader);
    CHECK_EXITED(check_reap(pid), 0);
}

// --- scripts ---

static void write_script(const char* path, const char* interpreter, const char* argument) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    CHECK(fd >= 0);
    dprintf(fd, "#!%s %s\n", interpreter, argument);
    close(fd);
}
static const char* script_path;
static void exec_script(void) {
    execl(script_path, "zero", "tail", (char*)NULL);
    _exit(errno);
}
static int helper_script(int argc, char** argv) {
    char name[32];
    HELP(argc == 4 && strcmp(argv[1], "@script first  second") == 0);
    HELP(strcmp(argv[2], "/tmp/exec_state.sh") == 0 && strcmp(argv[3], "tail") == 0);
    HELP(prctl(PR_GET_NAME, name) == 0 && strcmp(name, "exec_state.sh") == 0);
    return 0;
}
static void script(void) {
    script_path = "/tmp/exec_state.sh";
    write_script(script_path, check_self, " @script first  second \t");
    CHECK_EXITED(lend(exec_script), 0);
    // Scripts that are interpreted by scripts: some, not without end.
    static char paths[12][32];
    for (int i = 0; i < 12; ++i)
        snprintf(paths[i], sizeof paths[i], "/tmp/exec_state.%d", i);
    write_script(paths[0], check_self, "@exit");
    for (int i = 1; i < 12; ++i)
        write_script(paths[i], paths[i - 1], "");
    script_path = paths[2];
    CHECK_EXITED(lend(exec_script), 0);
    script_path = paths[11];
    CHECK_EXITED(lend(exec_script), ELOOP);
    unlink("/tmp/exec_state.sh");
    for (int i = 0; i < 12; ++i)
        unlink(paths[i]);
}

// --- where a program's headers lie ---

static void exec_made(void) {
    execl("/tmp/exec_state.made", "made", (char*)NULL);
    _exit(errno == ENOEXEC ? 200 : 201);
}
// A program of three instructions that exits with `status`; its program headers begin at byte `headers` of the file.
static void make_program(size_t headers, unsigned status) {
    enum { code_at = 8192, size = 8192 + 12 };
    static _Alignas(8) char file[size];
    memset(file, 0, sizeof file);
    const Elf64_Ehdr head = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                             .e_type = ET_EXEC,
                             .e_machine = EM_RISCV,
                             .e_version = EV_CURRENT,
                             .e_entry = 0x10000,
                             .e_phoff = headers,
                             .e_ehsize = sizeof(Elf64_Ehdr),
                             .e_phentsize = sizeof(Elf64_Phdr),
                             .e_phnum = 2};
    const Elf64_Phdr table[2] = {{.p_type = PT_NULL},
                                 {.p_type = PT_LOAD,
                                  .p_flags = PF_R | PF_X,
                                  .p_offset = code_at,
                                  .p_vaddr = 0x10000,
                                  .p_filesz = 12,
                                  .p_memsz = 12}};
    const unsigned code[3] = {status << 20 | 10 << 7 | 0x13, 94 << 20 | 17 << 7 | 0x13, 0x73}; // li a0; li a7; ecall
    memcpy(file, &head, sizeof head);
    memcpy(file + headers, table, sizeof table);
    memcpy(file + code_at, code, sizeof code);
    int out = open("/tmp/exec_state.made", O_WRONLY | O_CREAT | O_TRUNC, 0755);
    CHECK(out >= 0);
    CHECK_EQ(write(out, file, sizeof file), sizeof file);
    close(out);
}
static void header_places(void) {
    // Behind the file's head, at an odd place, cut by the end of what is read at first, cut by a page's end, far behind.
    static const size_t places[] = {64, 65, 104, 450, 512, 4096 - 56, 6000, 8192 - 112};
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; ++i) {
        make_program(places[i], 30 + i); // the same file again and again: nothing of the one before is left
        CHECK_EXITED(lend(exec_made), 30 + (int)i);
    }
    make_program(64, 1);
    CHECK_EQ(truncate("/tmp/exec_state.made", 64 + 100), 0); // the second header is cut off
    CHECK_EXITED(lend(exec_made), 200);
    CHECK_EQ(truncate("/tmp/exec_state.made", 0), 0);
    CHECK_EXITED(lend(exec_made), 200);
    unlink("/tmp/exec_state.made");
}

// Arguments and environment of which some sizes fill the stack's first page to the last byte, and others need more.
static char long_argument[3 * 4096];
static void exec_long(void) {
    static char word[16];
    snprintf(word, sizeof word, "%zu", strlen(long_argument));
    char* const no_environment[] = {NULL};
    execle(check_self, check_self, "@length", word, long_argument, (char*)NULL, no_environment);
    _exit(121);
}
static int helper_length(char** argv) {
    HELP(argv[4] == NULL && strlen(argv[3]) == strtoul(argv[2], NULL, 10));
    for (const char* c = argv[3]; *c; c++)
        HELP(*c == 'x');
    static char line[sizeof long_argument + 512]; // nothing lies between them
    const int in = open("/proc/self/cmdline", O_RDONLY);
    const size_t before = strlen(argv[0]) + strlen(argv[1]) + strlen(argv[2]) + 3;
    HELP(read(in, line, sizeof line) == (ssize_t)(before + strlen(argv[3]) + 1) && strcmp(line + before, argv[3]) == 0);
    HELP(strcmp((const char*)getauxval(AT_EXECFN), argv[0]) == 0);
    HELP(getauxval(AT_RANDOM) % 16 == 0 && getauxval(AT_PAGESZ) == 4096 && getauxval(AT_NULL) == 0);
    return 0;
}
static void full_stack_page(void) {
    for (size_t n = 1; n<sizeof long_argument; n += n> 3200 && n < 4000 ? 8 : 509) {
        memset(long_argument, 'x', n);
        long_argument[n] = '\0';
        CHECK_EXITED(lend(exec_long), 0);
    }
}

// Any number of strings, wherever they and their vector lie, also when what comes behind cannot be read.
static char** placed_vector;
static void exec_placed(void) {
    static char* const no_environment[] = {NULL};
    syscall(SYS_execve, check_self, placed_vector, no_environment);
    _exit(errno == EFAULT ? 200 : 201);
}
static int helper_count(int argc, char** argv) {
    HELP(argc == atoi(argv[2]) && argv[argc] == NULL);
    for (int i = 3; i < argc; i++)
        HELP(strlen(argv[i]) == (size_t)i % 5 * 7 && strspn(argv[i], "abcdefg") == strlen(argv[i]));
    return 0;
}
static void placed_arguments(void) {
    char* const pages = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    CHECK_EQ(mprotect(pages + 4096, 4096, PROT_NONE), 0);     // between the strings' page and the vector's,
    CHECK_EQ(mprotect(pages + 3 * 4096, 4096, PROT_NONE), 0); // and behind that
    static char word[4];
    for (int count = 3; count < 16; count++) {
        // Strings up to the last byte of their page, from the vector's end on backwards; the null pointer at the end of its page.
        char** const end = (char**)(pages + 3 * 4096);
        placed_vector = end - 1 - count;
        end[-1] = NULL;
        char* at = pages + 4096;
        for (int i = 3; i < count; i++) {
            const size_t length = (size_t)i % 5 * 7;
            *--at = '\0';
            at -= length;
            memset(at, 'a' + i % 7, length);
            placed_vector[i] = at;
        }
        snprintf(word, sizeof word, "%d", count);
        placed_vector[0] = check_self;
        placed_vector[1] = "@count";
        placed_vector[2] = word;
        CHECK_EXITED(lend(exec_placed), 0);
        // The same without its null pointer, with a string without an end, with one that is no address of the program's.
        placed_vector++;
        memmove(placed_vector, placed_vector - 1, (size_t)count * sizeof *placed_vector);
        CHECK_EXITED(lend(exec_placed), 200);
        end[-1] = NULL;
        pages[4095] = 'a';
        placed_vector[count - 2] = pages + 4095;
        CHECK_EXITED(lend(exec_placed), 200);
        placed_vector[count - 2] = (char*)-4096;
        CHECK_EXITED(lend(exec_placed), 200);
        placed_vector[count - 2] = (char*)(1ul << 38) - 8;
        CHECK_EXITED(lend(exec_placed), 200);
    }
    placed_vector = (char**)(pages + 4096 * 2 + 1); // askew
    memcpy(placed_vector, (char*[]){check_self, "@count", "3", NULL}, 4 * sizeof *placed_vector);
    CHECK_EXITED(lend(exec_placed), 0);
    CHECK_EQ(munmap(pages, 4 * 4096), 0);
}

// --- what the file holds now ---

// Marks that the file of a copied program can be found by: constants, and data that every run writes to.
static const char text_mark[] __attribute__((used, aligned(4096))) = "exec_state's text is A";
static char data_mark[4096] __attribute__((aligned(4096))) = "exec_state's data is A";
static const char* volatile text_mark_now = text_mark;
static int helper_marks(void) { // text's mark times 16 and data's, both from 'A' on
    const int text = text_mark_now[sizeof text_mark - 2] - 'A', data = data_mark[21] - 'A';
    *(volatile char*)&data_mark[100] = 'w';
    return text < 0 || text > 7 || data < 0 || data > 15 ? 127 : text * 16 + data;
}
static char marked[64], marked_new[64];
static void exec_marked(void) {
    execl(marked, "marked", "@helper", "marks", (char*)NULL);
    _exit(errno == ENOEXEC ? 200 : 201);
}
static off_t offset_of(const char* path, const char* mark, size_t length) {
    int fd = open(path, O_RDONLY);
    struct stat status;
    CHECK(fd >= 0 && fstat(fd, &status) == 0);
    char* all = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(all != MAP_FAILED);
    char* found = memmem(all, (size_t)status.st_size, mark, length);
    CHECK(found);
    const off_t at = found - all;
    munmap(all, (size_t)status.st_size);
    close(fd);
    return at;
}
static void put_mark(const char* path, off_t at, char mark) {
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0);
    CHECK_EQ(pwrite(fd, &mark, 1, at), 1);
    close(fd);
}
static void present_contents_in(const char* folder) {
    snprintf(marked, sizeof marked, "%s/exec_state.marked", folder);
    snprintf(marked_new, sizeof marked_new, "%s/exec_state.new", folder);
    copy_program(marked, 0, 0755);
    const off_t text = offset_of(marked, text_mark, sizeof text_mark) + (off_t)sizeof text_mark - 2;
    const off_t data = offset_of(marked, data_mark, 22) + 21;
    for (int i = 0; i < 3; ++i) // what these touch the later ones have mapped, or copied, beforehand
        CHECK_EXITED(lend(exec_marked), 0);
    put_mark(marked, text, 'B'); // rewritten in place
    put_mark(marked, data, 'C');
    for (int i = 0; i < 2; ++i)
        CHECK_EXITED(lend(exec_marked), 16 + 2);

    int fd = open(marked, O_RDWR); // through a mapping
    struct stat status;
    CHECK(fd >= 0 && fstat(fd, &status) == 0);
    char* all = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(all != MAP_FAILED);
    all[text] = 'D';
    all[data] = 'E';
    munmap(all, (size_t)status.st_size);
    close(fd);
    for (int i = 0; i < 2; ++i)
        CHECK_EXITED(lend(exec_marked), 3 * 16 + 4);

    copy_program(marked_new, 0, 0755); // another file in its place
    put_mark(marked_new, data, 'F');
    CHECK_EQ(rename(marked_new, marked), 0);
    for (int i = 0; i < 2; ++i)
        CHECK_EXITED(lend(exec_marked), 5);

    CHECK_EQ(truncate(marked, text & -4096), 0); // cut off: its headers say more than it has
    CHECK_EXITED(lend(exec_marked), 200);
    copy_program(marked, 0, 0755); // and written again
    put_mark(marked, text, 'G');
    for (int i = 0; i < 2; ++i)
        CHECK_EXITED(lend(exec_marked), 6 * 16);
    CHECK_EQ(unlink(marked), 0);
}
static void present_contents(void) {
    present_contents_in("/tmp");
    if (access("/mnt/lost+found", F_OK) == 0)
        present_contents_in("/mnt");
}

// A run's faults are those that it takes: what came beforehand is resident and no fault.
static long faults_of_run(void) {
    struct rusage before, after;
    CHECK_EQ(getrusage(RUSAGE_CHILDREN, &before), 0);
    CHECK_EXITED(lend(exec_marked), 0);
    CHECK_EQ(getrusage(RUSAGE_CHILDREN, &after), 0);
    CHECK(after.ru_maxrss >= 40);
    return after.ru_minflt - before.ru_minflt;
}
static void faults_counted(void) {
    snprintf(marked, sizeof marked, "/tmp/exec_state.marked");
    copy_program(marked, 0, 0755);
    const long first = faults_of_run(), second = faults_of_run();
    unlink(marked);
    CHECK(first >= 10 && second >= 1);
    CHECK(second <= first - 5);
}

// --- random bytes ---

static int random_pipe[2];
static int helper_random(void) {
    const char* fd = getenv("RANDOM_PIPE");
    HELP(fd && write(atoi(fd), (const void*)getauxval(AT_RANDOM), 16) == 16);
    return 0;
}
static void random_bytes_differ(void) {
    enum { runs = 50 }; // more than come from one batch of the kernel's
    static uint64_t words[2 * runs];
    char text[16];
    CHECK_EQ(pipe(random_pipe), 0);
    snprintf(text, sizeof text, "%d", random_pipe[1]);
    CHECK_EQ(setenv("RANDOM_PIPE", text, 1), 0);
    for (int i = 0; i < runs; ++i) {
        CHECK_EXITED(execute("random", NULL), 0);
        CHECK_EQ(read(random_pipe[0], words + (size_t)i * 2, 16), 16);
    }
    for (int i = 0; i < 2 * runs; ++i) {
        CHECK(words[i] >> 32 != 0 && (uint32_t)words[i] != 0);
        for (int j = 0; j < i; ++j)
            CHECK(words[i] != words[j]);
    }
}

static void counted(void) {
    long before = check_counter("execs");
    for (int i = 0; i < 5; ++i)
        CHECK_EXITED(execute("nothing", NULL), 0);
    CHECK_EQ(check_counter("execs") - before, 5);
}

static const struct check_case cases[] = {
    {"exec sets the name, resets dumpable and keepcaps and keeps the parent-death signal", flags, 0, false},
    {"EC-73 EC-62 set-id sets the saved id, tells the program, and does nothing under no_new_privs", set_id, 0, false},
    {"exec takes the capabilities of a user that kept them", user_capabilities, 0, false},
    {"EC-114 the borrower executes on the hart of its choice, the lender stays on its own", affinity, 0, false},
    {"exec starts with fresh floating-point state", float_state, 0, false},
    {"FB-11 no alternate stack is left after exec, and SA_ONSTACK does no harm", altstack, 0, false},
    {"LX-16 exec leaves the tables that were shared with the creator alone", shared_tables, 0, false},
    {"NB-19 EC-115 exec ends the creator's wait, lent or copied, and setpgid by the creator", exec_ends_wait, 0, false},
    {"LX-18 LX-19 exec marks the robust futexes of the old memory and clears its tid word", old_memory, 0, false},
    {"EC-76 a thread that executes gets the id of its process", leader_id, 0, false},
    {"EC-83 a script keeps its name, its interpreter one argument, and scripts nest only so deep", script, 0, false},
    {"a program's headers are found wherever they lie, and are those that the file has now", header_places, 0, false},
    {"arguments of any length arrive whole, also those that end with a page of the stack", full_stack_page, 0, false},
    {"any number of arguments arrives whole from wherever it lies, and what cannot be read is EFAULT", placed_arguments,
     0, false},
    {"a program is what its file holds now: rewritten, mapped and changed, replaced, cut off", present_contents, 0,
     false},
    {"pages that come before they are touched are resident, and no faults", faults_counted, 0, true},
    {"every program gets random bytes that none got before", random_bytes_differ, 0, false},
    {"execs are counted", counted, 0, true},
};

int main(int argc, char** argv) {
    static const struct {
        const char* name;
        int (*run)(void);
    } helpers[] = {{"flags", helper_flags},         {"set_id", helper_set_id},
                   {"no_set_id", helper_no_set_id}, {"no_capabilities", helper_no_capabilities},
                   {"on_1", helper_on_1},           {"float", helper_float},
                   {"altstack", helper_altstack},   {"sleep", helper_sleep},
                   {"shared", helper_shared},       {"nothing", helper_nothing},
                   {"leader", helper_leader},       {"marks", helper_marks},
                   {"random", helper_random}};
    if (argc > 1 && strncmp(argv[1], "@script", 7) == 0)
        return helper_script(argc, argv);
    if (argc > 1 && strcmp(argv[1], "@exit") == 0)
        return 0;
    if (argc > 2 && strcmp(argv[1], "@count") == 0)
        return helper_count(argc, argv);
    if (argc > 3 && strcmp(argv[1], "@length") == 0)
        return helper_length(argv);
    if (argc > 2 && strcmp(argv[1], "@helper") == 0)
        for (size_t i = 0; i < sizeof helpers / sizeof helpers[0]; ++i)
            if (strcmp(argv[2], helpers[i].name) == 0)
                return helpers[i].run();
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
