/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault points: the places of a migration and of what stops and resets the
 * guest that let a lock go, wait, or talk to somebody. A test can stall, fail
 * or end the process at one of them (QMP x-fault); the table is in faults.c.
 * Part of the Machine, all zero at first: then a point is one comparison.
 */
#ifndef SOFTMMU_FAULTS_H
#define SOFTMMU_FAULTS_H

#include <glib.h>
#include <stdbool.h>

/* Numbers stay: a failure that is reported by number must mean the same later. */
typedef enum FaultPoint {
    FAULT_NONE = 0,
    FAULT_SRC_CONNECT = 1,
    FAULT_SRC_SETUP = 2,
    FAULT_SRC_PASS = 3,
    FAULT_SRC_RATE = 4,
    FAULT_SRC_CATCH_UP = 5,
    FAULT_SRC_ACK = 6,
    FAULT_SRC_STOP = 7,
    FAULT_SRC_PRE_SWITCHOVER = 8,
    FAULT_SRC_DEVICES_TAKEN = 9,
    FAULT_SRC_RAM_SENT = 10,
    FAULT_SRC_DEVICES_SENT = 11,
    FAULT_SRC_TAKEN = 12,
    FAULT_SRC_HANDS_OVER = 13,
    FAULT_SRC_AWAITS = 14,
    FAULT_SRC_VERDICT = 15,
    FAULT_SRC_CONFIRMED = 16,
    FAULT_SRC_END = 17,
    FAULT_SRC_SETTLE = 18,
    FAULT_SRC_POSTCOPY_SWITCH = 19,
    FAULT_SRC_POSTCOPY_PACKAGE = 20,
    FAULT_SRC_POSTCOPY_RUN = 21,
    FAULT_SRC_POSTCOPY_PART = 22,
    FAULT_SRC_POSTCOPY_END = 23,
    FAULT_SRC_POSTCOPY_AWAITS = 24,
    FAULT_SRC_POSTCOPY_PAUSED = 25,
    FAULT_SRC_POSTCOPY_RECONNECTED = 26,
    FAULT_SRC_POSTCOPY_BITMAPS = 27,
    FAULT_SRC_POSTCOPY_ACKED = 28,
    FAULT_SRC_MULTIFD_CONNECT = 29,
    FAULT_SRC_MULTIFD_PACKET = 30,
    FAULT_SRC_MULTIFD_SYNC = 31,

    FAULT_DST_ACCEPT = 32,
    FAULT_DST_ACCEPTED = 33,
    FAULT_DST_SECTION = 34,
    FAULT_DST_PONG = 35,
    FAULT_DST_LOADED = 36,
    FAULT_DST_TOLD = 37,
    FAULT_DST_STARTED = 38,
    FAULT_DST_FAILED = 39,
    FAULT_DST_POSTCOPY_CONNECTED = 40,
    FAULT_DST_MULTIFD_PACKET = 41,
    FAULT_DST_MULTIFD_SYNC = 42,
    FAULT_DST_LAZY_LISTED = 48,
    FAULT_DST_LAZY_READ = 49,
    FAULT_DST_LAZY_END = 50,

    FAULT_PAUSE_ASKED = 64,
    FAULT_PAUSE_HELD = 65,
    FAULT_WRITE_BARRIER = 66,

    /* A postcopy at its destination, but for its CONNECTED above. */
    FAULT_DST_POSTCOPY_ADVISE = 80,
    FAULT_DST_POSTCOPY_DISCARD = 81,
    FAULT_DST_POSTCOPY_LISTEN = 82,
    FAULT_DST_POSTCOPY_ARMED = 83,
    FAULT_DST_POSTCOPY_RUN = 84,
    FAULT_DST_POSTCOPY_STARTS = 85,
    FAULT_DST_POSTCOPY_ASKS = 86,
    FAULT_DST_POSTCOPY_PAGE = 87,
    FAULT_DST_POSTCOPY_URGENT = 88,
    FAULT_DST_POSTCOPY_ENDED = 89,
    FAULT_DST_POSTCOPY_TELLS = 90,
    FAULT_DST_POSTCOPY_PAUSED = 91,
    FAULT_DST_POSTCOPY_READS = 92,
    FAULT_DST_POSTCOPY_BITMAP = 93,
    FAULT_DST_POSTCOPY_RESUME = 94,
    FAULT_DST_POSTCOPY_RESUMED = 95,
    FAULT_DST_POSTCOPY_AFTER = 96,
} FaultPoint;

typedef struct Faults {
    unsigned armed;         /* FaultPoint; atomic */
    GMutex lock;
    GCond changed;
    /* protected by lock */
    int action;             /* XFaultAction */
    unsigned ms, nth;
    unsigned reached;       /* how often since it was armed */
    unsigned ended;         /* stalls up to this one are over */
} Faults;

/* Not for callers: what an armed point does. */
bool fault_hit(Faults *f, FaultPoint point, GError **errp);

/**
 * A place where something may go wrong. False with errp if it is to. May wait
 * for ten seconds at most, until fault_end_stalls: no lock may be held that
 * others need. Any thread.
 */
static inline bool fault_point(Faults *f, FaultPoint point, GError **errp)
{
    return G_LIKELY(__atomic_load_n(&f->armed, __ATOMIC_RELAXED) != point) ||
           fault_hit(f, point, errp);
}

/** The same where nothing can fail: it can be stalled, or be the end of the process. */
static inline void fault_delay(Faults *f, FaultPoint point)
{
    fault_point(f, point, NULL);
}

/** Who stalls goes on: a cancel, a cut, the end of the process. Never waits. Any thread. */
void fault_end_stalls(Faults *f);

#endif
