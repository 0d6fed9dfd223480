// SPDX-License-Identifier: BSD-2-Clause
// What most of the kernel's files include, for a build with precompiled headers (-Db_pch=true); no file names this one.
#pragma once
#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include <bsd/proc.hpp>
#include <bsd/ptrace.hpp>
#include <libkern/format.hpp>
#include <libkern/parse.hpp>
#include <sched/clock.hpp>
#include <sched/hart.hpp>
#include <sched/waitq.hpp>
#include <vfs/access.hpp>
#include <vfs/lookup.hpp>
#include <vfs/mount.hpp>
#include <vfs/vfs.hpp>
#include <vm/page.hpp>
#include <vm/vm_user.hpp>
#include <vm/zalloc.hpp>
