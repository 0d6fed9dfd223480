// SPDX-License-Identifier: BSD-2-Clause
// Pseudo-terminals: numbers and names, the way through the line discipline, packet mode, window size, and what either side
// sees of the other's end.
#include "check.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441
#endif

static int open_master(void) {
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(master >= 0);
    return master;
}
static int open_slave(int master) {
    char name[64];
    CHECK_EQ(grantpt(master), 0);
    CHECK_EQ(unlockpt(master), 0);
    CHECK_EQ(ptsname_r(master, name, sizeof name), 0);
    int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(slave >= 0);
    return slave;
}
static void make_raw(int slave) {
    struct termios t;
    CHECK_EQ(tcgetattr(slave, &t), 0);
    cfmakeraw(&t);
    CHECK_EQ(tcsetattr(slave, TCSANOW, &t), 0);
}
static short events_of(int fd) {
    struct pollfd p = {fd, POLLIN | POLLOUT | POLLPRI, 0};
    CHECK(poll(&p, 1, 0) >= 0);
    return p.revents;
}
static void expect_text(int fd, const char* text) {
    char buffer[200];
    size_t wanted = strlen(text), got = 0;
    while (got < wanted) {
        ssize_t n = read(fd, buffer + got, sizeof buffer - got);
        if (n <= 0)
            check_fail("read gave %ld, errno %d, after %zu bytes of \"%s\"", (long)n, errno, got, text);
        got += (size_t)n;
    }
    if (got != wanted || memcmp(buffer, text, wanted) != 0)
        check_fail("read \"%.*s\", expected \"%s\"", (int)got, buffer, text);
}

static void names(void) {
    int first = open_master(), second = open_master();
    int a = -1, b = -1;
    CHECK_EQ(ioctl(first, TIOCGPTN, &a), 0);
    CHECK_EQ(ioctl(second, TIOCGPTN, &b), 0);
    CHECK(a >= 0 && b >= 0 && a != b);
    char name[64], other[64];
    CHECK_EQ(ptsname_r(first, name, sizeof name), 0);
    snprintf(other, sizeof other, "/dev/pts/%d", a);
    CHECK_EQ(strcmp(name, other), 0);
    struct stat st;
    CHECK_EQ(stat(name, &st), 0);
    CHECK(S_ISCHR(st.st_mode));
    CHECK_EQ(major(st.st_rdev), 136);
    CHECK_EQ(minor(st.st_rdev), a);
    int slave = open_slave(first);
    CHECK(isatty(slave) && isatty(first));
    CHECK_EQ(ttyname_r(slave, other, sizeof other), 0);
    CHECK_EQ(strcmp(name, other), 0);
    close(first);
    CHECK_ERRNO(stat(name, &st), ENOENT); // the name goes with the master
    close(slave);
    int third = open_master(), c = -1;
    CHECK_EQ(ioctl(third, TIOCGPTN, &c), 0);
    CHECK_EQ(c, a); // and the number when both are gone
}

static void locked(void) {
    int master = open_master(), lock = -1;
    char name[64];
    CHECK_EQ(ptsname_r(master, name, sizeof name), 0);
    CHECK_ERRNO(open(name, O_RDWR | O_NOCTTY), EIO);
    CHECK_EQ(ioctl(master, TIOCGPTLCK, &lock), 0);
    CHECK_EQ(lock, 1);
    CHECK_ERRNO(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY), EIO);
    lock = 0;
    CHECK_EQ(ioctl(master, TIOCSPTLCK, &lock), 0);
    int slave = open(name, O_RDWR | O_NOCTTY);
    CHECK(slave >= 0);
    CHECK_ERRNO(ioctl(slave, TIOCGPTN, &lock), ENOTTY);
    CHECK_ERRNO(ioctl(slave, TIOCSPTLCK, &lock), ENOTTY);
}

