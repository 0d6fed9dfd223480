#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the table that user/test/fuzz.c makes its calls from: every system call of kernel/abi/*.def, and for each argument
what kind of value it takes, from its type and name in the prototype. Usage: fuzz_table.py OUTPUT"""
import re
import sys

import syscall_doc

# Never made: it would end the machine.
LEFT_OUT = {"reboot"}
# Calls that make a process or thread, and those that end one, need more than arguments; fuzz.c has a way for each.
OWN_WAY = {"clone": "clone", "clone3": "clone3", "native_vfork": "vfork", "native_fork1": "fork1", "execve": "rare", "execveat": "rare",
           "exit": "rare", "exit_group": "rare", "rt_sigreturn": "rare", "setsid": "rare", "chroot": "rare", "clock_settime": "rare",
           "settimeofday": "rare", "mlockall": "rare", "close_range": "rare", "setuid": "rare", "setresuid": "rare", "setreuid": "rare"}

# Kinds by type, then by name (which comes first); CALL:NAME comes before both.
BY_TYPE = {
    "UserPath": "path", "UserPtr<Timespec>": "timespec", "UserPtr<Iovec>": "iovec", "UserPtr<Pollfd>": "pollfd",
    "UserPtr<EpollEvent>": "epoll_event", "UserPtr<Rlimit>": "rlimit", "UserPtr<SchedParam>": "small_struct",
    "UserPtr<LinuxSigaction>": "sigaction", "UserPtr<LinuxStack>": "stack", "UserPtr<LinuxItimerval>": "itimer",
    "UserPtr<Timeval>": "timespec", "UserPtr<off_t>": "small_struct", "UserPtr<SigsetArgument>": "pointer",
    "mode_t": "mode", "uid_t": "user", "gid_t": "user", "off_t": "offset", "pid_t": "pid", "vaddr_t": "pointer",
}
BY_NAME = {
    "fd": "fd", "epoll": "fd", "from": "fd", "to": "fd", "wanted": "fd", "first": "fd", "last": "fd",
    "at": "at", "old_at": "at", "new_at": "at", "directory": "at", "path": "path", "argv": "argv", "envp": "argv", "type": "fstype",
    "buffer": "pointer", "out": "pointer", "name": "pointer", "info": "pointer", "address": "address", "start": "address",
    "end": "address", "old_address": "address", "new_address": "address", "vector": "pointer",
    "length": "length", "old_length": "length", "new_length": "length", "size": "size", "n": "size", "count": "small", "mask_size": "eight",
    "set_size": "eight", "offset": "offset", "flags": "flags", "pid": "pid", "tid": "pid", "id": "pid", "who": "pid", "group": "pid",
    "signo": "signal", "exit_signal": "signal", "timeout_ms": "small", "timeout": "timespec", "set": "sigset", "mask": "sigset",
    "resource": "small", "policy": "small", "clock": "small", "which": "small", "how": "small", "nice": "small", "code": "small",
    "second": "address", "level": "small",
}
OPEN = "O_WRONLY O_RDWR O_CREAT O_EXCL O_TRUNC O_APPEND O_NONBLOCK O_DIRECTORY O_NOFOLLOW O_CLOEXEC O_PATH O_TMPFILE O_SYNC O_NOCTTY"
AT = "AT_SYMLINK_NOFOLLOW AT_EMPTY_PATH AT_SYMLINK_FOLLOW AT_REMOVEDIR AT_EACCESS"
SOCKET = ("SOCK_STREAM SOCK_DGRAM SOCK_SEQPACKET SOCK_STREAM|SOCK_NONBLOCK SOCK_DGRAM|SOCK_NONBLOCK|SOCK_CLOEXEC "
          "SOCK_SEQPACKET|SOCK_NONBLOCK 9")
MESSAGE = "MSG_DONTWAIT MSG_PEEK MSG_TRUNC MSG_WAITALL MSG_NOSIGNAL MSG_CMSG_CLOEXEC MSG_OOB"
SOCKET_OPTION = ("SO_TYPE SO_ERROR SO_SNDBUF SO_RCVBUF SO_PASSCRED SO_PEERCRED SO_RCVLOWAT SO_RCVTIMEO SO_SNDTIMEO SO_ACCEPTCONN "
                 "SO_DOMAIN SO_LINGER 999")
# CALL:NAME -> `bits` (any of them together) or `one` (one of them), and C constants.
HINTS = {
    "openat:flags": "bits " + OPEN, "dup3:flags": "bits O_CLOEXEC", "pipe2:flags": "bits O_CLOEXEC O_NONBLOCK O_DIRECT",
    "eventfd2:flags": "bits EFD_CLOEXEC EFD_NONBLOCK EFD_SEMAPHORE", "epoll_create1:flags": "bits EPOLL_CLOEXEC",
    "epoll_ctl:operation": "one EPOLL_CTL_ADD EPOLL_CTL_MOD EPOLL_CTL_DEL",
    "fcntl:command": "one F_DUPFD F_DUPFD_CLOEXEC F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_OFD_GETLK F_OFD_SETLK "
                     "F_OFD_SETLKW F_GETPIPE_SZ F_SETPIPE_SZ F_ADD_SEALS F_GET_SEALS F_GETOWN F_GETSIG F_SETSIG",
    "fcntl:argument": "mixed 0 1 O_NONBLOCK O_APPEND O_ASYNC FD_CLOEXEC F_SEAL_WRITE F_SEAL_GROW F_SEAL_SHRINK 4096 65536 20 SIGIO",
    "ioctl:command": "one FIONREAD FIONBIO FIOCLEX FIONCLEX FIOASYNC TCGETS TIOCGWINSZ TIOCGPGRP TIOCGSID TIOCOUTQ",
    "ioctl:argument": "pointer", "flock:operation": "bits LOCK_SH LOCK_EX LOCK_UN LOCK_NB",
    "mknodat:mode": "one S_IFREG|0600 S_IFIFO|0644 S_IFCHR|0666 S_IFBLK|0600 S_IFDIR|0700 0644 S_IFSOCK",
    "mknodat:device": "one 0 0x103 0x105 0x107 0x109", "unlinkat:flags": "bits AT_REMOVEDIR", "umount2:flags": "bits MNT_DETACH MNT_FORCE",
    "mount:flags": "bits MS_RDONLY MS_NOSUID MS_NODEV MS_REMOUNT MS_BIND MS_REC MS_MOVE MS_PRIVATE", "mount:source": "path",
    "fallocate:mode": "bits FALLOC_FL_KEEP_SIZE FALLOC_FL_PUNCH_HOLE FALLOC_FL_ZERO_RANGE FALLOC_FL_COLLAPSE_RANGE",
    "faccessat2:flags": "bits " + AT, "fchownat:flags": "bits " + AT, "linkat:flags": "bits " + AT, "newfstatat:flags": "bits " + AT,
    "utimensat:flags": "bits " + AT, "fchmodat2:flags": "bits " + AT, "execveat:flags": "bits " + AT, "statx:flags": "bits " + AT,
    "statx:mask": "one 0x7ff 0xfff 0 0x80000000", "renameat2:flags": "bits RENAME_NOREPLACE RENAME_EXCHANGE RENAME_WHITEOUT",
    "lseek:whence": "one SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE", "signalfd4:flags": "bits SFD_CLOEXEC SFD_NONBLOCK",
    "signalfd4:fd": "one -1 -1 3 10 20", "signalfd4:size": "eight", "preadv2:flags": "bits RWF_HIPRI RWF_DSYNC RWF_NOWAIT RWF_APPEND",
    "pwritev2:flags": "bits RWF_HIPRI RWF_DSYNC RWF_NOWAIT RWF_APPEND", "memfd_create:name": "path",
    "memfd_create:flags": "bits MFD_CLOEXEC MFD_ALLOW_SEALING", "getrandom:flags": "bits GRND_NONBLOCK GRND_RANDOM",
    "waitid:which": "one P_ALL P_PID P_PGID", "waitid:options": "bits WNOHANG WEXITED WSTOPPED WCONTINUED WNOWAIT __WALL __WCLONE",
    "wait4:options": "bits WNOHANG WUNTRACED WCONTINUED __WALL __WCLONE __WNOTHREAD",
    "futex:operation": "one 0 1 2 3 4 5 6 7 8 9 10 11 12 13 128 129 131 132 133 136 137 138 139 140 265 393",
    "clock_nanosleep:flags": "bits TIMER_ABSTIME", "syslog:type": "one 2 3 9 10", "personality:persona": "one 0 0xffffffff 0x40000",
    "prctl:option": "one PR_SET_NAME PR_GET_NAME PR_SET_PDEATHSIG PR_GET_PDEATHSIG PR_SET_DUMPABLE PR_GET_DUMPABLE PR_SET_KEEPCAPS "
                    "PR_CAPBSET_READ PR_CAPBSET_DROP PR_SET_NO_NEW_PRIVS PR_GET_NO_NEW_PRIVS PR_SET_CHILD_SUBREAPER "
                    "PR_GET_CHILD_SUBREAPER PR_SET_TIMERSLACK PR_GET_TIMERSLACK PR_SET_SECUREBITS PR_CAP_AMBIENT PR_SET_THP_DISABLE",
    "prctl:a": "mixed 0 1 2 9 15 30", "mmap:prot": "bits PROT_READ PROT_WRITE PROT_EXEC PROT_READ|PROT_WRITE",
    "mmap:flags": "bits MAP_SHARED MAP_PRIVATE MAP_ANONYMOUS MAP_FIXED MAP_PRIVATE|MAP_ANONYMOUS MAP_SHARED|MAP_ANONYMOUS "
                  "MAP_FIXED|MAP_PRIVATE MAP_FIXED_NOREPLACE MAP_POPULATE MAP_GROWSDOWN MAP_NORESERVE MAP_STACK MAP_LOCKED",
    "mprotect:prot": "bits PROT_READ PROT_WRITE PROT_EXEC PROT_READ|PROT_WRITE", "msync:flags": "bits MS_ASYNC MS_SYNC MS_INVALIDATE",
    "mremap:flags": "bits MREMAP_MAYMOVE MREMAP_FIXED|MREMAP_MAYMOVE MREMAP_DONTUNMAP|MREMAP_MAYMOVE", "mlock2:flags": "bits MLOCK_ONFAULT",
    "madvise:advice": "one 0 1 2 3 4 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 100", "fadvise64:advice": "one 0 1 2 3 4 5",
    "mlockall:flags": "bits MCL_CURRENT MCL_FUTURE MCL_ONFAULT", "close_range:flags": "bits CLOSE_RANGE_UNSHARE CLOSE_RANGE_CLOEXEC",
    "rt_sigaction:size": "eight", "rt_sigprocmask:size": "eight", "rt_sigpending:size": "eight", "rt_sigsuspend:size": "eight",
    "rt_sigtimedwait:size": "eight", "sigaltstack:old": "pointer", "getpriority:which": "one PRIO_PROCESS PRIO_PGRP PRIO_USER",
    "setpriority:which": "one PRIO_PROCESS PRIO_PGRP", "set_robust_list:size": "one 24", "sched_setaffinity:size": "eight",
    "sched_setattr:flags": "one 0", "sethostname:length": "small", "setdomainname:length": "small", "readlinkat:size": "size",
    "socket:family": "one AF_UNIX AF_UNIX AF_UNIX AF_UNIX AF_INET", "socketpair:family": "one AF_UNIX AF_UNIX AF_UNIX AF_INET",
    "socket:type": "one " + SOCKET, "socketpair:type": "one " + SOCKET, "socket:protocol": "one 0 0 0 1 2",
    "socketpair:protocol": "one 0 0 0 1 2", "socketpair:fds": "pointer", "bind:length": "one 2 3 6 20 110 111",
    "connect:length": "one 2 3 6 20 110", "sendto:length": "one 0 0 2 6 110", "accept4:flags": "bits SOCK_NONBLOCK SOCK_CLOEXEC",
    "sendto:flags": "bits " + MESSAGE, "recvfrom:flags": "bits " + MESSAGE, "sendmsg:flags": "bits " + MESSAGE,
    "recvmsg:flags": "bits " + MESSAGE, "sendmmsg:flags": "bits " + MESSAGE, "recvmmsg:flags": "bits " + MESSAGE,
    "setsockopt:level": "one SOL_SOCKET SOL_SOCKET SOL_SOCKET 6", "getsockopt:level": "one SOL_SOCKET SOL_SOCKET SOL_SOCKET 6",
    "setsockopt:option": "one " + SOCKET_OPTION, "getsockopt:option": "one " + SOCKET_OPTION,
    "setsockopt:size": "one 4 4 8 16 0", "shutdown:how": "one 0 1 2 3",
    "ptrace:request": "one 0 1 2 4 5 7 7 8 9 16 17 24 0x4200 0x4201 0x4202 0x4203 0x4204 0x4205 0x4206 0x4207 0x4208 0x4209 0x420a 0x420b "
                      "0x420e 12", # PTRACE_TRACEME to PTRACE_GET_SYSCALL_INFO, and one that is none
    "ptrace:address": "mixed 0 0 0 1 2 8 24", "ptrace:data": "mixed 0 0 9 10 19 1 0x7f 0x100000 0x10007f",
    "native_kevent:kqueue": "fd", "native_kevent:changes": "kevent", "native_kevent:change_count": "small",
    "native_kevent:event_count": "small", "native_kqueue:flags": "bits 0x80000",
    "native_spawn:args": "spawn", "native_spawn:size": "one 72",
    "process_vm_readv:local": "iovec", "process_vm_readv:local_count": "small", "process_vm_readv:remote": "iovec",
    "process_vm_readv:remote_count": "small", "process_vm_readv:flags": "one 0",
    "process_vm_writev:local": "iovec", "process_vm_writev:local_count": "small", "process_vm_writev:remote": "iovec",
    "process_vm_writev:remote_count": "small", "process_vm_writev:flags": "one 0",
    "timer_create:clock": "one 0 1 2 3 7 -2 -6", "timer_create:event": "sigevent", "timer_create:id": "pointer",
    "timer_settime:id": "small", "timer_settime:flags": "one 0 0 1", "timer_settime:value": "itimer", "timer_gettime:id": "small",
    "timer_getoverrun:id": "small", "timer_delete:id": "small", "timerfd_create:flags": "bits O_CLOEXEC O_NONBLOCK",
    "timerfd_settime:flags": "one 0 0 1 3", "timerfd_settime:value": "itimer",
    # Few keys and no private one: what is made of these stays.
    "shmget:key": "one 1 2 3", "shmget:size": "one 0 1 4096 100000", "shmget:flags": "bits IPC_CREAT|0600 IPC_EXCL 0400",
    "shmat:id": "small", "shmat:flags": "bits SHM_RDONLY SHM_RND SHM_EXEC", "shmctl:id": "small", "shmctl:command": "one 0 1 2 3 11 12 13 14 15",
    "semget:key": "one 1 2 3", "semget:count": "small", "semget:flags": "bits IPC_CREAT|0600 IPC_EXCL 0400", "semop:id": "small",
    "semop:ops": "pointer", "semtimedop:id": "small", "semtimedop:ops": "pointer", "semctl:id": "small", "semctl:number": "small",
    "semctl:command": "one 0 1 2 3 11 12 13 14 15 16 17 18 19 20", "semctl:argument": "mixed 0 1 5 32767",
    "msgget:key": "one 1 2 3", "msgget:flags": "bits IPC_CREAT|0600 IPC_EXCL 0400", "msgsnd:id": "small", "msgsnd:flags": "bits IPC_NOWAIT",
    "msgsnd:size": "one 0 1 100 9000", "msgrcv:id": "small", "msgrcv:type": "one 0 1 3 -5", "msgrcv:flags": "bits IPC_NOWAIT MSG_NOERROR MSG_EXCEPT",
    "msgctl:id": "small", "msgctl:command": "one 0 1 2 3 11 12 13", "mq_open:flags": "bits O_CREAT O_RDWR O_EXCL O_NONBLOCK O_WRONLY",
    "mq_timedsend:text": "pointer", "mq_timedsend:priority": "small", "mq_timedreceive:text": "pointer", "mq_notify:event": "sigevent",
    "inotify_init1:flags": "bits IN_CLOEXEC IN_NONBLOCK", "inotify_add_watch:mask": "bits IN_ALL_EVENTS IN_ONLYDIR IN_ONESHOT IN_MASK_ADD "
                                                                                  "IN_EXCL_UNLINK IN_DONT_FOLLOW",
    "inotify_rm_watch:watch": "small", "splice:flags": "bits 1 2 4 8", "tee:flags": "bits 1 2 4 8", "vmsplice:flags": "bits 1 2 4 8",
    "membarrier:command": "one 0 1 2 4 8 16 32 64 512", "membarrier:flags": "one 0", "membarrier:hart": "one 0", "kcmp:first": "pid",
    "kcmp:second": "pid", "kcmp:kind": "small", "openat2:size": "one 24 24 24 32",
    "ppoll:count": "small", "pselect6:count": "small", "epoll_pwait:count": "small", "mmap:fd": "fd",
}


def kind(call, words):
    kind_of_type, name = " ".join(words[:-1]), words[-1]
    if f"{call}:{name}" in HINTS:
        return HINTS[f"{call}:{name}"]
    if kind_of_type in BY_TYPE and kind_of_type not in ("vaddr_t", "pid_t", "off_t") and name != "type":
        return BY_TYPE[kind_of_type]
    if kind_of_type.startswith("UserPtr<"):
        return "sigset" if name in ("mask", "set") else "pointer"
    return BY_NAME.get(name, BY_TYPE.get(kind_of_type, "word"))


def main():
    lines = ["// Made by scripts/fuzz_table.py from kernel/abi; not edited by hand."]
    table = []
    for number, name, arguments, _, _ in syscall_doc.declared():
        if name in LEFT_OUT:
            continue
        kinds = []
        for index, argument in enumerate(re.sub(r"\s+", " ", arguments).split(",") if arguments.strip() else []):
            found = kind(name, argument.split())
            how, *values = found.split()
            if values:
                array = f"values_{name}_{index}"
                lines.append(f"static const uint64_t {array}[] = {{{', '.join(f'(uint64_t)({value})' for value in values)}}};")
                kinds.append(f"{{take_{how}, sizeof {array} / 8, {array}}}")
            else:
                kinds.append(f"{{take_{how}, 0, 0}}")
        table.append(f"    {{{number}, \"{name}\", way_{OWN_WAY.get(name, 'plain')}, {len(kinds)}, {{{', '.join(kinds) or '{0, 0, 0}'}}}}},")
    lines += ["static const struct call calls[] = {", *table, "};", ""]
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        out.write("\n".join(lines))


if __name__ == "__main__":
    main()
