// SPDX-License-Identifier: BSD-2-Clause
// The loan and the terminal: a borrower in the background is never stopped by it (4.2BSD's rule), anybody else is. The
// program must run in the foreground of a terminal; each of its cases is then in the background.
#include "lend.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <termios.h>

static int tty;
static pid_t front;
static struct termios settings;

// The case's group must be in the background of a terminal.
static void set_stage(void) {
    tty = open("/dev/tty", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    CHECK(tty >= 0);
    front = tcgetpgrp(tty);
    CHECK(front > 0 && front != getpgrp());
    CHECK_EQ(tcgetattr(tty, &settings), 0);
}

static void (*alone_act)(void);
static void alone(void) {
    setpgid(0, 0); // the terminal's signals go to a whole group
    alone_act();
}
// What is not allowed to a background process: `act` must stop with `number`.
static void stops(void (*act)(void), int number) {
    int status;
    alone_act = act;
    pid_t pid = spawn(alone);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(WSTOPSIG(status), number);
    kill(pid, SIGKILL);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
}

static void with_tostop(bool wanted) {
    struct termios changed = settings;
    if (wanted)
        changed.c_lflag |= TOSTOP;
    signal(SIGTTOU, SIG_IGN); // a process that ignores it may set a terminal from the background
    CHECK_EQ(tcsetattr(tty, TCSANOW, &changed), 0);
    signal(SIGTTOU, SIG_DFL);
}

static void set_attributes(void) { CHECK_EQ(tcsetattr(tty, TCSANOW, &settings), 0); }
static void flush_and_flow(void) {
    CHECK_EQ(tcflush(tty, TCOFLUSH), 0);
    CHECK_EQ(tcflow(tty, TCOON), 0);
    CHECK_EQ(tcsendbreak(tty, 0), 0);
}
static void ioctls(void) {
    set_stage();
    stops(set_attributes, SIGTTOU);
    stops(flush_and_flow, SIGTTOU);
    lend_ok(set_attributes);
    lend_ok(flush_and_flow);
    stops(set_attributes, SIGTTOU); // the lender is no borrower
}

static void come_to_the_front(void) {
    CHECK_EQ(tcsetpgrp(tty, getpgrp()), 0);
    CHECK_EQ(tcgetpgrp(tty), getpgrp());
    char c;
    CHECK_ERRNO(read(tty, &c, 1), EAGAIN); // in the foreground a borrower reads like anybody
}
static void go_back(void) { CHECK_EQ(tcsetpgrp(tty, front), 0); }
static void foreground(void) {
    set_stage();
    stops(come_to_the_front, SIGTTOU);
    lend_ok(come_to_the_front);
    CHECK_EQ(tcgetpgrp(tty), getpgrp());
    go_back();
}

static void write_a_line(void) { CHECK_EQ(write(tty, ".\n", 2), 2); }
static void write_and_exec(void) {
    setpgid(0, 0);
    write_a_line();
    execl(check_self, check_self, "@write", (char*)NULL);
    _exit(127);
}
static void output(void) {
    set_stage();
    with_tostop(true);
    stops(write_a_line, SIGTTOU);
    lend_ok(write_a_line);
    // The executed program is no borrower any more.
    int status;
    pid_t pid = borrow(write_and_exec);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    bool stopped = WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU;
    kill(pid, SIGKILL);
    with_tostop(false);
    CHECK(stopped);
    lend_ok(write_a_line);
    write_a_line(); // without TOSTOP anybody may
}

static void read_the_end(void) {
    char c;
    CHECK_EQ(read(tty, &c, 1), 0);
    signal(SIGTTIN, SIG_IGN);
    CHECK_EQ(read(tty, &c, 1), 0);
}
static void read_a_byte(void) {
    char c;
    CHECK_ERRNO(read(tty, &c, 1), 0);
}
static void read_and_exec(void) {
    setpgid(0, 0);
    read_the_end();
    signal(SIGTTIN, SIG_DFL);
    execl(check_self, check_self, "@read", (char*)NULL);
    _exit(127);
}
static void input(void) {
    set_stage();
    stops(read_a_byte, SIGTTIN);
    lend_ok(read_the_end);
    int status;
    pid_t pid = borrow(read_and_exec);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(WSTOPSIG(status), SIGTTIN);
    kill(pid, SIGKILL);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
    char c;
    signal(SIGTTIN, SIG_IGN);
    CHECK_ERRNO(read(tty, &c, 1), EIO); // no borrower, no end of file
}

// A borrower that got a task of its own, and a child whose creator waits without lending, are still in the window.
static char thread_stack[16384] __attribute__((aligned(16)));
static int thread_ends(void* unused) {
    syscall(SYS_exit, 0);
    return unused != NULL;
}
static void all_three(void) {
    set_attributes();
    write_a_line();
    read_the_end();
}
static void gift_first(void) {
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    CHECK(clone(thread_ends, thread_stack + sizeof thread_stack, flags, NULL) > 0);
    all_three();
}
static int all_three_and_exit(void* unused) {
    all_three();
    _exit(unused ? 1 : 0);
}
static void whole_window(void) {
    set_stage();
    with_tostop(true);
    int lent = lend(gift_first);
    pid_t pid = clone(all_three_and_exit, thread_stack + sizeof thread_stack, CLONE_VFORK | SIGCHLD, NULL);
    int waited = check_reap(pid);
    with_tostop(false);
    CHECK_EXITED(lent, 0);
    CHECK_EXITED(waited, 0);
}

static const struct check_case cases[] = {
    {"BS-11 a borrower in the background sets the terminal and gets no SIGTTOU", ioctls, 0, true},
    {"BS-11 EC-116 a borrower in the background moves its group to the foreground", foreground, 0, true},
    {"BS-12 a borrower in the background writes in spite of TOSTOP, what it executes does not", output, 0, true},
    {"BS-13 EC-117 a borrower in the background reads the end of file, what it executes gets SIGTTIN", input, 0, true},
    {"BS-11 BS-12 BS-13 the terminal spares a child until its creator's wait is over, gift or copy", whole_window, 0,
     true},
};

int main(int argc, char** argv) {
    if (argc == 2 && (strcmp(argv[1], "@read") == 0 || strcmp(argv[1], "@write") == 0)) {
        char c = '\n';
        int fd = open("/dev/tty", O_RDWR);
        return (argv[1][1] == 'r' ? read(fd, &c, 1) : write(fd, &c, 1)) == 1 ? 0 : 1;
    }
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
