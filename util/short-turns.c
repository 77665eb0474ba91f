/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See short-turns.h. The C library has no wrapper yet. */
#include "util/short-turns.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TURN_NS 100000      /* the least that Linux takes */

/* As the system call has it, in its first version. */
typedef struct Attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;     /* runtime: the turn, where the policy is the usual one */
} Attributes;

void thread_short_turns(bool on)
{
    Attributes a = { .size = sizeof(a) };

    if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) == 0 && a.policy == SCHED_OTHER) {
        a.runtime = on ? TURN_NS : 0;
        syscall(SYS_sched_setattr, 0, &a, 0);   /* a wish */
    }
}