static void peer(void) {
    int master = open_master(), lock = 0;
    CHECK_EQ(ioctl(master, TIOCSPTLCK, &lock), 0);
    int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(slave >= 0);
    CHECK_EQ(fcntl(slave, F_GETFD), FD_CLOEXEC);
    char name[64], other[64];
    CHECK_EQ(ptsname_r(master, name, sizeof name), 0);
    CHECK_EQ(ttyname_r(slave, other, sizeof other), 0);
    CHECK_EQ(strcmp(name, other), 0);
    CHECK_EQ(write(slave, "x", 1), 1);
    expect_text(master, "x");
}

static void cooked(void) {
    int master = open_master(), slave = open_slave(master), n = -1;
    CHECK_EQ(write(slave, "out\n", 4), 4);
    expect_text(master, "out\r\n");
    CHECK_EQ(write(master, "wrong\177\177ite", 10), 10);
    CHECK_EQ(ioctl(slave, FIONREAD, &n), 0);
    CHECK_EQ(n, 0); // not a line yet
    CHECK_EQ(events_of(slave) & POLLIN, 0);
    CHECK_EQ(write(master, "\r", 1), 1);
    CHECK_EQ(events_of(slave) & POLLIN, POLLIN);
    expect_text(slave, "wroite\n");
    expect_text(master, "wrong\b \b\b \bite\r\n");
    CHECK_EQ(write(master, "end\004\004", 5), 5);
    char c[10];
    CHECK_EQ(read(slave, c, sizeof c), 3);
    CHECK_EQ(read(slave, c, sizeof c), 0);
}

static void raw(void) {
    int master = open_master(), slave = open_slave(master);
    make_raw(slave);
    static char block[100000];
    for (size_t i = 0; i < sizeof block; ++i)
        block[i] = (char)(i * 7 + i / 251);
    for (int direction = 0; direction < 2; ++direction) {
        int from = direction ? slave : master, to = direction ? master : slave;
        pid_t writer = fork();
        if (writer == 0) {
            for (size_t done = 0; done < sizeof block;) {
                ssize_t n = write(from, block + done, sizeof block - done);
                CHECK(n > 0);
                done += (size_t)n;
            }
            _exit(0);
        }
        static char got[sizeof block];
        for (size_t done = 0; done < sizeof got;) {
            ssize_t n = read(to, got + done, sizeof got - done);
            CHECK(n > 0);
            done += (size_t)n;
        }
        CHECK_EQ(memcmp(block, got, sizeof got), 0); // nothing lost, however slow the reader
        CHECK_EXITED(check_reap(writer), 0);
    }
}

static void full(void) {
    int master = open_master(), slave = open_slave(master);
    make_raw(slave);
    char block[1000] = {0};
    for (int direction = 0; direction < 2; ++direction) {
        int from = direction ? slave : master, to = direction ? master : slave;
        CHECK_EQ(fcntl(from, F_SETFL, O_RDWR | O_NONBLOCK), 0);
        CHECK_EQ(fcntl(to, F_SETFL, O_RDWR | O_NONBLOCK), 0);
        CHECK_ERRNO(read(to, block, sizeof block), EAGAIN);
        long total = 0, back = 0, n;
        while ((n = write(from, block, sizeof block)) > 0)
            total += n;
        CHECK_EQ(errno, EAGAIN);
        CHECK(total >= 4095);
        CHECK_EQ(events_of(from) & POLLOUT, 0);
        for (int tries = 0; back < total && tries < 500; ++tries) {
            while ((n = read(to, block, sizeof block)) > 0)
                back += n;
            check_sleep_ms(back < total ? 10 : 0);
        }
        CHECK_EQ(back, total);
        CHECK_EQ(events_of(from) & POLLOUT, POLLOUT);
    }
}

