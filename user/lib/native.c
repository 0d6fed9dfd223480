// SPDX-License-Identifier: BSD-2-Clause
#include "native.h"

#include <errno.h>

long lentil_result(long result) {
    if (result >= 0 || result < -4095)
        return result;
    errno = (int)-result;
    return -1;
}
