// SPDX-License-Identifier: MIT
// The first process of the benchmark's machine: mounts what the rows need, runs /bin/cost between two marks, powers off.
// rows=PATTERN on the kernel's command line chooses rows; spaces between several, in quotes. settle=yes first waits until the
// system is quiet, as Linux needs it; quick=yes measures each row once.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

static void measure(void) {
    char* argv[64] = {"/bin/cost"};
    int n = 1;
    const char* settle = getenv("settle");
    if (!settle || strcmp(settle, "yes") != 0)
        argv[n++] = getenv("quick") ? "-q" : "-n";
    const char* rows = getenv("rows");
    for (char* row = strtok(strdup(rows ? rows : ""), " "); row && n < 63; row = strtok(NULL, " "))
        argv[n++] = row;
    char* const environment[] = {"PATH=/bin", "HOME=/", "TERM=dumb", "LC_ALL=C.UTF-8", NULL};
    setsid(); // no controlling terminal: the end of its owner would hang it up, and output not yet sent would be lost
    execve(argv[0], argv, environment);
    _exit(127);
}

int main(void) {
    if (mount("proc", "/proc", "proc", 0, NULL) || mount("tmp", "/tmp", "tmpfs", 0, "mode=1777"))
        perror("init: mount");
    (void)mount("dev", "/dev", "devtmpfs", 0, NULL); // a kernel may have done so itself
    if (fcntl(0, F_GETFD) < 0) {
        const int console = open("/dev/console", O_RDWR);
        dup2(console, 0);
        dup2(console, 1);
        dup2(console, 2);
    }
    puts("@@ begin");
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0)
        measure();
    int status = -1;
    for (pid_t ended; (ended = wait(&status)) != child && ended > 0;) {
    }
    printf("@@ end %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    fflush(stdout);
    sync();
    reboot(RB_POWER_OFF);
    return 1;
}