static void slave_closes(void) {
    int master = open_master();
    char c[10];
    CHECK_EQ(fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    CHECK_ERRNO(read(master, c, 1), EAGAIN); // nobody came yet: not the end
    CHECK_EQ(events_of(master) & POLLHUP, 0);
    int slave = open_slave(master);
    CHECK_EQ(write(slave, "last", 4), 4);
    close(slave);
    CHECK_EQ(events_of(master) & (POLLHUP | POLLIN), POLLHUP | POLLIN);
    expect_text(master, "last");
    CHECK_ERRNO(read(master, c, 1), EIO);
    CHECK_EQ(events_of(master) & POLLHUP, POLLHUP);
    slave = open_slave(master);
    CHECK_EQ(events_of(master) & POLLHUP, 0); // another one came
    CHECK_ERRNO(read(master, c, 1), EAGAIN);
    CHECK_EQ(write(slave, "back", 4), 4);
    expect_text(master, "back");
}

static void wakes_reader(void) {
    int master = open_master(), slave = open_slave(master);
    pid_t child = fork();
    if (child == 0) {
        close(master);
        check_sleep_ms(50);
        _exit(0); // the last to have it open
    }
    close(slave);
    char c;
    CHECK_ERRNO(read(master, &c, 1), EIO);
    CHECK_EXITED(check_reap(child), 0);
}

static void master_closes(void) {
    int master = open_master(), slave = open_slave(master);
    struct termios t;
    CHECK_EQ(write(master, "never read\n", 11), 11);
    close(master);
    char c[20];
    CHECK_EQ(read(slave, c, sizeof c), 0);
    CHECK_ERRNO(write(slave, "x", 1), EIO);
    CHECK_ERRNO(tcgetattr(slave, &t), EIO);
    CHECK_EQ(events_of(slave) & (POLLIN | POLLOUT | POLLHUP), POLLIN | POLLOUT | POLLHUP);
}

// A session of its own on the slave; says on `report` what it is told.
static int report_fd;
static volatile int told;
static void tell(int number) {
    char c = (char)number;
    ++told;
    if (write(report_fd, &c, 1) < 0)
        _exit(9);
}
static void become_leader(int slave) {
    CHECK(setsid() > 0);
    CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
}
// Longer than the session, not for good: nobody ends what has left the case's process group.
static _Noreturn void stay(void) {
    alarm(10);
    for (;;)
        pause();
}
static int read_note(int fd) {
    char c;
    struct pollfd p = {fd, POLLIN, 0};
    if (poll(&p, 1, 5000) != 1)
        return -1;
    return read(fd, &c, 1) == 1 ? c : 0;
}

static void hang_up(void) {
    int master = open_master(), slave = open_slave(master), notes[2];
    CHECK_EQ(pipe(notes), 0);
    pid_t leader = fork();
    if (leader == 0) {
        close(master);
        report_fd = notes[1];
        signal(SIGHUP, tell);
        signal(SIGCONT, tell);
        become_leader(slave);
        pid_t front = fork();
        if (front == 0) {
            signal(SIGCONT, SIG_DFL);
            CHECK_EQ(setpgid(0, 0), 0);
            tell('f');
            stay();
        }
        setpgid(front, front);
        signal(SIGTTOU, SIG_IGN);
        CHECK_EQ(tcsetpgrp(slave, front), 0);
        tell('l');
        while (told < 3) // that and two signals
            check_sleep_ms(5);
        if (open("/dev/tty", O_RDWR) != -1 || errno != ENXIO)
            tell('t');
        _exit(3); // now the group that was in front hears of it
    }
    close(slave);
    close(notes[1]);
    int first = read_note(notes[0]), second = read_note(notes[0]);
    CHECK((first == 'f' && second == 'l') || (first == 'l' && second == 'f'));
    check_sleep_ms(50);
    close(master);
    int a = read_note(notes[0]), b = read_note(notes[0]);
    CHECK((a == SIGHUP && b == SIGCONT) || (a == SIGCONT && b == SIGHUP));
    CHECK_EXITED(check_reap(leader), 3);
    CHECK_EQ(read_note(notes[0]), SIGHUP);
}

static void leader_ends(void) {
    int master = open_master(), slave = open_slave(master), notes[2];
    CHECK_EQ(pipe(notes), 0);
    pid_t leader = fork();
    if (leader == 0) {
        report_fd = notes[1];
        become_leader(slave);
        signal(SIGHUP, tell);
        if (fork() == 0)
            stay();
        check_sleep_ms(50);
        signal(SIGHUP, SIG_IGN);
        _exit(0);
    }
    close(notes[1]);
    CHECK_EXITED(check_reap(leader), 0);
    CHECK_EQ(read_note(notes[0]), SIGHUP); // the group in front, which lives on
    CHECK_EQ(write(slave, "still here", 10), 10);
    expect_text(master, "still here");
}

static void interrupt_key(void) {
    int master = open_master(), slave = open_slave(master), notes[2];
    CHECK_EQ(pipe(notes), 0);
    pid_t leader = fork();
    if (leader == 0) {
        report_fd = notes[1];
        signal(SIGINT, tell);
        signal(SIGQUIT, tell);
        signal(SIGWINCH, tell);
        become_leader(slave);
        tell('r');
        for (;;)
            pause();
    }
    CHECK_EQ(read_note(notes[0]), 'r');
    CHECK_EQ(write(master, "lost", 4), 4);
    expect_text(master, "lost");
    CHECK_EQ(write(slave, "unread", 6), 6);
    CHECK_EQ(write(master, "\003", 1), 1);
    CHECK_EQ(read_note(notes[0]), SIGINT);
    expect_text(master, "^C"); // what was on its way is thrown away
    CHECK_EQ(ioctl(master, TIOCSIG, SIGQUIT), 0);
    CHECK_EQ(read_note(notes[0]), SIGQUIT);
    CHECK_ERRNO(ioctl(master, TIOCSIG, SIGUSR1), EINVAL);
    struct winsize size = {33, 101, 0, 0}, seen;
    CHECK_EQ(ioctl(master, TIOCSWINSZ, &size), 0);
    CHECK_EQ(read_note(notes[0]), SIGWINCH);
    CHECK_EQ(ioctl(slave, TIOCGWINSZ, &seen), 0);
    CHECK(seen.ws_row == 33 && seen.ws_col == 101);
    int front = 0, session = 0;
    CHECK_EQ(ioctl(master, TIOCGPGRP, &front), 0); // the master sees whom its slave serves
    CHECK_EQ(front, leader);
    CHECK_EQ(ioctl(master, TIOCGSID, &session), 0);
    CHECK_EQ(session, leader);
    CHECK_ERRNO(ioctl(slave, TIOCGPGRP, &front), ENOTTY); // it is not ours
    kill(leader, SIGKILL);
    check_reap(leader);
}

static void settings(void) {
    int master = open_master(), slave = open_slave(master);
    struct termios t, u;
    CHECK_EQ(tcgetattr(master, &t), 0);
    CHECK_EQ(tcgetattr(slave, &u), 0);
    CHECK_EQ(t.c_lflag, u.c_lflag); // one terminal, seen from both sides
    t.c_lflag &= ~(unsigned)ECHO;
    CHECK_EQ(tcsetattr(master, TCSANOW, &t), 0);
    CHECK_EQ(tcgetattr(slave, &u), 0);
    CHECK_EQ(u.c_lflag & ECHO, 0);
    CHECK_EQ(write(master, "secret\n", 7), 7);
    expect_text(slave, "secret\n");
    CHECK_EQ(fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    char c[10];
    CHECK_ERRNO(read(master, c, sizeof c), EAGAIN);
    struct winsize size = {1, 2, 3, 4};
    CHECK_EQ(ioctl(slave, TIOCGWINSZ, &size), 0);
    CHECK(size.ws_row == 0 && size.ws_col == 0); // nobody said
}

static void packets(void) {
    int master = open_master(), slave = open_slave(master), on = 1;
    char c[50];
    CHECK_EQ(fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    CHECK_EQ(ioctl(master, TIOCPKT, &on), 0);
    on = 0;
    CHECK_EQ(ioctl(master, TIOCGPKT, &on), 0);
    CHECK_EQ(on, 1);
    CHECK_ERRNO(read(master, c, sizeof c), EAGAIN);
    CHECK_EQ(write(slave, "data", 4), 4);
    CHECK_EQ(events_of(master) & (POLLIN | POLLPRI), POLLIN);
    CHECK_EQ(read(master, c, sizeof c), 5);
    CHECK(c[0] == TIOCPKT_DATA && memcmp(c + 1, "data", 4) == 0);
    CHECK_EQ(tcflush(slave, TCIFLUSH), 0);
    CHECK_EQ(events_of(master) & POLLPRI, POLLPRI);
    CHECK_EQ(read(master, c, sizeof c), 1);
    CHECK_EQ(c[0], TIOCPKT_FLUSHREAD);
    CHECK_EQ(write(slave, "gone", 4), 4);
    CHECK_EQ(tcflow(slave, TCOOFF), 0);
    CHECK_EQ(read(master, c, sizeof c), 1);
    CHECK_EQ(c[0], TIOCPKT_STOP);
    CHECK_EQ(tcflow(slave, TCOON), 0);
    CHECK_EQ(read(master, c, sizeof c), 1);
    CHECK_EQ(c[0], TIOCPKT_START);
    struct termios t;
    CHECK_EQ(tcgetattr(slave, &t), 0);
    t.c_iflag &= ~(unsigned)IXON;
    CHECK_EQ(tcsetattr(slave, TCSANOW, &t), 0);
    CHECK_EQ(read(master, c, sizeof c), 1);
    CHECK_EQ(c[0], TIOCPKT_NOSTOP);
    t.c_iflag |= IXON;
    CHECK_EQ(tcsetattr(slave, TCSANOW, &t), 0);
    CHECK_EQ(read(master, c, sizeof c), 1);
    CHECK_EQ(c[0], TIOCPKT_DOSTOP);
    on = 0;
    CHECK_EQ(ioctl(master, TIOCPKT, &on), 0);
    CHECK_EQ(read(master, c, sizeof c), 4);
    CHECK_EQ(memcmp(c, "gone", 4), 0);
}

static void more_packets(void) {
    int master = open_master(), slave = open_slave(master), on = 1, off = 0;
    char c[50];
    CHECK_EQ(fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    CHECK_EQ(ioctl(master, TIOCPKT, &on), 0);
    CHECK_EQ(write(slave, "lost", 4), 4);
    CHECK_EQ(tcflush(slave, TCOFLUSH), 0);
    CHECK_EQ(read(master, c, sizeof c), 1);
    CHECK_EQ(c[0], TIOCPKT_FLUSHWRITE);
    CHECK_ERRNO(read(master, c, sizeof c), EAGAIN);
    CHECK_EQ(tcflow(slave, TCOOFF), 0); // of two opposites the later one holds
    CHECK_EQ(tcflow(slave, TCOON), 0);
    CHECK_EQ(tcflow(slave, TCOOFF), 0);
    CHECK_EQ(read(master, c, sizeof c), 1);
    CHECK_EQ(c[0], TIOCPKT_STOP);
    CHECK_EQ(tcflow(slave, TCOON), 0);
    CHECK_EQ(tcflow(slave, TCOOFF), 0);
    CHECK_EQ(tcflow(slave, TCOON), 0);
    CHECK_EQ(read(master, c, sizeof c), 1);
    CHECK_EQ(c[0], TIOCPKT_START);
    CHECK_EQ(tcflow(slave, TCOOFF), 0);
    CHECK_EQ(ioctl(master, TIOCPKT, &on), 0);
    CHECK_EQ(events_of(master) & POLLPRI, POLLPRI); // it was on: nothing is forgotten
    CHECK_EQ(ioctl(master, TIOCPKT, &off), 0);
    CHECK_EQ(ioctl(master, TIOCPKT, &on), 0);
    CHECK_ERRNO(read(master, c, sizeof c), EAGAIN);
}

static void flushed_by_the_master(void) {
    int master = open_master(), slave = open_slave(master);
    char c[50];
    CHECK_EQ(fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    CHECK_EQ(write(slave, "kept", 4), 4);
    CHECK_EQ(tcflush(master, TCOFLUSH), 0);
    CHECK_EQ(read(master, c, sizeof c), 4);
    CHECK_EQ(write(slave, "lost", 4), 4);
    CHECK_EQ(tcflush(master, TCIFLUSH), 0);
    CHECK_ERRNO(read(master, c, sizeof c), EAGAIN);
}

static void room_for_echo(void) {
    int master = open_master(), slave = open_slave(master);
    static char text[65536];
    memset(text, 'x', sizeof text);
    CHECK_EQ(fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    CHECK_EQ(fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    while (write(slave, text, sizeof text) > 0)
        ;
    while (write(slave, "x", 1) > 0)
        ;
    CHECK_EQ(write(master, "typed\n", 6), 6);
    size_t length = 0;
    for (ssize_t n; (n = read(master, text + length, sizeof text - length)) > 0;)
        length += (size_t)n;
    CHECK(length > 7 && memcmp(text + length - 7, "typed\r\n", 7) == 0);
}

static void closed_by_all(void) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(setsid() > 0);
        int master = open_master(), slave = open_slave(master);
        CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
        int own = open("/dev/tty", O_RDWR | O_CLOEXEC);
        CHECK(own >= 0);
        close(slave);
        int again = open("/dev/tty", O_RDWR | O_CLOEXEC);
        CHECK(again >= 0);
        close(again);
        close(own);
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        CHECK(open_slave(master) >= 0); // it can be opened again, but is nobody's
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
}

static void stopped_output(void) {
    int master = open_master(), slave = open_slave(master);
    char c[10];
    CHECK_EQ(write(master, "\023", 1), 1); // ^S
    check_sleep_ms(50);                    // Linux has it delivered by another thread
    CHECK_EQ(fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    CHECK_EQ(fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK), 0);
    CHECK_ERRNO(read(master, c, sizeof c), EAGAIN);
    CHECK_ERRNO(write(slave, "x", 1), EAGAIN);
    CHECK_EQ(write(master, "\021", 1), 1); // ^Q
    check_sleep_ms(50);
    CHECK_EQ(write(slave, "y", 1), 1);
    expect_text(master, "y");
}

static void first_terminal(void) {
    int master = open_master(), lock = 0;
    char name[64];
    CHECK_EQ(ioctl(master, TIOCSPTLCK, &lock), 0);
    CHECK_EQ(ptsname_r(master, name, sizeof name), 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(setsid() > 0);
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        int slave = open(name, O_RDWR);
        CHECK(slave >= 0);
        int tty = open("/dev/tty", O_RDWR); // opening it made it ours
        CHECK(tty >= 0);
        CHECK_EQ(tcgetpgrp(tty), getpid());
        close(slave);
        CHECK_EQ(write(tty, "here", 4), 4);
        _exit(0);
    }
    expect_text(master, "here");
    CHECK_EXITED(check_reap(child), 0);
}

int main(int argc, char** argv) {
    static const struct check_case cases[] = {
        {"each pty has a number, and its slave a name in /dev/pts as long as the master is open", names, 0, false},
        {"a slave cannot be opened before it is unlocked", locked, 0, false},
        {"TIOCGPTPEER opens the slave without its path", peer, 0, false},
        {"the line discipline lies between the master and the slave", cooked, 0, false},
        {"raw bytes pass in both directions, none lost when the reader is slow", raw, 30, false},
        {"a full pty blocks writers of either side", full, 30, false},
        {"the master reads what is left and then EIO when the last slave was closed", slave_closes, 0, false},
        {"the close of the last slave wakes a reader of the master", wakes_reader, 0, false},
        {"the close of the master hangs the slave up", master_closes, 0, false},
        {"a hang-up sends SIGHUP and SIGCONT to the leader, and to the group in front when the leader ends", hang_up,
         20, false},
        {"the end of the leader sends SIGHUP to the group in front and leaves the pty usable", leader_ends, 20, false},
        {"keys, TIOCSIG and a new window size signal the group in front", interrupt_key, 20, false},
        {"settings and window are those of one terminal from both sides", settings, 0, false},
        {"packet mode tells the master of data, flushes, stops and the meaning of ^S", packets, 0, false},
        {"packet mode tells of lost output, and of the later of two opposites; turned on anew it forgets", more_packets,
         0, false},
        {"a master that flushes loses what it has not read, not what it wrote", flushed_by_the_master, 0, true},
        {"a slave's output leaves room for echo", room_for_echo, 0, true},
        {"a session has its terminal as long as somebody has that open", closed_by_all, 20, true},
        {"^S at the master stops the slave's output and ^Q lets it go", stopped_output, 0, false},
        {"the first terminal that a session leader opens becomes its own", first_terminal, 20, false},
    };
    return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
