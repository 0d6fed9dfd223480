// SPDX-License-Identifier: BSD-2-Clause
// System V message queues: which message comes, what happens when a queue is full, empty or gone.
#include "check.h"

#include <sys/ipc.h>
#include <sys/msg.h>

struct message {
    long type;
    char text[9000];
};
static struct message buffer;

static int make(void) {
    int id = msgget(IPC_PRIVATE, 0600);
    CHECK(id >= 0);
    return id;
}

static int put(int id, long type, const char* text, int flags) {
    struct message m = {.type = type};
    strcpy(m.text, text);
    return msgsnd(id, &m, strlen(text), flags);
}

static const char* take(int id, long type, int flags) {
    ssize_t n = msgrcv(id, &buffer, sizeof buffer.text, type, flags);
    if (n < 0)
        return NULL;
    buffer.text[n] = 0;
    return buffer.text;
}

#define CHECK_TAKES(type, flags, expected)                                                                             \
    do {                                                                                                               \
        const char* check_got = take(id, type, flags);                                                                 \
        if (!check_got || strcmp(check_got, expected) != 0)                                                            \
            check_fail("line %d: %s, expected %s", __LINE__, check_got ? check_got : strerror(errno), expected);       \
    } while (0)

static void which_message(void) {
    int id = make();
    CHECK(put(id, 3, "c", 0) == 0 && put(id, 1, "a", 0) == 0 && put(id, 2, "b", 0) == 0 && put(id, 3, "d", 0) == 0);
    CHECK(put(id, 1, "e", 0) == 0 && put(id, 5, "", 0) == 0);
    struct msqid_ds s;
    CHECK(msgctl(id, IPC_STAT, &s) == 0);
    CHECK_EQ(s.msg_qnum, 6);
    CHECK_EQ(s.__msg_cbytes, 5);
    CHECK_EQ(s.msg_qbytes, 16384);
    CHECK_EQ(s.msg_lspid, getpid());
    CHECK_EQ(s.msg_lrpid, 0);
    CHECK(s.msg_stime != 0 && s.msg_rtime == 0);
    CHECK_TAKES(2, MSG_COPY | IPC_NOWAIT, "b"); // by number, and it stays
    CHECK_TAKES(2, 0, "b");
    CHECK_EQ(buffer.type, 2);
    CHECK_TAKES(-3, 0, "a"); // the lowest type up to 3
    CHECK_TAKES(3, MSG_EXCEPT, "e");
    CHECK_TAKES(0, 0, "c");
    CHECK(take(id, 7, IPC_NOWAIT) == NULL && errno == ENOMSG);
    CHECK_TAKES(-100, 0, "d");
    CHECK_TAKES(0, 0, "");
    CHECK_EQ(buffer.type, 5);
    CHECK(take(id, 0, IPC_NOWAIT) == NULL && errno == ENOMSG);
    CHECK(take(id, 0, IPC_NOWAIT | MSG_COPY) == NULL && errno == ENOMSG);
    CHECK(take(id, 0, MSG_COPY) == NULL && errno == EINVAL);
    CHECK(put(id, 1, "12345", 0) == 0);
    CHECK_ERRNO(msgrcv(id, &buffer, 4, 0, 0), E2BIG);
    CHECK_EQ(msgrcv(id, &buffer, 4, 0, MSG_NOERROR), 4); // the rest is lost
    CHECK(take(id, 0, IPC_NOWAIT) == NULL && errno == ENOMSG);
    CHECK(msgctl(id, IPC_STAT, &s) == 0);
    CHECK_EQ(s.msg_qnum, 0);
    CHECK_EQ(s.__msg_cbytes, 0);
    CHECK_EQ(s.msg_lrpid, getpid());
    CHECK(msgctl(id, IPC_RMID, NULL) == 0);
    CHECK_ERRNO(put(id, 1, "x", 0), EINVAL);
    CHECK_ERRNO(msgctl(id, IPC_STAT, &s), EINVAL);
}

static void on_alarm(int number) { (void)number; }

static char state_soon(pid_t pid) {
    CHECK_SOON(check_state_of(pid) == 'S', 10);
    return 'S';
}

