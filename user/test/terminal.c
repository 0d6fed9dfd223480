// SPDX-License-Identifier: BSD-2-Clause
// Job control from the background, without loans: whom a terminal obeys, tells and refuses. The program must run in the
// foreground of a terminal; each of its cases is then a group in the background.
#include "lend.h"

#include <sys/ioctl.h>
#include <termios.h>

static int tty;
static pid_t front;

static void set_stage(void) {
    tty = open("/dev/tty", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    CHECK(tty >= 0);
    front = tcgetpgrp(tty);
    CHECK(front > 0 && front != getpgrp());
}

static void own_session(void) {
    CHECK(setsid() > 0);
    for (;;)
        pause();
}
static void own_group(void) {
    CHECK_EQ(setpgid(0, 0), 0);
    for (;;)
        pause();
}
static void foreground_rules(void) {
    set_stage();
    signal(SIGTTOU, SIG_IGN);
    pid_t stranger = spawn(own_session), neighbour = spawn(own_group);
    CHECK_SOON(getsid(stranger) == stranger, 5);
    CHECK_SOON(getpgid(neighbour) == neighbour, 5);
    CHECK_ERRNO(tcsetpgrp(tty, stranger), EPERM);
    CHECK_ERRNO(tcsetpgrp(tty, 32000), ESRCH);
    CHECK_EQ(tcsetpgrp(tty, neighbour), 0);
    CHECK_EQ(tcgetpgrp(tty), neighbour);
    CHECK_EQ(tcsetpgrp(tty, front), 0);
    CHECK_ERRNO(ioctl(tty, TIOCNOTTY), EPERM); // not ours alone to give up
    CHECK_EQ(tcgetpgrp(tty), front);
    kill(stranger, SIGKILL);
    kill(neighbour, SIGKILL);
    check_reap(stranger);
    check_reap(neighbour);
}

static void steal(void) {
    CHECK_ERRNO(ioctl(tty, TIOCSCTTY, 1), EPERM); // leads no session
    CHECK(setsid() > 0);
    CHECK_ERRNO(ioctl(tty, TIOCSCTTY, 0), EPERM); // others have it
    CHECK_EQ(setuid(65534), 0);
    CHECK_ERRNO(ioctl(tty, TIOCSCTTY, 1), EPERM);
}
static void stolen(void) {
    set_stage();
    CHECK_EXITED(check_reap(spawn(steal)), 0);
    CHECK_EQ(tcgetpgrp(tty), front);
}

static volatile int resized;
static void count_resize(int number) {
    (void)number;
    ++resized;
}
static void window(void) {
    struct winsize size, other;
    set_stage();
    signal(SIGTTOU, SIG_IGN);
    CHECK(signal(SIGWINCH, count_resize) != SIG_ERR);
    CHECK_EQ(ioctl(tty, TIOCGWINSZ, &size), 0);
    other = size;
    other.ws_row = (unsigned short)(size.ws_row + 7);
    CHECK_EQ(ioctl(tty, TIOCSWINSZ, &other), 0);
    CHECK_EQ(resized, 0); // the foreground is told, not the background
    CHECK_EQ(tcsetpgrp(tty, getpgrp()), 0);
    CHECK_EQ(ioctl(tty, TIOCSWINSZ, &other), 0);
    CHECK_EQ(resized, 0); // nothing has changed
    CHECK_EQ(ioctl(tty, TIOCSWINSZ, &size), 0);
    CHECK_EQ(resized, 1);
    CHECK_EQ(tcsetpgrp(tty, front), 0);
}

static volatile int* shared;
static void read_as_orphan(void) {
    char c;
    CHECK_EQ(setpgid(0, 0), 0);
    CHECK_SOON(getppid() != shared[0], 5);
    shared[2] = (int)read(tty, &c, 1);
    shared[3] = errno;
    shared[1] = 1;
}
static void leave_orphan(void) {
    shared[0] = getpid();
    spawn(read_as_orphan);
}
static void orphans(void) {
    set_stage();
    shared = shared_memory(4096);
    CHECK_EXITED(check_reap(spawn(leave_orphan)), 0);
    CHECK_SOON(shared[1], 10); // it was not stopped: nobody could continue it
    CHECK_EQ(shared[2], -1);
    CHECK_EQ(shared[3], EIO);
}

static void ignored(void) {
    char c;
    struct termios settings;
    set_stage();
    CHECK_EQ(tcgetattr(tty, &settings), 0);
    signal(SIGTTIN, SIG_IGN);
    CHECK_ERRNO(read(tty, &c, 1), EIO);
    signal(SIGTTIN, SIG_DFL);
    signal(SIGTTOU, SIG_IGN);
    CHECK_EQ(tcsetattr(tty, TCSANOW, &settings), 0);
    signal(SIGTTOU, SIG_DFL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTTOU);
    sigaddset(&set, SIGTTIN);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    CHECK_EQ(tcsetattr(tty, TCSANOW, &settings), 0);
    CHECK_ERRNO(read(tty, &c, 1), EIO);
}

static void no_session_for_leaders(void) {
    CHECK_EQ(getpgrp(), getpid());
    CHECK_ERRNO(setsid(), EPERM); // its number is a group's
    pid_t pid = fork();
    if (pid == 0)
        _exit(setsid() == getpid() ? 0 : 1);
    CHECK_EXITED(check_reap(pid), 0);
}

// Born into a session whose leader is gone, where its memory may have been the leader's.
static void move_to_own_group(void) { CHECK_EQ(setpgid(0, 0), 0); }
static void outlive_the_leader(void) {
    CHECK_SOON(shared[0], 10); // waited for
    for (int i = 0; i < 30; ++i)
        CHECK_EXITED(check_reap(spawn(move_to_own_group)), 0);
    shared[1] = 1;
}
static void lead_and_leave(void) {
    CHECK(setsid() > 0);
    spawn(outlive_the_leader);
}
static void leaderless(void) {
    shared = shared_memory(4096);
    for (int i = 0; i < 5; ++i) {
        shared[0] = shared[1] = 0;
        CHECK_EXITED(check_reap(spawn(lead_and_leave)), 0);
        shared[0] = 1;
        CHECK_SOON(shared[1], 20);
    }
}

static const struct check_case cases[] = {
    {"a terminal takes groups of its session alone, and is given up by its leader alone", foreground_rules, 0, false},
    {"a session's terminal is taken away by nobody without the right to", stolen, 0, false},
    {"a new window size is told to the foreground, the same size to nobody", window, 0, false},
    {"BS-15 an orphaned group that reads in the background gets EIO and is not stopped", orphans, 0, false},
    {"who ignores or blocks SIGTTIN reads EIO, who ignores or blocks SIGTTOU may change the terminal", ignored, 0,
     false},
    {"a leader of a group cannot make a session", no_session_for_leaders, 0, false},
    {"who is born when the session's leader is gone is not taken for it", leaderless, 60, false},
};

// For test/boot: waits for a line that is typed, and says how much of it is left after TCSANOW and after TCSAFLUSH.
static int type_ahead(void) {
    struct termios settings;
    int typed = 0, left[2] = {-1, -1};
    printf("type ahead\n");
    fflush(stdout);
    while (ioctl(0, FIONREAD, &typed) == 0 && typed == 0)
        check_sleep_ms(5);
    if (tcgetattr(0, &settings) != 0 || tcsetattr(0, TCSANOW, &settings) != 0 || ioctl(0, FIONREAD, &left[0]) != 0 ||
        tcsetattr(0, TCSAFLUSH, &settings) != 0 || ioctl(0, FIONREAD, &left[1]) != 0)
        return 1;
    printf("typed %d, left %d and %d\n", typed, left[0], left[1]);
    return 0;
}

int main(int argc, char** argv) {
    if (argc == 2 && strcmp(argv[1], "@type") == 0)
        return type_ahead();
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
