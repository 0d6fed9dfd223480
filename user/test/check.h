// SPDX-License-Identifier: BSD-2-Clause
// What every program under user/test shares: a runner that gives each case a process of its own and a time
// limit, so that a crash or a hang in one case is one `not ok` line and the rest goes on.
//
// Output, and nothing else on standard output: `ok SENTENCE`, `not ok SENTENCE: why`, and last `1..N`.
// The exit status is 0 if and only if cases ran and every one passed. `PROGRAM WORDS` runs only the cases whose sentence
// contains WORDS; `PROGRAM @NAME ...` is how a program executes itself as a helper. With CHECK_ON_LINUX in
// the environment, cases that check a promise only Lentil makes are skipped and say so.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { check_report_fd = 60 }; // where a failing process of a case writes its reason

struct check_case {
    const char* sentence;
    void (*run)(void);
    int seconds;      // time limit; 0 means the default
    bool lentil_only; // a promise that Linux does not make
};

static char check_self[256]; // how to execute this program again

// The reason goes through a pipe, so that any process of the case can fail it, a vfork borrower included.
static inline __attribute__((noreturn, format(printf, 1, 2))) void check_fail(const char* format, ...) {
    char line[400];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2)
        length = sizeof line - 2;
    for (int i = 0; i < length; ++i)
        if (line[i] == '\n')
            line[i] = ' ';
    line[length++] = '\n';
    if (write(check_report_fd, line, (size_t)length) < 0) { /* the exit status still says it */
    }
    _exit(1);
}

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            check_fail("line %d: %s (errno %d)", __LINE__, #condition, errno);                                         \
    } while (0)

#define CHECK_EQ(actual, expected)                                                                                     \
    do {                                                                                                               \
        long check_a = (long)(actual), check_e = (long)(expected);                                                     \
        if (check_a != check_e)                                                                                        \
            check_fail("line %d: %s is %ld, expected %ld (errno %d)", __LINE__, #actual, check_a, check_e, errno);     \
    } while (0)

// A call that must fail with this errno.
#define CHECK_ERRNO(call, expected)                                                                                    \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long check_r = (long)(call);                                                                                   \
        if (check_r != -1 || errno != (expected))                                                                      \
            check_fail("line %d: %s gave %ld errno %d, expected errno %d", __LINE__, #call, check_r, errno,            \
                       (expected));                                                                                    \
    } while (0)

static inline double check_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline void check_sleep_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) < 0 && errno == EINTR) {
    }
}

// Waits for this child and returns its wait status.
static inline int check_reap(pid_t pid) {
    int status = -1;
    pid_t got;
    do
        got = waitpid(pid, &status, 0);
    while (got < 0 && errno == EINTR);
    if (got != pid)
        check_fail("waitpid(%d) gave %d, errno %d", (int)pid, (int)got, errno);
    return status;
}

#define CHECK_EXITED(status, code)                                                                                     \
    do {                                                                                                               \
        int check_s = (status);                                                                                        \
        if (!WIFEXITED(check_s) || WEXITSTATUS(check_s) != (code))                                                     \
            check_fail("line %d: status is 0x%x, expected exit %d", __LINE__, check_s, (int)(code));                   \
    } while (0)

#define CHECK_SIGNALED(status, signal)                                                                                 \
    do {                                                                                                               \
        int check_s = (status);                                                                                        \
        if (!WIFSIGNALED(check_s) || WTERMSIG(check_s) != (signal))                                                    \
            check_fail("line %d: status is 0x%x, expected death by signal %d", __LINE__, check_s, (int)(signal));      \
    } while (0)

// Reads a small file whole; returns its length, or -1. Uses no stdio and no allocation: a borrower may call
// it.
static inline long check_read_file(const char* path, char* buffer, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t length = 0;
    for (;;) {
        ssize_t n = read(fd, buffer + length, size - 1 - length);
        if (n <= 0)
            break;
        length += (size_t)n;
    }
    close(fd);
    buffer[length] = 0;
    return (long)length;
}

// The number after `NAME` at the start of a line of the file, or -1 when there is no such line.
static inline long check_value_in(const char* path, const char* name) {
    char text[8192];
    if (check_read_file(path, text, sizeof text) < 0)
        return -1;
    size_t length = strlen(name);
    for (char* line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n')
            ++line;
        if (strncmp(line, name, length) == 0 && (line[length] == ' ' || line[length] == '\t' || line[length] == ':'))
            return strtol(line + length + strspn(line + length, ": \t"), NULL, 10);
    }
    return -1;
}

static inline long check_counter(const char* name) { return check_value_in("/proc/lentil/counters", name); }