static void full_and_empty(void) {
    int id = make();
    CHECK_ERRNO(put(id, 0, "x", 0), EINVAL);
    CHECK_ERRNO(put(id, -1, "x", 0), EINVAL);
    buffer.type = 1;
    CHECK_ERRNO(msgsnd(id, &buffer, 8193, 0), EINVAL);
    CHECK_ERRNO(msgsnd(id, NULL, 1, 0), EFAULT);
    CHECK(msgsnd(id, &buffer, 8192, 0) == 0 && msgsnd(id, &buffer, 8192, 0) == 0);
    CHECK_ERRNO(msgsnd(id, &buffer, 1, IPC_NOWAIT), EAGAIN);
    pid_t pid = fork();
    if (pid == 0)
        _exit(put(id, 2, "later", 0) == 0 ? 0 : errno);
    state_soon(pid);
    CHECK_EQ(msgrcv(id, &buffer, sizeof buffer.text, 0, 0), 8192);
    CHECK_EQ(check_reap(pid), 0);
    CHECK_EQ(msgrcv(id, &buffer, sizeof buffer.text, 0, 0), 8192);
    CHECK_TAKES(0, 0, "later");
    pid = fork();
    if (pid == 0)
        _exit(take(id, 4, 0) && strcmp(buffer.text, "four") == 0 ? 0 : 1);
    state_soon(pid);
    CHECK(put(id, 3, "three", 0) == 0 && put(id, 4, "four", 0) == 0);
    CHECK_EQ(check_reap(pid), 0);
    CHECK_TAKES(0, 0, "three");
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval soon = {{0, 0}, {0, 20000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK(take(id, 0, 0) == NULL && errno == EINTR); // never started again
    pid_t receiver = fork();
    if (receiver == 0)
        _exit(take(id, 0, 0) ? 0 : errno);
    state_soon(receiver);
    CHECK(msgctl(id, IPC_RMID, NULL) == 0);
    int status = check_reap(receiver);
    CHECK_EQ(WEXITSTATUS(status), EIDRM);
}

static void a_room_that_grows(void) {
    int id = make();
    struct msqid_ds s;
    CHECK(msgctl(id, IPC_STAT, &s) == 0);
    s.msg_qbytes = 3;
    CHECK(msgctl(id, IPC_SET, &s) == 0);
    CHECK(put(id, 1, "", 0) == 0 && put(id, 1, "", 0) == 0 && put(id, 1, "", 0) == 0);
    CHECK_ERRNO(put(id, 1, "", IPC_NOWAIT), EAGAIN); // as many messages as bytes
    pid_t pid = fork();
    if (pid == 0)
        _exit(put(id, 1, "four", 0) == 0 ? 0 : errno);
    state_soon(pid);
    s.msg_qbytes = 100;
    CHECK(msgctl(id, IPC_SET, &s) == 0);
    CHECK_EQ(check_reap(pid), 0);
    pid = fork();
    if (pid == 0) {
        CHECK(setgid(1234) == 0 && setuid(1234) == 0);
        CHECK_ERRNO(put(id, 1, "x", 0), EACCES);
        CHECK(take(id, 0, 0) == NULL && errno == EACCES);
        CHECK_ERRNO(msgctl(id, IPC_STAT, &s), EACCES);
        CHECK_ERRNO(msgctl(id, IPC_SET, &s), EPERM);
        CHECK_ERRNO(msgctl(id, IPC_RMID, NULL), EPERM);
        int own = make();
        CHECK(msgctl(own, IPC_STAT, &s) == 0);
        s.msg_qbytes = 16385;
        CHECK_ERRNO(msgctl(own, IPC_SET, &s), EPERM); // above msgmnb
        CHECK(msgctl(own, IPC_RMID, NULL) == 0);
        _exit(0);
    }
    CHECK_EQ(check_reap(pid), 0);
    CHECK(msgctl(id, IPC_RMID, NULL) == 0);
}

static void keys(void) {
    int key = 0x4f000000 + getpid();
    CHECK_ERRNO(msgget(key, 0600), ENOENT);
    int id = msgget(key, IPC_CREAT | 0620);
    CHECK(id >= 0);
    CHECK_EQ(msgget(key, IPC_CREAT), id);
    CHECK_ERRNO(msgget(key, IPC_CREAT | IPC_EXCL), EEXIST);
    CHECK(put(id, 1, "hello", 0) == 0);
    struct msginfo info;
    int last = msgctl(0, MSG_INFO, (void*)&info);
    CHECK(last >= 0 && info.msgpool >= 1 && info.msgmap >= 1 && info.msgtql >= 5);
    CHECK(msgctl(0, IPC_INFO, (void*)&info) >= 0);
    CHECK_EQ(info.msgmax, 8192);
    CHECK_EQ(info.msgmnb, 16384);
    CHECK_EQ(info.msgmni, 32000);
    struct msqid_ds s;
    bool found = false;
    for (int i = 0; i <= last; i++)
        found |= msgctl(i, MSG_STAT, &s) == id && s.msg_qnum == 1;
    CHECK(found);
    char text[4096], line[100];
    CHECK(check_read_file("/proc/sysvipc/msg", text, sizeof text) > 0);
    CHECK(strncmp(
              text,
              "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      "
              "rtime      ctime\n",
              118) == 0);
    snprintf(line, sizeof line, "\n%10d %10d   620           5          1 %5u     0     0     0     0     0 ", key, id,
             (unsigned)getpid());
    CHECK(strstr(text, line) != NULL);
    CHECK(msgctl(id, IPC_RMID, NULL) == 0);
}

static const struct check_case cases[] = {
    {"msgrcv takes the message that its type means", which_message, 0, false},
    {"senders sleep while a queue is full, receivers while nothing is for them", full_and_empty, 0, false},
    {"IPC_SET makes room, within msgmnb, for its owner", a_room_that_grows, 0, false},
    {"keys, limits and /proc/sysvipc/msg", keys, 0, false},
};
CHECK_MAIN(cases)
