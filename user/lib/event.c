// SPDX-License-Identifier: BSD-2-Clause
#include "native.h"

#include <sys/event.h>

int kqueue1(int flags) { return (int)lentil_result(native_call(NATIVE_kqueue, flags, 0, 0, 0, 0, 0)); }

int kqueue(void) { return kqueue1(0); }

int kevent(int queue, const struct kevent* changes, int change_count, struct kevent* events, int event_count,
           const struct timespec* timeout) {
    return (int)lentil_result(native_call(NATIVE_kevent, queue, (long)(uintptr_t)changes, change_count,
                                          (long)(uintptr_t)events, event_count, (long)(uintptr_t)timeout));
}