// The state letter in /proc/PID/stat, or 0 if there is no such process.
static inline char check_state_of(pid_t pid) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (check_read_file(path, text, sizeof text) <= 0)
        return 0;
    char* end = strrchr(text, ')');
    return end && end[1] == ' ' ? end[2] : 0;
}

// Waits until a condition holds; fails the case after `seconds`.
#define CHECK_SOON(condition, seconds)                                                                                 \
    do {                                                                                                               \
        double check_end = check_now() + (seconds);                                                                    \
        while (!(condition)) {                                                                                         \
            if (check_now() > check_end)                                                                               \
                check_fail("line %d: not within %d s: %s", __LINE__, (int)(seconds), #condition);                      \
            check_sleep_ms(2);                                                                                         \
        }                                                                                                              \
    } while (0)

static inline bool check_on_linux(void) { return getenv("CHECK_ON_LINUX") != NULL; }

static inline void check_line(const char* format, const char* sentence, const char* why) {
    char line[700];
    int length = snprintf(line, sizeof line, format, sentence, why);
    if (length > (int)sizeof line - 1)
        length = sizeof line - 1;
    for (int done = 0; done < length;) {
        ssize_t n = write(1, line + done, (size_t)(length - done));
        if (n <= 0)
            _exit(3);
        done += (int)n;
    }
}

// One case in a process and process group of its own. True if it passed.
static inline bool check_one(const struct check_case* one) {
    int report[2];
    if (pipe2(report, O_NONBLOCK | O_CLOEXEC) < 0) {
        check_line("not ok %s: %s\n", one->sentence, "the runner cannot make a pipe");
        return false;
    }
    fcntl(report[0], F_SETPIPE_SZ, 4096);
    pid_t pid = fork();
    if (pid < 0) {
        close(report[0]);
        close(report[1]);
        check_line("not ok %s: %s\n", one->sentence, "the runner cannot fork");
        return false;
    }
    if (pid == 0) {
        setpgid(0, 0);
        dup2(report[1], check_report_fd);
        close(report[0]);
        close(report[1]);
        one->run();
        _exit(0);
    }
    setpgid(pid, pid);
    close(report[1]);
    int status = 0;
    const char* slow = getenv("CHECK_SLOW"); // a factor for slow machines
    double end = check_now() + (one->seconds ? one->seconds : 20) * (slow ? atof(slow) : 1.0);
    bool late = false;
    long pause = 1;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (!late && check_now() > end) {
            late = true;
            kill(-pid, SIGKILL);
            kill(pid, SIGKILL);
            end = check_now() + 30;
        } else if (late && check_now() > end) {
            check_line("not ok %s: %s\n", one->sentence, "it hangs and does not even die of SIGKILL");
            close(report[0]);
            return false;
        }
        check_sleep_ms(pause);
        if (pause < 20)
            ++pause;
    }
    kill(-pid, SIGKILL); // what the case left behind
    char why[500];
    ssize_t length = read(report[0], why, sizeof why - 1);
    close(report[0]);
    if (length > 0) {
        why[length] = 0;
        why[strcspn(why, "\n")] = 0;
    } else if (late) {
        snprintf(why, sizeof why, "it did not finish in time");
    } else if (WIFSIGNALED(status)) {
        snprintf(why, sizeof why, "it died of signal %d", WTERMSIG(status));
    } else if (WEXITSTATUS(status) != 0) {
        snprintf(why, sizeof why, "it exited with %d", WEXITSTATUS(status));
    } else {
        check_line("ok %s\n%s", one->sentence, "");
        return true;
    }
    check_line("not ok %s: %s\n", one->sentence, why);
    return false;
}

static inline int check_main(int argc, char** argv, const struct check_case* cases, size_t count) {
    snprintf(check_self, sizeof check_self, "%s", argv[0]);
    for (int number = 1; number < 32; ++number)
        signal(number, SIG_DFL); // whatever the shell ignores
    bool good = true;
    char plan[32] = "";
    size_t ran = 0;
    for (size_t i = 0; i < count; ++i) {
        if (argc > 1 && !strstr(cases[i].sentence, argv[1]))
            continue;
        ++ran;
        if (cases[i].lentil_only && check_on_linux())
            check_line("ok %s # skip%s\n", cases[i].sentence, " Linux makes no such promise");
        else
            good = check_one(&cases[i]) && good;
    }
    snprintf(plan, sizeof plan, "1..%zu", ran);
    check_line("%s\n%s", plan, "");
    return good && ran > 0 ? 0 : 1;
}

#define CHECK_MAIN(cases)                                                                                              \
    int main(int argc, char** argv) { return check_main(argc, argv, cases, sizeof(cases) / sizeof(cases)[0]); }
