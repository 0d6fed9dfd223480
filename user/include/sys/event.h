// SPDX-License-Identifier: BSD-2-Clause
// kqueue and kevent, as programs for BSD include them. Manual page: docs/man/kqueue.2.
#ifndef LENTIL_SYS_EVENT_H
#define LENTIL_SYS_EVENT_H
#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_PROC (-5)
#define EVFILT_SIGNAL (-6)
#define EVFILT_TIMER (-7)

#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_ENABLE 0x0004
#define EV_DISABLE 0x0008
#define EV_ONESHOT 0x0010
#define EV_CLEAR 0x0020
#define EV_RECEIPT 0x0040
#define EV_DISPATCH 0x0080
#define EV_ERROR 0x4000
#define EV_EOF 0x8000

// EVFILT_PROC
#define NOTE_EXIT 0x80000000u
#define NOTE_FORK 0x40000000u
#define NOTE_EXEC 0x20000000u
#define NOTE_TRACK 0x00000001u
#define NOTE_TRACKERR 0x00000002u
#define NOTE_CHILD 0x00000004u

// EVFILT_TIMER; none of them: milliseconds
#define NOTE_SECONDS 0x00000001u
#define NOTE_USECONDS 0x00000002u
#define NOTE_NSECONDS 0x00000004u

struct kevent {
    uintptr_t ident;
    int16_t filter;
    uint16_t flags;
    uint32_t fflags;
    intptr_t data;
    void* udata;
};

#define EV_SET(event, ident_, filter_, flags_, fflags_, data_, udata_)                                                 \
    (*(event) = (struct kevent){(uintptr_t)(ident_), (filter_), (flags_), (fflags_), (intptr_t)(data_), (udata_)})

int kqueue(void);
int kqueue1(int flags); // O_CLOEXEC
int kevent(int queue, const struct kevent* changes, int change_count, struct kevent* events, int event_count,
           const struct timespec* timeout);

#ifdef __cplusplus
}
#endif
#endif
